/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "contained.h"

#include "guard.h"
#include "recovery.h"

/* Enters a guard around the lane; if the rest of the function faults, undoes and returns failed. */
#define CONTAIN(guard, drain, base, size_bytes, failed) \
    struct shm_guard guard; \
    if (SHM_GUARD(&guard, base, size_bytes)) { \
        shm_guard_leave(&guard); \
        shm_recover_pass(drain); \
        return failed; \
    }
#define CONTAIN_LANE(guard, drain, failed) \
    CONTAIN(guard, drain, (drain)->lane.header, (drain)->lane.size_bytes, failed)

enum shm_attach shm_contained_open(struct shm_drain *drain, void *base, uint64_t size_bytes,
                                   struct shm_ledger *ledger, struct shm_undo *undo,
                                   uint64_t *cells, uint64_t n_cells)
{
    *drain = (struct shm_drain){.ledger = ledger, .undo = undo};
    CONTAIN(guard, drain, base, size_bytes, SHM_ATTACH_NOT_A_LANE)
    enum shm_attach found = shm_drain_open(drain, base, size_bytes, ledger, undo, cells, n_cells);
    shm_guard_leave(&guard);
    return found;
}

bool shm_contained_recover(struct shm_drain *drain)
{
    CONTAIN_LANE(guard, drain, true)
    bool found = shm_recover(drain);
    shm_guard_leave(&guard);
    return found;
}

enum shm_drained shm_contained_pass(struct shm_drain *drain)
{
    CONTAIN_LANE(guard, drain, SHM_BROKEN_CUT_SHORT)
    enum shm_drained found = shm_drain_pass(drain);
    shm_guard_leave(&guard);
    return found;
}

enum shm_drained shm_contained_entry(struct shm_drain *drain, struct shm_entry *entry,
                                     unsigned char *buffer)
{
    CONTAIN_LANE(guard, drain, SHM_BROKEN_CUT_SHORT)
    enum shm_drained found = shm_drain_entry(drain, entry, buffer);
    shm_guard_leave(&guard);
    return found;
}

enum shm_drained shm_contained_remove(struct shm_drain *drain, uint32_t series)
{
    CONTAIN_LANE(guard, drain, SHM_BROKEN_CUT_SHORT)
    enum shm_drained found = shm_drain_remove(drain, series);
    shm_guard_leave(&guard);
    return found;
}

uint32_t shm_contained_next_removed(struct shm_drain *drain, uint32_t *at_bytes,
                                    uint64_t *n_entries)
{
    CONTAIN_LANE(guard, drain, 0)
    uint32_t found = shm_drain_next_removed(drain, at_bytes, n_entries);
    shm_guard_leave(&guard);
    return found;
}

uint32_t shm_contained_calls(struct shm_drain *drain, struct shm_open_call_copy *calls, uint32_t n)
{
    CONTAIN_LANE(guard, drain, 0)
    uint32_t found = shm_drain_calls(drain, calls, n);
    shm_guard_leave(&guard);
    return found;
}

uint32_t shm_contained_gauges(struct shm_drain *drain, uint32_t from_series,
                              struct shm_gauge_copy *gauges, uint32_t n)
{
    CONTAIN_LANE(guard, drain, 0)
    uint32_t found = shm_drain_gauges(drain, from_series, gauges, n);
    shm_guard_leave(&guard);
    return found;
}

uint32_t shm_contained_observed(struct shm_drain *drain, uint32_t from_series,
                                struct shm_observed_copy *totals, uint32_t n)
{
    CONTAIN_LANE(guard, drain, 0)
    uint32_t found = shm_drain_observed(drain, from_series, totals, n);
    shm_guard_leave(&guard);
    return found;
}

uint64_t shm_contained_moved_to(struct shm_drain *drain)
{
    CONTAIN_LANE(guard, drain, 0)
    uint64_t found = shm_drain_moved_to(drain);
    shm_guard_leave(&guard);
    return found;
}

bool shm_contained_finish(struct shm_drain *drain)
{
    CONTAIN_LANE(guard, drain, false)
    shm_recover_emitter(drain);
    shm_guard_leave(&guard);
    return true;
}

bool shm_contained_take_gauge(struct shm_drain *drain, uint32_t series, uint64_t cell)
{
    CONTAIN_LANE(guard, drain, false)
    bool found = shm_drain_take_gauge(drain, series, cell);
    shm_guard_leave(&guard);
    return found;
}

bool shm_contained_abandon(struct shm_drain *drain, uint32_t slot, uint64_t cell)
{
    CONTAIN_LANE(guard, drain, false)
    bool found = shm_drain_abandon(drain, slot, cell);
    shm_guard_leave(&guard);
    return found;
}

bool shm_contained_report(struct shm_drain *drain, uint32_t report, uint64_t now, uint64_t cell)
{
    CONTAIN_LANE(guard, drain, false)
    bool found = shm_drain_report(drain, report, now, cell);
    shm_guard_leave(&guard);
    return found;
}

uint64_t shm_contained_reported(struct shm_drain *drain, uint32_t report)
{
    CONTAIN_LANE(guard, drain, 0)
    uint64_t found = shm_drain_reported(drain, report);
    shm_guard_leave(&guard);
    return found;
}

bool shm_contained_report_counts(struct shm_drain *drain)
{
    CONTAIN_LANE(guard, drain, false)
    shm_drain_report_counts(drain);
    shm_guard_leave(&guard);
    return true;
}

bool shm_contained_counts(struct shm_drain *drain, struct shm_counts *counts)
{
    *counts = (struct shm_counts){.lane_id = drain->lane.lane_id};
    CONTAIN_LANE(guard, drain, false)
    shm_counts_read(drain->lane.header, counts);
    shm_guard_leave(&guard);
    return true;
}

bool shm_contained_give_up(struct shm_drain *drain)
{
    CONTAIN_LANE(guard, drain, false)
    shm_drain_give_up(drain);
    shm_guard_leave(&guard);
    return true;
}

bool shm_contained_tell(struct shm_drain *drain, const void *notice, uint32_t n_bytes)
{
    CONTAIN_LANE(guard, drain, false)
    bool found = shm_drain_tell(drain, notice, n_bytes);
    shm_guard_leave(&guard);
    return found;
}

bool shm_contained_heard(struct shm_drain *drain)
{
    CONTAIN_LANE(guard, drain, true)
    bool found = shm_drain_heard(drain);
    shm_guard_leave(&guard);
    return found;
}

uint32_t shm_contained_notices(struct shm_drain *drain, unsigned char *to)
{
    CONTAIN_LANE(guard, drain, 0)
    uint32_t found = shm_notices_copy(drain->lane.header, 0, to);
    shm_guard_leave(&guard);
    return found;
}
