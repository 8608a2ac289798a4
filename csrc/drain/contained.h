/* SPDX-License-Identifier: Apache-2.0 */
/* The drain of drain.h under a guard: whatever an emitter does to its file, these return. */
#ifndef SHM_CONTAINED_H
#define SHM_CONTAINED_H

#include "../lane/counts.h"
#include "drain.h"

/* Do as their namesakes in drain.h and recovery.h. For a lane that was cut short they return
 * SHM_ATTACH_NOT_A_LANE, SHM_BROKEN_CUT_SHORT or nothing, and undo what was half folded. */
enum shm_attach shm_contained_open(struct shm_drain *drain, void *base, uint64_t size_bytes,
                                   struct shm_ledger *ledger, struct shm_undo *undo,
                                   uint64_t *cells, uint64_t n_cells);
bool shm_contained_recover(struct shm_drain *drain);
enum shm_drained shm_contained_pass(struct shm_drain *drain);
enum shm_drained shm_contained_entry(struct shm_drain *drain, struct shm_entry *entry,
                                     unsigned char *buffer);
enum shm_drained shm_contained_remove(struct shm_drain *drain, uint32_t series);
uint32_t shm_contained_next_removed(struct shm_drain *drain, uint32_t *at_bytes,
                                    uint64_t *n_entries);
uint32_t shm_contained_calls(struct shm_drain *drain, struct shm_open_call_copy *calls, uint32_t n);
uint32_t shm_contained_gauges(struct shm_drain *drain, uint32_t from_series,
                              struct shm_gauge_copy *gauges, uint32_t n);
uint32_t shm_contained_observed(struct shm_drain *drain, uint32_t from_series,
                                struct shm_observed_copy *totals, uint32_t n);
uint64_t shm_contained_moved_to(struct shm_drain *drain);
bool shm_contained_finish(struct shm_drain *drain);
bool shm_contained_take_gauge(struct shm_drain *drain, uint32_t series, uint64_t cell);
bool shm_contained_abandon(struct shm_drain *drain, uint32_t slot, uint64_t cell);
bool shm_contained_report(struct shm_drain *drain, uint32_t report, uint64_t now, uint64_t cell);
uint64_t shm_contained_reported(struct shm_drain *drain, uint32_t report);
bool shm_contained_report_counts(struct shm_drain *drain);
bool shm_contained_counts(struct shm_drain *drain, struct shm_counts *counts);
bool shm_contained_give_up(struct shm_drain *drain);
bool shm_contained_tell(struct shm_drain *drain, const void *notice, uint32_t n_bytes);
bool shm_contained_heard(struct shm_drain *drain);
uint32_t shm_contained_notices(struct shm_drain *drain, unsigned char *to);

#endif
