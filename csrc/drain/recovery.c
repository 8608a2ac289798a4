/* SPDX-License-Identifier: Apache-2.0 */
#include "recovery.h"

bool shm_recover(struct shm_drain *drain)
{
    struct shm_undo *undo = drain->undo;
    if (undo->kind == SHM_UNDO_NONE || undo->lane_id != drain->lane.lane_id)
        return true;
    bool counts = false;
    if (undo->kind == SHM_UNDO_RECORD)
        counts = undo->index == drain->ring.tail;
    else if (undo->kind == SHM_UNDO_CELL && undo->index < drain->lane.n_cells)
        counts = undo->seen == atomic_load_explicit(&drain->lane.seen[undo->index],
                                                    memory_order_relaxed);
    else if (undo->kind == SHM_UNDO_CALL && undo->index < drain->lane.n_calls)
        counts = undo->seen == atomic_load_explicit(&drain->lane.calls[undo->index].series,
                                                    memory_order_relaxed);
    else if (undo->kind == SHM_UNDO_REPORT && undo->index < SHM_REPORTS)
        counts = undo->seen == atomic_load_explicit(&drain->ledger->counts[undo->index],
                                                    memory_order_relaxed);
    if (counts)
        return shm_undo_restore(undo, drain->cells, drain->n_cells);
    undo->kind = SHM_UNDO_NONE;
    return true;
}

void shm_recover_pass(struct shm_drain *drain)
{
    struct shm_undo *undo = drain->undo;
    if (undo->lane_id != drain->lane.lane_id)
        return; /* the pass had not begun to fold */
    if (undo->kind == SHM_UNDO_CELL || undo->kind == SHM_UNDO_CALL ||
        undo->kind == SHM_UNDO_REPORT ||
        (undo->kind == SHM_UNDO_RECORD && undo->index == drain->ring.tail))
        (void)shm_undo_restore(undo, drain->cells, drain->n_cells); /* ours, so it is sound */
}

/* Returns the slot in which a call is listed, or NULL. series 0, start 0: a free slot. */
static struct shm_open_call *find_call(struct shm_drain *drain, uint32_t series, uint64_t start_ns)
{
    for (uint32_t slot = 0; slot < drain->lane.n_calls; slot++) {
        struct shm_open_call *open = &drain->lane.calls[slot];
        if (atomic_load_explicit(&open->series, memory_order_relaxed) == series &&
            (series == 0 ||
             atomic_load_explicit(&open->start_ns, memory_order_relaxed) == start_ns))
            return open;
    }
    return NULL;
}

/* Brings the list of open calls up to the start or the end that came last. */
static void relist_call(struct shm_drain *drain, uint32_t kind, uint32_t series, uint64_t start_ns)
{
    if (series == 0 || (kind != SHM_KIND_CALL_START && kind != SHM_KIND_CALL_END))
        return;
    struct shm_open_call *open = find_call(drain, series, start_ns);
    if (kind == SHM_KIND_CALL_END) {
        if (open)
            atomic_store_explicit(&open->series, 0, memory_order_relaxed);
        return;
    }
    if (!open && (open = find_call(drain, 0, 0))) {
        atomic_store_explicit(&open->start_ns, start_ns, memory_order_relaxed);
        atomic_store_explicit(&open->series, series, memory_order_relaxed);
    }
}

/* Frees the slots of calls whose ends are in a spill. */
static void free_slots(struct shm_drain *drain, const struct shm_intent *intent)
{
    for (uint32_t i = 0; i < intent->n && i < SHM_INTENT_CHANGES; i++)
        if (intent->changes[i].frees_slot && intent->changes[i].cell < drain->lane.n_calls)
            atomic_store_explicit(&drain->lane.calls[intent->changes[i].cell].series, 0,
                                  memory_order_relaxed);
}

/* Carries out the event that was being spilled. Tells whether it is, or just was, the latest. */
static bool finish_spill(struct shm_drain *drain, const struct shm_intent *intent)
{
    _Atomic uint64_t *spilled_total = &drain->lane.header->producer.spilled;
    uint64_t spilled = atomic_load_explicit(spilled_total, memory_order_relaxed);
    if (intent->spilled != spilled)
        return intent->spilled + 1 == spilled;
    for (uint32_t i = 0; i < intent->n && i < SHM_INTENT_CHANGES; i++)
        if (!intent->changes[i].frees_slot && intent->changes[i].cell < drain->lane.n_cells)
            atomic_store_explicit(&drain->lane.cells[intent->changes[i].cell],
                                  intent->changes[i].value, memory_order_relaxed);
    if (intent->n > 0)
        atomic_store_explicit(spilled_total, spilled + 1, memory_order_relaxed);
    return intent->n > 0;
}

/* Brings the list of open calls up to the starts and ends that were counted. */
static void finish_list(struct shm_drain *drain, const struct shm_intent *intent, bool spilling)
{
    struct shm_header *header = drain->lane.header;
    uint64_t head = atomic_load_explicit(&header->producer.head, memory_order_relaxed);
    if (intent->head == head) {
        if (spilling) {
            free_slots(drain, intent);
            relist_call(drain, intent->kind, intent->series, intent->start_ns);
        }
    } else if (drain->lane.records > 0 && head != SHM_INDEX_START) {
        struct shm_record last = drain->lane.ring[(head - 1) & (drain->lane.records - 1)];
        uint64_t start_ns = last.stamp_ns;
        if (last.kind == SHM_KIND_CALL_END)
            start_ns -= last.duration_ns;
        relist_call(drain, last.kind, last.series, start_ns);
    }
    /* Once anything is counted, every slot holds. Before that it may be a move from the private
     * lane that was under way: nothing of it counts. */
    if (head != SHM_INDEX_START ||
        atomic_load_explicit(&header->producer.spilled, memory_order_relaxed) != 0)
        atomic_store_explicit(&header->producer.calls_high, drain->lane.n_calls,
                              memory_order_relaxed);
    /* Done, once and for all: a collector that comes here again, after a kill, must not list a call
     * that was given up meanwhile. */
    atomic_store_explicit(&header->intent.spilled, SHM_INTENT_NONE, memory_order_relaxed);
    shm_fence();
    header->intent.head = head;
}

void shm_recover_emitter(struct shm_drain *drain)
{
    struct shm_intent intent = drain->lane.header->intent; /* copy, then check, then use */
    bool spilling = finish_spill(drain, &intent);
    finish_list(drain, &intent, spilling);
}
