/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csrc/emit/ is the emitting half: this header records events; definitions.h gives them ids and
 * room; producer.h is an emitter's end of a lane; ask.h, wait.h and descriptor.h get one from a
 * collector; kick.h wakes that; process.h has the one producer of a process, across forks;
 * emit_span.h and ids.h are for spans. They include csrc/lane/ and nothing of the collecting half.
 *
 * Recording: one event is one call of one shm_emit function. It fills a record and publishes it,
 * or, when the ring is full, folds the event into the lane's cells. Counters and gauges are no more
 * than a total or a latest value: they are in their cells, and need no record.
 *
 * Nothing here blocks, allocates or fails: an event that cannot be kept is counted by cause in the
 * lane. The only system calls are the clock's and, once per half a ring, the wake-up of the
 * collector.
 */
#ifndef SHM_EMIT_H
#define SHM_EMIT_H

#include <math.h>

#include "definitions.h"

/* Notes the trace that the event belongs to; NULL: none. A spilled event loses it. */
static inline void shm_fill_trace(struct shm_record *slot, const struct shm_trace *trace)
{
    slot->flags = 0;
    if (trace) {
        slot->flags = SHM_FLAG_TRACE;
        slot->trace = *trace;
    }
}

/* Adds value to a counter, in its cell. value must not be negative, and the total must stay finite.
 * After a kill between the two stores the collector takes the event with the next one of the lane,
 * if at all, and the number of events is one short of the totals. */
static inline enum shm_emit shm_emit_add(struct shm_producer *p, struct shm_series *s, double value)
{
    if (SHM_UNLIKELY(!(value >= 0.0))) {
        shm_count_drop(p, SHM_DROP_BAD_VALUE, 1);
        return SHM_EMITTED;
    }
    if (SHM_UNLIKELY(s->generation != p->generation) && !(s = shm_prepare(p, s)))
        return SHM_EMITTED;
    _Atomic uint64_t *cell = &p->lane.cells[s->cell];
    double total = shm_value(atomic_load_explicit(cell, memory_order_relaxed)) + value;
    if (SHM_UNLIKELY(!isfinite(total))) {
        shm_count_drop(p, SHM_DROP_BAD_VALUE, 1);
        return SHM_EMITTED;
    }
    atomic_store_explicit(cell, shm_bits(total), memory_order_relaxed);
    _Atomic uint64_t *added = &p->lane.header->producer.added;
    /* Pairs with the acquire of added in shm_drain_pass: the cell is written. */
    atomic_store_explicit(added, atomic_load_explicit(added, memory_order_relaxed) + 1,
                          memory_order_release);
    return shm_attend(p);
}

/* Fills a record: the counter's total grows by value. */
static inline void shm_fill_add(struct shm_record *slot, uint32_t series, double value)
{
    slot->kind = SHM_KIND_ADD;
    slot->flags = 0;
    slot->series = series;
    slot->value = value;
}

/* Adds value to a counter as a record, which keeps the trace of this one event. */
static inline enum shm_emit shm_emit_add_traced(struct shm_producer *p, struct shm_series *s,
                                                double value, const struct shm_trace *trace)
{
    if (!isfinite(value) || value < 0.0) {
        shm_count_drop(p, SHM_DROP_BAD_VALUE, 1);
        return SHM_EMITTED;
    }
    if (s->generation != p->generation && !(s = shm_prepare(p, s)))
        return SHM_EMITTED;
    struct shm_record *slot = shm_ring_slot(&p->ring);
    if (slot || (slot = shm_slot(p))) {
        shm_fill_add(slot, s->id, value);
        shm_fill_trace(slot, trace);
        shm_ring_publish(&p->ring);
        return SHM_EMITTED;
    }
    struct shm_spill spill = shm_spill_begin(p->lane.header, p->lane.cells);
    shm_spill_add(&spill, s->cell, value);
    shm_spill_commit(&spill);
    return shm_attend(p);
}

/* Records that a histogram takes value, which must be finite. trace: NULL if it belongs to none. */
static inline enum shm_emit shm_emit_observe_traced(struct shm_producer *p, struct shm_series *s,
                                                    double value, const struct shm_trace *trace)
{
    if (!isfinite(value)) {
        shm_count_drop(p, SHM_DROP_BAD_VALUE, 1);
        return SHM_EMITTED;
    }
    if (s->generation != p->generation && !(s = shm_prepare(p, s)))
        return SHM_EMITTED;
    struct shm_record *slot = shm_ring_slot(&p->ring);
    if (slot || (slot = shm_slot(p))) {
        slot->kind = SHM_KIND_OBSERVE;
        shm_fill_trace(slot, trace);
        slot->series = s->id;
        slot->value = value;
        shm_ring_publish(&p->ring);
        return SHM_EMITTED;
    }
    struct shm_spill spill = shm_spill_begin(p->lane.header, p->lane.cells);
    shm_spill_observe(&spill, s->cell, s->bounds, s->n_bounds, value);
    shm_spill_commit(&spill);
    return shm_attend(p);
}

/* Records that a histogram takes value, which belongs to no trace. */
static inline enum shm_emit shm_emit_observe(struct shm_producer *p, struct shm_series *s,
                                             double value)
{
    return shm_emit_observe_traced(p, s, value, NULL);
}

/* Writes a gauge. It is state, not an event: its newest value is in its cells, where the collector
 * reads it. add is true for inc and dec, false for set. with_stamp: the family shows the most
 * recent value over all processes, so the time is needed. */
static inline enum shm_emit shm_emit_gauge(struct shm_producer *p, struct shm_series *s,
                                           double value, bool add, bool with_stamp)
{
    if (s->generation != p->generation && !(s = shm_prepare(p, s)))
        return SHM_EMITTED;
    _Atomic uint64_t *cells = &p->lane.cells[s->cell];
    if (add)
        shm_cell_add(&cells[SHM_CELL_VALUE], value);
    else
        atomic_store_explicit(&cells[SHM_CELL_VALUE], shm_bits(value), memory_order_relaxed);
    if (with_stamp)
        atomic_store_explicit(&cells[SHM_CELL_STAMP], shm_clock_ns(), memory_order_relaxed);
    _Atomic uint64_t *writes = &p->lane.header->producer.gauge_writes;
    /* Pairs with the acquire of gauge_writes in shm_drain_gauges. */
    atomic_store_explicit(writes, atomic_load_explicit(writes, memory_order_relaxed) + 1,
                          memory_order_release);
    return shm_attend(p);
}

/* Lists a call as open, if there is a slot. */
static inline void shm_list_call(struct shm_producer *p, const struct shm_series *s,
                                 struct shm_call *call)
{
    if (p->n_free == 0) {
        shm_count_drop(p, SHM_DROP_UNTRACKED_CALL, 1);
        return;
    }
    call->slot = p->free_calls[--p->n_free];
    struct shm_open_call *open = &p->lane.calls[call->slot];
    /* Pairs with its acquire in shm_drain_calls: the call before this one has left the slot. */
    atomic_store_explicit(&open->start_ns, call->start_ns, memory_order_release);
    /* Pairs with the acquire in shm_drain_calls: start_ns belongs to this call. */
    atomic_store_explicit(&open->series, s->id, memory_order_release);
    if (call->slot >= p->calls_high) {
        p->calls_high = call->slot + 1;
        /* Relaxed: the release of the slot's series orders all that the slot holds. */
        atomic_store_explicit(&p->lane.header->producer.calls_high, p->calls_high,
                              memory_order_relaxed);
    }
}

/* Begins a call: counts the start, then lists the call as open. (A kill between the two is noticed
 * by shm_recover_emitter.) */
static inline enum shm_emit shm_emit_call_start(struct shm_producer *p, struct shm_series *s,
                                                struct shm_call *call)
{
    call->open = false;
    if (s->generation != p->generation && !(s = shm_prepare(p, s)))
        return SHM_EMITTED;
    call->start_ns = shm_clock_ns();
    call->generation = p->generation;
    call->epoch = p->epoch;
    call->slot = SHM_NO_SLOT;
    call->open = true;
    call->traced = false;
    enum shm_emit result = SHM_EMITTED;
    struct shm_record *slot = shm_ring_slot(&p->ring);
    if (slot || (slot = shm_slot(p))) {
        slot->kind = SHM_KIND_CALL_START;
        slot->flags = 0;
        slot->series = s->id;
        slot->stamp_ns = call->start_ns;
        shm_ring_publish(&p->ring);
    } else {
        struct shm_spill spill = shm_spill_begin(p->lane.header, p->lane.cells);
        shm_spill_count(&spill, s->cell + SHM_CELL_STARTS, 1);
        shm_spill_call(&spill, SHM_KIND_CALL_START, s->id, call->start_ns);
        shm_spill_commit(&spill);
        result = shm_attend(p);
    }
    shm_list_call(p, s, call);
    return result;
}

/* Ends a call. exception: the series of the exception's class, or NULL. A second end of the same
 * call does nothing. */
static inline enum shm_emit shm_emit_call_end(struct shm_producer *p, struct shm_series *s,
                                              struct shm_call *call, struct shm_series *exception)
{
    if (!call->open)
        return SHM_EMITTED;
    call->open = false;
    if (call->epoch != p->epoch) {
        /* The parent of a fork started it; the parent will end it. */
        shm_count_drop(p, SHM_DROP_FOREIGN_CALL, 1);
        return SHM_EMITTED;
    }
    if (s->generation != p->generation && !(s = shm_prepare(p, s)))
        return SHM_EMITTED;
    if (exception)
        exception = shm_define_thrown(p, exception);
    uint64_t end_ns = shm_clock_ns();
    uint64_t duration_ns = end_ns - call->start_ns;
    enum shm_emit result = SHM_EMITTED;
    struct shm_record *slot = shm_ring_slot(&p->ring);
    if (slot || (slot = shm_slot(p))) {
        slot->kind = SHM_KIND_CALL_END;
        shm_fill_trace(slot, call->traced ? &call->trace : NULL);
        slot->series = s->id;
        slot->stamp_ns = end_ns;
        slot->duration_ns = duration_ns;
        slot->exception = exception ? exception->id : 0;
        shm_ring_publish(&p->ring);
    } else {
        struct shm_spill spill = shm_spill_begin(p->lane.header, p->lane.cells);
        shm_spill_call_end(&spill, s->cell, s->bounds, s->n_bounds, duration_ns);
        if (exception)
            shm_spill_count(&spill, exception->cell, 1);
        shm_spill_call(&spill, SHM_KIND_CALL_END, s->id, call->start_ns);
        shm_spill_commit(&spill);
        result = shm_attend(p);
    }
    if (call->slot != SHM_NO_SLOT && call->generation == p->generation) {
        /* Pairs with the acquire in shm_drain_calls: the end came first. */
        atomic_store_explicit(&p->lane.calls[call->slot].series, 0, memory_order_release);
        p->free_calls[p->n_free++] = (uint16_t)call->slot;
    }
    return result;
}

#endif
