/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Totals that a lane keeps itself: counters, spilled events, gauges of dead processes, and the
 * emitter's counts about itself. The store takes the gain of a total since it was seen, once,
 * however often the collector is killed at it.
 *
 * These functions are for a pass and for removals; drain.h has the others.
 */
#ifndef SHM_TOTALS_H
#define SHM_TOTALS_H

#include "drain.h"

/* Takes the gains of all series. Returns SHM_DRAINED, or SHM_BROKEN_CELLS: a total has gone
 * back. */
enum shm_drained shm_take_totals(struct shm_drain *drain);

/* Takes the gains of one series, as shm_take_totals(). */
enum shm_drained shm_take_series(struct shm_drain *drain, const struct shm_target *target);

/* Takes the gains of the counters alone, as shm_take_totals(). */
enum shm_drained shm_take_counters(struct shm_drain *drain);

#endif
