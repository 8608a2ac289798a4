/* SPDX-License-Identifier: Apache-2.0 */
/* The present state in a lane, read where it is: open calls, gauges, observed totals, and whether it
 * is elsewhere. */
#include "drain.h"

#define MOST_TRIES 16 /* of reading a total while its emitter begins new generations */

/* Copies the description of a call into its copy, if the lane has that of this call. */
static void read_description(const struct shm_lane *lane, struct shm_open_call_copy *copy)
{
    struct shm_description *description = &lane->descriptions[copy->slot];
    /* Pairs with its release in shm_describe_slot: what it describes shows. */
    if (atomic_load_explicit(&description->described_ns, memory_order_acquire) != copy->start_ns)
        return;
    /* Pairs with its release in shm_describe_slot. So does each word of the trace: a later call's
     * start shows. */
    copy->timeout_ms =
        atomic_load_explicit(&lane->calls[copy->slot].timeout_ms, memory_order_acquire);
    uint64_t trace[SHM_TRACE_WORDS];
    for (uint32_t i = 0; i < SHM_TRACE_WORDS; i++)
        trace[i] = atomic_load_explicit(&description->trace[i], memory_order_acquire);
    memcpy(&copy->trace, trace, sizeof trace);
}

uint32_t shm_drain_calls(const struct shm_drain *drain, struct shm_open_call_copy *calls,
                         uint32_t n)
{
    /* Pairs with the release in shm_producer_move: after it, the slots of a lane that was moved
     * count. */
    uint64_t high = atomic_load_explicit(&drain->lane.header->producer.calls_high,
                                         memory_order_acquire);
    if (high > drain->lane.n_calls)
        high = drain->lane.n_calls;
    uint32_t found = 0;
    for (uint32_t slot = 0; slot < high && found < n; slot++) {
        struct shm_open_call *open = &drain->lane.calls[slot];
        /* Pairs with its release in shm_fill_slot: an earlier call has left the slot. */
        uint64_t start_ns = atomic_load_explicit(&open->start_ns, memory_order_acquire);
        /* Pairs with the releases in shm_fill_slot, shm_unlist_call and shm_settle_commit: a
         * later call's start shows. */
        uint32_t series = atomic_load_explicit(&open->series, memory_order_acquire);
        struct shm_open_call_copy copy = {.start_ns = start_ns, .series = series, .slot = slot};
        read_description(&drain->lane, &copy);
        /* Pairs with the release in shm_fill_slot. */
        if (atomic_load_explicit(&open->start_ns, memory_order_acquire) != start_ns)
            continue; /* ended meanwhile; a later call of the same series may have the slot */
        if (series == 0 || series >= drain->n_targets ||
            drain->targets[series].type != SHM_TYPE_CALLS)
            continue;
        calls[found++] = copy;
    }
    return found;
}

uint32_t shm_drain_gauges(const struct shm_drain *drain, uint32_t from_series,
                          struct shm_gauge_copy *gauges, uint32_t n)
{
    /* Pairs with the releases in shm_put_gauge and shm_settle. Before them every gauge is 0, but
     * those that came from another lane: who shows them has acquired moved_to. */
    bool written = atomic_load_explicit(&drain->lane.header->producer.gauge_writes,
                                        memory_order_acquire) != 0 ||
                   drain->lane.predecessor != 0;
    uint32_t found = 0;
    for (uint32_t i = from_series; i < drain->n_targets && found < n; i++) {
        const struct shm_target *target = &drain->targets[i];
        if (i == 0 || target->type != SHM_TYPE_GAUGE || target->lane_cell == SHM_NO_CELLS)
            continue;
        const _Atomic uint64_t *cells = &drain->lane.cells[target->lane_cell];
        struct shm_gauge_copy *gauge = &gauges[found++];
        *gauge = (struct shm_gauge_copy){.series = i};
        if (!written)
            continue;
        gauge->value =
            shm_value(atomic_load_explicit(&cells[SHM_CELL_VALUE], memory_order_relaxed));
        gauge->stamp_ns = atomic_load_explicit(&cells[SHM_CELL_STAMP], memory_order_relaxed);
    }
    return found;
}

/* Copies an observed total, with the start of its generation: see observed.h. Returns false if there
 * is none now, or none that an honest emitter writes. */
static bool read_observed(const _Atomic uint64_t *cells, struct shm_observed_copy *copy)
{
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        /* Pairs with the release in shm_cell_start. */
        uint64_t start_ns = atomic_load_explicit(&cells[SHM_CELL_START], memory_order_acquire);
        /* Pairs with the releases of the total in shm_put_total and shm_put_generation. */
        uint64_t total = atomic_load_explicit(&cells[SHM_CELL_TOTAL], memory_order_acquire);
        if (atomic_load_explicit(&cells[SHM_CELL_START], memory_order_relaxed) != start_ns)
            continue;
        copy->start_ns = start_ns;
        copy->total = shm_value(total);
        return start_ns != SHM_START_NONE && copy->total >= 0.0 && copy->total <= DBL_MAX;
    }
    return false;
}

uint32_t shm_drain_observed(const struct shm_drain *drain, uint32_t from_series,
                            struct shm_observed_copy *totals, uint32_t n)
{
    uint32_t found = 0;
    for (uint32_t i = from_series; i < drain->n_targets && found < n; i++) {
        const struct shm_target *target = &drain->targets[i];
        if (i == 0 || target->type != SHM_TYPE_OBSERVED || target->lane_cell == SHM_NO_CELLS)
            continue;
        totals[found].series = i;
        if (read_observed(&drain->lane.cells[target->lane_cell], &totals[found]))
            found++;
    }
    return found;
}

uint64_t shm_drain_moved_to(const struct shm_drain *drain)
{
    /* Pairs with the release in shm_producer_replace. */
    return atomic_load_explicit(&drain->lane.header->producer.moved_to, memory_order_acquire);
}
