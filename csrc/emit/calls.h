/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls: a start, an end, and the list of those that are open. The list is in the lane, so that the
 * collector sees which calls a process is in, and which it died in.
 */
#ifndef SHM_CALLS_H
#define SHM_CALLS_H

#include "place.h"

/* Lists a call as open, if there is a slot. All slots are p's, also those of calls that wait: they
 * keep their numbers in the next lane. */
SHM_HOT void shm_list_call(struct shm_producer *p, struct shm_producer *where,
                                 const struct shm_series *s, struct shm_call *call)
{
    if (p->n_free == 0) {
        shm_drop_quietly(p, s->family, SHM_DROP_UNTRACKED_CALL);
        return;
    }
    call->slot = p->free_calls[--p->n_free];
    shm_fill_slot(where, call->slot, s->id, call->start_ns);
}

/* Folds the start of a call into a lane's cells. */
SHM_HOT void shm_spill_start(struct shm_producer *where, uint32_t cell, uint32_t series,
                             uint64_t start_ns)
{
    struct shm_spill spill = shm_spill_begin(where->lane.header, where->lane.cells);
    shm_spill_count(&spill, cell + SHM_CELL_STARTS, 1);
    shm_spill_call(&spill, SHM_KIND_CALL_START, series, start_ns);
    shm_spill_commit(&spill);
}

/* The start of a call that took the slow path. Neither this nor the end of one is handed a pointer
 * to the call, so that the usual call can stay in registers. */
struct shm_begun {
    uint64_t start_ns;
    uint32_t slot;
    bool open;
    enum shm_emit result;
};

/* Spills the start of a call of a series that has no cells yet. */
static SHM_COLD struct shm_begun shm_start_without_cells(struct shm_producer *p,
                                                         struct shm_producer *where,
                                                         struct shm_series *s, uint64_t start_ns)
{
    struct shm_call call = {.start_ns = start_ns, .slot = SHM_NO_SLOT};
    struct shm_place place = shm_find_cells(p, where, s);
    if (!place.series)
        return (struct shm_begun){start_ns, SHM_NO_SLOT, false, SHM_EMITTED};
    shm_spill_start(place.producer, place.cell, place.series->id, start_ns);
    enum shm_emit result = shm_attend_slow(p, shm_attend(place.producer));
    shm_list_call(p, place.producer, place.series, &call);
    return (struct shm_begun){start_ns, call.slot, true, result};
}

/* Records the start of a call in a lane: p's own, or that of what waits. */
SHM_HOT enum shm_emit shm_put_call_start(struct shm_producer *p, struct shm_producer *where,
                                         struct shm_series *s, struct shm_call *call)
{
    call->start_ns = shm_clock_ns();
    call->calls_generation = p->calls_generation;
    call->slot = SHM_NO_SLOT;
    call->open = true;
    call->traced = false;
    enum shm_emit result = SHM_EMITTED;
    if (shm_has_slot(where)) {
        struct shm_record *slot = shm_ring_next(&where->ring);
        slot->kind = SHM_KIND_CALL_START;
        slot->flags = 0;
        slot->series = s->id;
        slot->stamp_ns = call->start_ns;
        shm_ring_publish(&where->ring);
    } else {
        uint32_t cell = shm_cell_of(s);
        if (SHM_UNLIKELY(cell == SHM_NO_CELLS)) {
            struct shm_begun begun = shm_start_without_cells(p, where, s, call->start_ns);
            call->slot = begun.slot;
            call->open = begun.open;
            return begun.result;
        }
        shm_spill_start(where, cell, s->id, call->start_ns);
        result = shm_attend(where);
    }
    shm_list_call(p, where, s, call);
    return result;
}

static SHM_COLD struct shm_begun shm_find_call_start(struct shm_producer *p, struct shm_series *s)
{
    struct shm_call call = {.open = false};
    struct shm_place place = shm_find(p, s);
    if (place.series)
        place.result |= shm_put_call_start(p, place.producer, place.series, &call);
    return (struct shm_begun){call.start_ns, call.slot, call.open, place.result};
}

/* Begins a call: counts the start, then lists the call as open. (A kill between the two is noticed
 * by shm_recover_emitter.) */
static inline enum shm_emit shm_emit_call_start(struct shm_producer *p, struct shm_series *s,
                                                struct shm_call *call)
{
    if (SHM_UNLIKELY(s->generation != p->generation)) {
        struct shm_begun begun = shm_find_call_start(p, s);
        call->start_ns = begun.start_ns;
        call->calls_generation = p->calls_generation;
        call->slot = begun.slot;
        call->open = begun.open;
        call->traced = false;
        return begun.result;
    }
    return shm_put_call_start(p, p, s, call);
}

/* Describes a call that has just begun, if it is listed: how long its caller waits (0: not known),
 * and its trace (NULL: it belongs to none). */
static SHM_APART void shm_describe_call(struct shm_producer *p, const struct shm_call *call,
                                        uint32_t timeout_ms, const struct shm_trace *trace)
{
    if (!call->open || call->slot == SHM_NO_SLOT)
        return;
    uint64_t words[SHM_TRACE_WORDS] = {0};
    if (trace)
        memcpy(words, trace, sizeof words);
    const struct shm_lane *lane = &p->lane;
    /* Relaxed: this thread wrote it. The call may have begun among what waits. */
    if (p->waiting && atomic_load_explicit(&lane->calls[call->slot].start_ns,
                                           memory_order_relaxed) != call->start_ns)
        lane = &p->waiting->lane;
    shm_describe_slot(lane, call->slot, call->start_ns, timeout_ms, words);
}

/* Finds where the end of a call of s and its exception are recorded: in one lane. */
static SHM_COLD struct shm_place shm_find_end(struct shm_producer *p, struct shm_series *s,
                                              struct shm_series *exception)
{
    struct shm_place place = shm_find(p, s);
    if (place.series && exception)
        place.exception = shm_place_thrown(p, &place, exception);
    return place;
}

/* Finds cells for the end of a call. The exception goes along, and is defined anew in another
 * lane. */
static SHM_COLD struct shm_place shm_find_end_cells(struct shm_producer *p,
                                                    struct shm_producer *where,
                                                    struct shm_series *s,
                                                    struct shm_series *exception)
{
    struct shm_place place = shm_find_cells(p, where, s);
    place.exception = exception;
    if (!place.series || !exception || exception->generation == place.producer->lane_generation)
        return place;
    place.exception = shm_place_thrown(p, &place, exception);
    place.cell = shm_take_cells(place.producer, place.series); /* if it followed its exception */
    if (place.cell == SHM_NO_CELLS)
        place.series = NULL;
    return place;
}

/* Folds the end of a call into a lane's cells. */
SHM_HOT void shm_spill_end(struct shm_producer *where, uint32_t cell, const struct shm_series *s,
                           uint64_t start_ns, uint64_t duration_ns,
                           const struct shm_series *exception)
{
    struct shm_spill spill = shm_spill_begin(where->lane.header, where->lane.cells);
    shm_spill_call_end(&spill, cell, s->bounds, s->n_bounds, duration_ns);
    if (exception)
        shm_spill_count(&spill, exception->cell, 1);
    shm_spill_call(&spill, SHM_KIND_CALL_END, s->id, start_ns);
    shm_spill_commit(&spill);
}

/* Lists a call no more whose end waits. One that began in the lane stays in its slot there until the
 * end counts, too: a kill before that loses the end, and the call is abandoned. */
static SHM_APART void shm_unlist_waiting(struct shm_producer *p, const struct shm_series *s,
                                         uint32_t slot)
{
    struct shm_open_call *open = &p->waiting->lane.calls[slot];
    bool is_listed = atomic_load_explicit(&p->lane.calls[slot].series, memory_order_relaxed) != 0;
    atomic_store_explicit(&open->start_ns, s->id, memory_order_relaxed);
    atomic_store_explicit(&open->series, is_listed ? SHM_ENDED_CALL : 0, memory_order_relaxed);
    if (!is_listed)
        p->free_calls[p->n_free++] = (uint16_t)slot;
    else if (slot >= p->waiting->calls_high)
        p->waiting->calls_high = slot + 1;
}

/* Takes a call off the list of open ones, if it is on that. where: the lane in which it ends. */
SHM_HOT void shm_unlist_call(struct shm_producer *p, const struct shm_producer *where,
                             const struct shm_series *s, uint32_t slot)
{
    if (slot == SHM_NO_SLOT)
        return;
    if (SHM_UNLIKELY(where != p)) {
        shm_unlist_waiting(p, s, slot);
        return;
    }
    /* Pairs with the acquire in shm_drain_calls: the end came first. */
    atomic_store_explicit(&p->lane.calls[slot].series, 0, memory_order_release);
    p->free_calls[p->n_free++] = (uint16_t)slot;
}

/* Spills the end of a call of a series that has no cells yet. */
static SHM_COLD enum shm_emit shm_end_without_cells(struct shm_producer *p,
                                                    struct shm_producer *where,
                                                    struct shm_series *s, uint64_t start_ns,
                                                    uint64_t duration_ns,
                                                    struct shm_series *exception, uint32_t slot)
{
    struct shm_place place = shm_find_end_cells(p, where, s, exception);
    if (!place.series)
        return SHM_EMITTED;
    shm_spill_end(place.producer, place.cell, place.series, start_ns, duration_ns,
                  place.exception);
    shm_unlist_call(p, place.producer, place.series, slot);
    return shm_attend_slow(p, shm_attend(place.producer));
}

/* Records the end of a call in a lane: p's own, or that of what waits. exception: defined there, or
 * NULL. */
SHM_HOT enum shm_emit shm_put_call_end(struct shm_producer *p, struct shm_producer *where,
                                       struct shm_series *s, const struct shm_call *call,
                                       struct shm_series *exception)
{
    uint64_t end_ns = shm_clock_ns();
    uint64_t duration_ns = end_ns - call->start_ns;
    enum shm_emit result = SHM_EMITTED;
    if (shm_has_slot(where)) {
        struct shm_record *slot = shm_ring_next(&where->ring);
        slot->kind = SHM_KIND_CALL_END;
        shm_fill_trace(slot, call->traced ? &call->trace : NULL);
        slot->series = s->id;
        slot->stamp_ns = end_ns;
        slot->duration_ns = duration_ns;
        slot->exception = exception ? exception->id : 0;
        shm_ring_publish(&where->ring);
    } else {
        uint32_t cell = shm_cell_of(s);
        if (SHM_UNLIKELY(cell == SHM_NO_CELLS))
            return shm_end_without_cells(p, where, s, call->start_ns, duration_ns, exception,
                                         call->slot);
        shm_spill_end(where, cell, s, call->start_ns, duration_ns, exception);
        result = shm_attend(where);
    }
    shm_unlist_call(p, where, s, call->slot);
    return result;
}

/* A call that ends, as the slow path gets it. The trace is in numbers: arrays of bytes would get
 * the caller a guard of its stack, at every call. */
struct shm_ending {
    uint64_t start_ns;
    uint64_t trace[sizeof(struct shm_trace) / sizeof(uint64_t)];
    uint64_t calls_generation;
    uint32_t slot;
    bool traced;
};

static SHM_COLD enum shm_emit shm_find_call_end(struct shm_producer *p, struct shm_series *s,
                                                struct shm_ending ending,
                                                struct shm_series *exception)
{
    if (shm_epoch_of(ending.calls_generation) != p->epoch) {
        /* The parent of a fork started it; the parent will end it. */
        return shm_drop_of(p, s->family, SHM_DROP_FOREIGN_CALL);
    }
    bool is_left = ending.calls_generation != p->calls_generation; /* and listed no more */
    struct shm_call call = {.start_ns = ending.start_ns,
                            .slot = is_left ? SHM_NO_SLOT : ending.slot,
                            .traced = ending.traced};
    memcpy(&call.trace, ending.trace, sizeof call.trace);
    struct shm_place place = shm_find_end(p, s, exception);
    /* It may be listed among what waits; then it is in no slot of the lane. Relaxed: private
     * memory. */
    if (p->waiting && place.producer == p && call.slot != SHM_NO_SLOT)
        atomic_store_explicit(&p->waiting->lane.calls[call.slot].series, 0, memory_order_relaxed);
    if (!place.series) {
        /* of a series that was removed */
        shm_unlist_call(p, p, s, call.slot);
        return place.result;
    }
    return place.result | shm_put_call_end(p, place.producer, place.series, &call, place.exception);
}

/* Ends a call. exception: the series of the exception's class, or NULL. A second end of the same
 * call does nothing. */
static inline enum shm_emit shm_emit_call_end(struct shm_producer *p, struct shm_series *s,
                                              struct shm_call *call, struct shm_series *exception)
{
    if (!call->open)
        return SHM_EMITTED;
    call->open = false;
    if (SHM_UNLIKELY(call->calls_generation != p->calls_generation) ||
        SHM_UNLIKELY(s->generation != p->generation) ||
        (exception && exception->generation != p->generation)) {
        struct shm_ending ending = {.start_ns = call->start_ns,
                                    .calls_generation = call->calls_generation,
                                    .slot = call->slot,
                                    .traced = call->traced};
        if (call->traced)
            memcpy(ending.trace, &call->trace, sizeof ending.trace);
        return shm_find_call_end(p, s, ending, exception);
    }
    return shm_put_call_end(p, p, s, call, exception);
}

#endif
