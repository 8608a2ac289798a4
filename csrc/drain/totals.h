/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Totals that a lane keeps itself: counters, what was spilled, gauges of the dead, and what the emitter
 * says of its own doing. What a total has gained since it was seen is taken into the store, once,
 * however often the collector is killed at it.
 *
 * These two are for a pass; drain.h has the others.
 */
#ifndef SHM_TOTALS_H
#define SHM_TOTALS_H

#include "drain.h"

/* Of all series; SHM_DRAINED, or SHM_BROKEN_CELLS: a total has gone back. */
enum shm_drained shm_take_totals(struct shm_drain *drain);

/* Of the counters alone. */
enum shm_drained shm_take_counters(struct shm_drain *drain);

#endif
