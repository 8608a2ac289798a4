/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csrc/emit/ is the emitting half: this header records events, those of calls in calls.h and
 * observed totals in observed.h; place.h finds where; definitions.h gives them ids and room;
 * producer.h is an emitter's end of a lane; ask.h, wait.h and descriptor.h get one from a
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

#include "calls.h"
#include "observed.h"
#include "place.h"

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

#endif
