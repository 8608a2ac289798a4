/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csrc/emit/ is the emitting half: this header records events; definitions.h gives them ids and
 * room; producer.h is an emitter's end of a lane; ask.h, wait.h and descriptor.h get one from a
 * collector; kick.h wakes that; process.h has the one producer of a process, across forks;
 * move.h goes on in a larger lane; emit_span.h and ids.h are for spans. They include csrc/lane/ and
 * nothing of the collecting half.
 *
 * Recording: one event is one call of one shm_emit function. It fills a record and publishes it,
 * or, when the ring is full, folds the event into the lane's cells. Counters, gauges and observed
 * totals are no more than a total or a latest value: they are in their cells, and need no record.
 *
 * Each has three parts: shm_emit_* takes the usual event of a series that the lane knows;
 * shm_find_*, cold, finds where any other one is recorded; and shm_put_* records it there.
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
    if (SHM_UNLIKELY(trace)) {
        slot->flags = SHM_FLAG_TRACE;
        slot->trace = *trace;
    }
}

/* Tells whether there are news, or it is time to look for a larger lane, after an event that took
 * the slow path. */
static inline enum shm_emit shm_attend_slow(struct shm_producer *p, enum shm_emit result)
{
    if (p->has_news)
        return shm_tell(p);
    return result == SHM_EMITTED && p->wants_larger ? shm_attend_now(p) : result;
}

/* Finds where an event of s is recorded, and looks whether the larger lane is there. */
static SHM_COLD struct shm_place shm_find(struct shm_producer *p, struct shm_series *s)
{
    struct shm_place place = shm_place_of(p, s);
    place.result = shm_attend_slow(p, SHM_EMITTED);
    return place;
}

/* Finds cells for an event of s that the ring has no room for, in a lane: p's own, or that of what
 * waits. */
static SHM_COLD struct shm_place shm_find_cells(struct shm_producer *p, struct shm_producer *where,
                                                struct shm_series *s)
{
    struct shm_place place = {.producer = where, .series = s};
    if (!shm_place_cells(p, &place))
        place.series = NULL;
    return place;
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

/* ---- counters --------------------------------------------------------------------------- */

SHM_HOT enum shm_emit shm_put_add(struct shm_producer *p, struct shm_series *s, double value)
{
    _Atomic uint64_t *cell = &p->lane.cells[s->cell];
    double total = shm_value(atomic_load_explicit(cell, memory_order_relaxed)) + value;
    if (SHM_UNLIKELY(!isfinite(total))) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    atomic_store_explicit(cell, shm_bits(total), memory_order_relaxed);
    _Atomic uint64_t *added = &p->lane.header->producer.added;
    /* Pairs with the acquire of added in shm_drain_pass: the cell is written. */
    atomic_store_explicit(added, atomic_load_explicit(added, memory_order_relaxed) + 1,
                          memory_order_release);
    return shm_attend(p);
}

static SHM_COLD enum shm_emit shm_find_add(struct shm_producer *p, struct shm_series *s,
                                           double value)
{
    struct shm_place place = shm_place_of(p, s);
    if (!place.series)
        return shm_attend_slow(p, SHM_EMITTED);
    return shm_attend_slow(p, shm_put_add(place.producer, place.series, value));
}

/* Adds value to a counter, in its cell. value must not be negative, and the total must stay finite.
 * After a kill between the two stores the collector takes the event with the next one of the lane,
 * if at all, and the number of events is one short of the totals. */
static inline enum shm_emit shm_emit_add(struct shm_producer *p, struct shm_series *s, double value)
{
    if (SHM_UNLIKELY(!(value >= 0.0))) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    if (SHM_UNLIKELY(s->generation != p->generation))
        return shm_find_add(p, s, value);
    return shm_put_add(p, s, value);
}

/* Fills a record: the counter's total grows by value. */
static inline void shm_fill_add(struct shm_record *slot, uint32_t series, double value)
{
    slot->kind = SHM_KIND_ADD;
    slot->flags = 0;
    slot->series = series;
    slot->value = value;
}

SHM_HOT enum shm_emit shm_put_add_traced(struct shm_producer *p, struct shm_series *s,
                                               double value, const struct shm_trace *trace)
{
    if (shm_has_slot(p)) {
        struct shm_record *slot = shm_ring_next(&p->ring);
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

static SHM_COLD enum shm_emit shm_find_add_traced(struct shm_producer *p, struct shm_series *s,
                                                  double value, const struct shm_trace *trace)
{
    struct shm_place place = shm_place_of(p, s);
    if (!place.series)
        return shm_attend_slow(p, SHM_EMITTED);
    return shm_attend_slow(p, shm_put_add_traced(place.producer, place.series, value, trace));
}

/* Adds value to a counter as a record, which keeps the trace of this one event. */
static inline enum shm_emit shm_emit_add_traced(struct shm_producer *p, struct shm_series *s,
                                                double value, const struct shm_trace *trace)
{
    if (!isfinite(value) || value < 0.0) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    if (SHM_UNLIKELY(s->generation != p->generation))
        return shm_find_add_traced(p, s, value, trace);
    return shm_put_add_traced(p, s, value, trace);
}

/* ---- histograms ------------------------------------------------------------------------- */

static enum shm_emit shm_spill_observed(struct shm_producer *p, struct shm_producer *where,
                                        struct shm_series *s, double value);

/* Records an observation in a lane: p's own, or that of what waits. */
SHM_HOT enum shm_emit shm_put_observe(struct shm_producer *p, struct shm_producer *where,
                                      struct shm_series *s, double value,
                                      const struct shm_trace *trace)
{
    if (shm_has_slot(where)) {
        struct shm_record *slot = shm_ring_next(&where->ring);
        slot->kind = SHM_KIND_OBSERVE;
        shm_fill_trace(slot, trace);
        slot->series = s->id;
        slot->value = value;
        shm_ring_publish(&where->ring);
        return SHM_EMITTED;
    }
    uint32_t cell = shm_cell_of(s);
    if (SHM_UNLIKELY(cell == SHM_NO_CELLS))
        return shm_spill_observed(p, where, s, value);
    struct shm_spill spill = shm_spill_begin(where->lane.header, where->lane.cells);
    shm_spill_observe(&spill, cell, s->bounds, s->n_bounds, value);
    shm_spill_commit(&spill);
    return shm_attend(where);
}

/* Spills an observation of a series that has no cells yet. */
static SHM_COLD enum shm_emit shm_spill_observed(struct shm_producer *p,
                                                 struct shm_producer *where, struct shm_series *s,
                                                 double value)
{
    struct shm_place place = shm_find_cells(p, where, s);
    if (!place.series)
        return SHM_EMITTED;
    where = place.producer;
    struct shm_spill spill = shm_spill_begin(where->lane.header, where->lane.cells);
    shm_spill_observe(&spill, place.cell, place.series->bounds, place.series->n_bounds, value);
    shm_spill_commit(&spill);
    return shm_attend_slow(p, shm_attend(where));
}

static SHM_COLD enum shm_emit shm_find_observe(struct shm_producer *p, struct shm_series *s,
                                               double value, const struct shm_trace *trace)
{
    struct shm_place place = shm_find(p, s);
    if (!place.series)
        return place.result;
    return place.result | shm_put_observe(p, place.producer, place.series, value, trace);
}

/* Records that a histogram takes value, which must be finite. trace: NULL if it belongs to none. */
static inline enum shm_emit shm_emit_observe_traced(struct shm_producer *p, struct shm_series *s,
                                                    double value, const struct shm_trace *trace)
{
    if (!isfinite(value)) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    if (SHM_UNLIKELY(s->generation != p->generation))
        return shm_find_observe(p, s, value, trace);
    return shm_put_observe(p, p, s, value, trace);
}

/* Records that a histogram takes value, which belongs to no trace. */
static inline enum shm_emit shm_emit_observe(struct shm_producer *p, struct shm_series *s,
                                             double value)
{
    return shm_emit_observe_traced(p, s, value, NULL);
}

/* ---- gauges ----------------------------------------------------------------------------- */

SHM_HOT enum shm_emit shm_put_gauge(struct shm_producer *p, struct shm_series *s,
                                          double value, bool add, bool with_stamp)
{
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

static SHM_COLD enum shm_emit shm_find_gauge(struct shm_producer *p, struct shm_series *s,
                                             double value, bool add, bool with_stamp)
{
    struct shm_place place = shm_place_of(p, s);
    if (!place.series)
        return shm_attend_slow(p, SHM_EMITTED);
    return shm_attend_slow(p,
                           shm_put_gauge(place.producer, place.series, value, add, with_stamp));
}

/* Writes a gauge. It is state, not an event: its newest value is in its cells, where the collector
 * reads it. add is true for inc and dec, false for set. with_stamp: the family shows the most
 * recent value over all processes, so the time is needed. */
static inline enum shm_emit shm_emit_gauge(struct shm_producer *p, struct shm_series *s,
                                           double value, bool add, bool with_stamp)
{
    if (SHM_UNLIKELY(s->generation != p->generation))
        return shm_find_gauge(p, s, value, add, with_stamp);
    return shm_put_gauge(p, s, value, add, with_stamp);
}

/* ---- observed totals -------------------------------------------------------------------- */

/*
 * A total that is kept elsewhere, as the kernel's counters are, in two cells: the total, and the
 * start of its generation. A total never falls within a generation. The collector reads both cells
 * while they may change, and never shows a total of one generation with the start of another: the
 * total of a new one with the start of the old one would look as if the old total had grown.
 *
 * The first total is two stores: the total, then the start (unknown). Without a start there is
 * nothing to show. A new generation is three:
 *
 *     total = 0          the old start still: a counter that was reset, a moment too early
 *     start = now        release: who sees this start sees that 0, or what came after it
 *     total = value      release: who sees this total sees that start, or a later one
 *
 * Between any two of them the cells hold something true, so a kill there leaves something true.
 * read_observed in csrc/drain/state.c takes the start, the total, and the start again, until the
 * start was the same twice. Then both were in the cells at one time: had the total been of a later
 * generation, the second look would have found a later start; of an earlier one it cannot be, as
 * the first look found the start that came after it. No two starts of a series are equal.
 */

/* Tells whether a total can be a counter's. */
static inline bool shm_is_total(double value)
{
    return value >= 0.0 && value <= DBL_MAX;
}

SHM_HOT enum shm_emit shm_put_total(struct shm_producer *p, struct shm_series *s, double value)
{
    _Atomic uint64_t *cells = &p->lane.cells[s->cell];
    double total = shm_value(atomic_load_explicit(&cells[SHM_CELL_TOTAL], memory_order_relaxed));
    if (SHM_UNLIKELY(!(value >= total && value <= DBL_MAX))) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    /* Pairs with the acquire of the total in read_observed. 0.0: -0.0 would be shown as it is. */
    atomic_store_explicit(&cells[SHM_CELL_TOTAL], shm_bits(value + 0.0), memory_order_release);
    if (SHM_UNLIKELY(atomic_load_explicit(&cells[SHM_CELL_START], memory_order_relaxed) ==
                     SHM_START_NONE))
        shm_cell_start(cells, SHM_START_UNKNOWN);
    return shm_attend(p);
}

static SHM_COLD enum shm_emit shm_find_total(struct shm_producer *p, struct shm_series *s,
                                             double value)
{
    if (!shm_is_total(value)) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    struct shm_place place = shm_place_of(p, s);
    if (!place.series)
        return shm_attend_slow(p, SHM_EMITTED);
    return shm_attend_slow(p, shm_put_total(place.producer, place.series, value));
}

/* Sets an observed total. A value that is lower than the total, negative or not finite is dropped
 * and counted. */
static inline enum shm_emit shm_emit_total(struct shm_producer *p, struct shm_series *s,
                                           double value)
{
    if (SHM_UNLIKELY(s->generation != p->generation))
        return shm_find_total(p, s, value);
    return shm_put_total(p, s, value);
}

/* Sets n observed totals. A total whose value is NaN, or whose series is NULL, stays as it is. */
static inline enum shm_emit shm_emit_totals(struct shm_producer *p,
                                            struct shm_series *const *series,
                                            const double *values, uint32_t n)
{
    enum shm_emit result = SHM_EMITTED;
    for (uint32_t i = 0; i < n; i++)
        if (series[i] && !isnan(values[i]) &&
            shm_emit_total(p, series[i], values[i]) != SHM_EMITTED)
            result = SHM_ATTENTION;
    return result;
}

static inline enum shm_emit shm_put_generation(struct shm_producer *p, const struct shm_series *s,
                                               double value)
{
    _Atomic uint64_t *cells = &p->lane.cells[s->cell];
    uint64_t start_ns = shm_clock_ns();
    uint64_t before_ns = atomic_load_explicit(&cells[SHM_CELL_START], memory_order_relaxed);
    if (start_ns <= before_ns)
        start_ns = before_ns + 1;
    atomic_store_explicit(&cells[SHM_CELL_TOTAL], shm_bits(0.0), memory_order_relaxed);
    shm_cell_start(cells, start_ns);
    /* Pairs with the acquire of the total in read_observed. */
    atomic_store_explicit(&cells[SHM_CELL_TOTAL], shm_bits(value + 0.0), memory_order_release);
    return shm_attend(p);
}

/* Begins a new generation of an observed total now, with a value, often 0: a counter was reset. A
 * negative or infinite value, or NaN, is dropped and counted, and begins none. */
static inline enum shm_emit shm_emit_generation(struct shm_producer *p, struct shm_series *s,
                                                double value)
{
    if (!shm_is_total(value)) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    struct shm_place place = shm_place_of(p, s);
    if (!place.series)
        return shm_attend_slow(p, SHM_EMITTED);
    return shm_attend_slow(p, shm_put_generation(place.producer, place.series, value));
}

/* ---- calls ------------------------------------------------------------------------------ */

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

/* The start of a call that took the slow path. Neither this nor the end of one is handed a pointer to
 * the call, so that the usual call can stay in registers. */
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

/* What the slow path has to know of a call that ends. The trace is in numbers: arrays of bytes would
 * get the caller a guard of its stack, at every call. */
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
