/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The move into a larger lane, while the process goes on.
 *
 *   lane:     known series        ... asks ...        gauges, open calls ──┐
 *   waiting:        │ no room: new series ─────────► events, definitions ──┤
 *   new lane:                                                   all of it ◄┘   moved_to
 *
 * What waits becomes the new lane, definitions and ids as they are. Of the old lane only what is
 * state comes along: gauges, and open calls. No total does, so none can count twice. Every other
 * series is defined in the new lane at its next event, and those that have no more events stay
 * behind.
 *
 * One store makes the move: moved_to, in the old lane. Before it the state in the old lane is what
 * counts, after it that in the new one.
 *
 * If there can be no larger lane, what waits goes back into the lane: under its own labels as far
 * as there is room, and into the overflow series of its families.
 *
 * The caller blocks signals: nothing may be recorded meanwhile.
 */
#ifndef SHM_MOVE_H
#define SHM_MOVE_H

#include "definitions.h"

/* Returns the series with an id of this lane, if it still exists. */
static inline struct shm_series *shm_series_of(const struct shm_producer *p, uint32_t id)
{
    return id > 0 && id <= p->series && id < p->n_by_id ? p->by_id[id] : NULL;
}

/* Returns the series of an open call in a slot of this lane, or NULL. */
static inline struct shm_series *shm_caller_of(const struct shm_producer *p, uint32_t slot)
{
    return shm_series_of(
        p, atomic_load_explicit(&p->lane.calls[slot].series, memory_order_relaxed));
}

/* ---- state ------------------------------------------------------------------------------ */

/* Defines a series of p's lane among what waits. It is not the lane's any more: on an overflow
 * series, that of the other definition of the family takes its place. */
static inline struct shm_series *shm_carry_series(struct shm_producer *waiting,
                                                  struct shm_series *s)
{
    if (s->generation == waiting->lane_generation)
        return s;
    if (!shm_is_overflow(s))
        return shm_define_here(waiting, s) ? s : NULL;
    return shm_overflow_of(waiting, s->family);
}

/* Takes a gauge along, with its value and its stamp. */
static inline void shm_carry_gauge(const struct shm_producer *p, struct shm_producer *waiting,
                                   struct shm_series *s)
{
    uint32_t from = s->cell;
    if (!shm_carry_series(waiting, s))
        return;
    for (uint32_t i = 0; i < shm_cells_of(SHM_TYPE_GAUGE, 0); i++)
        atomic_store_explicit(
            &waiting->lane.cells[s->cell + i],
            atomic_load_explicit(&p->lane.cells[from + i], memory_order_relaxed),
            memory_order_relaxed);
}

/* Takes an open call along, in its slot. */
static inline void shm_carry_call(const struct shm_producer *p, struct shm_producer *waiting,
                                  uint32_t slot, struct shm_series *s)
{
    s = shm_carry_series(waiting, s);
    if (!s)
        return;
    uint64_t start_ns = atomic_load_explicit(&p->lane.calls[slot].start_ns, memory_order_relaxed);
    atomic_store_explicit(&waiting->lane.calls[slot].start_ns, start_ns, memory_order_relaxed);
    /* Relaxed: private memory, until the slots of the new lane count. */
    atomic_store_explicit(&waiting->lane.calls[slot].series, s->id, memory_order_relaxed);
    if (slot >= waiting->calls_high)
        waiting->calls_high = slot + 1;
}

/* Tells whether a lane has room for what waits, and for the state of p's lane. Families of that are
 * defined among what waits, whatever the answer. */
static inline bool shm_can_move(struct shm_producer *p, struct shm_producer *waiting,
                                const struct shm_lane *to)
{
    struct shm_room needed = {0, 0};
    for (uint32_t id = 1; id <= p->series; id++) {
        struct shm_series *s = shm_series_of(p, id);
        if (!s || s->type != SHM_TYPE_GAUGE)
            continue;
        if (!shm_try_family(waiting, s->family))
            return false;
        needed = shm_room_sum(needed, shm_room_of(s->type, s->n_bounds, s->text_bytes));
    }
    for (uint32_t slot = 0; slot < p->calls_high; slot++) {
        struct shm_series *s = shm_caller_of(p, slot); /* several may be of one: then it is more */
        if (!s || s->type != SHM_TYPE_CALLS)
            continue;
        if (!shm_try_family(waiting, s->family))
            return false;
        needed = shm_room_sum(needed, shm_room_of(s->type, s->n_bounds, s->text_bytes));
    }
    uint32_t calls_high =
        p->calls_high > waiting->calls_high ? p->calls_high : waiting->calls_high;
    return waiting->dictionary_end + waiting->reserved.bytes + needed.bytes <=
               to->dictionary_bytes &&
           (uint64_t)waiting->cells_used + waiting->reserved.cells + needed.cells <= to->n_cells &&
           waiting->dictionary_end + waiting->reserved.bytes + needed.bytes <=
               waiting->lane.dictionary_bytes &&
           calls_high <= to->n_calls && to->n_calls <= SHM_MAX_OPEN_CALLS;
}

/* Takes the state of p's lane along to what waits. */
static inline void shm_carry_state(struct shm_producer *p, struct shm_producer *waiting)
{
    for (uint32_t slot = 0; slot < p->calls_high; slot++) {
        struct shm_series *s = shm_caller_of(p, slot);
        if (s && s->type == SHM_TYPE_CALLS)
            shm_carry_call(p, waiting, slot, s);
    }
    for (uint32_t id = 1; id <= p->series; id++) {
        struct shm_series *s = shm_series_of(p, id);
        if (s && s->type == SHM_TYPE_GAUGE)
            shm_carry_gauge(p, waiting, s);
    }
}

/* Lets p go on where what waits is. */
static inline void shm_adopt_waiting(struct shm_producer *p, struct shm_producer *waiting)
{
    p->lane = waiting->lane;
    p->lane_generation = waiting->lane_generation;
    p->side = waiting->side;
    p->families = waiting->families;
    p->series = waiting->series;
    p->cells_used = waiting->cells_used;
    p->dictionary_end = waiting->dictionary_end;
    p->reserved = waiting->reserved;
    p->calls_high = waiting->calls_high;
    p->by_id = waiting->by_id;
    p->n_by_id = waiting->n_by_id;
    p->waiting = NULL;
    shm_ring_open(&p->ring, p->lane.ring, p->lane.records, p->lane.header);
    shm_be_content(p);
}

/* Moves into a lane that replaces p's, which must be untouched. waiting: what waits, or a producer
 * of private memory to which nothing has happened. Returns false if the lane is too small; then p
 * goes on as it did. */
static inline bool shm_producer_replace(struct shm_producer *p, struct shm_producer *waiting,
                                        const struct shm_lane *to)
{
    if (!shm_can_move(p, waiting, to))
        return false;
    struct shm_header *old = p->lane.header;
    shm_carry_state(p, waiting);
    shm_adopt_waiting(p, waiting);
    if (!shm_producer_move(p, to))
        return false; /* not after shm_can_move */
    /* Pairs with the acquire in shm_drain_moved_to: what was recorded before is in the old lane,
     * and the state is in the new one. */
    atomic_store_explicit(&old->producer.moved_to, to->lane_id, memory_order_release);
    return true;
}

/* ---- no larger lane --------------------------------------------------------------------- */

/* Adds the n counts of one series to those of another. */
static inline void shm_settle_counts(const struct shm_producer *p, uint32_t into,
                                     const struct shm_producer *waiting, uint32_t from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        shm_cell_count(&p->lane.cells[into + i],
                       atomic_load_explicit(&waiting->lane.cells[from + i], memory_order_relaxed));
}

/* Adds the totals of a series of what waits to those of a series of p's lane, of the same type. */
static inline void shm_settle_cells(const struct shm_producer *p, const struct shm_series *into,
                                    const struct shm_producer *waiting, uint32_t from)
{
    _Atomic uint64_t *cells = &p->lane.cells[into->cell];
    uint64_t first = atomic_load_explicit(&waiting->lane.cells[from], memory_order_relaxed);
    uint64_t now = atomic_load_explicit(cells, memory_order_relaxed);
    uint32_t n = shm_cells_of(into->type, into->n_bounds);
    switch (into->type) {
    case SHM_TYPE_COUNTER:
        atomic_store_explicit(cells, shm_plus(now, shm_value(first)), memory_order_relaxed);
        return;
    case SHM_TYPE_HISTOGRAM:
        atomic_store_explicit(cells, shm_sum(now, shm_value(first)), memory_order_relaxed);
        shm_settle_counts(p, into->cell + 1, waiting, from + 1, n - 1);
        return;
    case SHM_TYPE_GAUGE: /* defined in p's lane this moment */
        atomic_store_explicit(cells, first, memory_order_relaxed);
        atomic_store_explicit(
            cells + SHM_CELL_STAMP,
            atomic_load_explicit(&waiting->lane.cells[from + SHM_CELL_STAMP], memory_order_relaxed),
            memory_order_relaxed);
        return;
    default:
        shm_settle_counts(p, into->cell, waiting, from, n);
    }
}

/* Returns the series of p's lane that takes what waited for s: s itself or an overflow series, with
 * cells. Returns NULL, and counts a drop, if there is none. */
static inline struct shm_series *shm_settle_into(struct shm_producer *p, struct shm_series *s,
                                                 bool *overflows)
{
    struct shm_family *f = s->type == SHM_TYPE_EXCEPTION ? s->parent->family : s->family;
    struct shm_series *into = NULL;
    if (s->type == SHM_TYPE_EXCEPTION)
        into = s->text && s->parent->text && shm_define_thrown_here(p, s) ? s : NULL;
    else if (!shm_is_overflow(s) && shm_define_here(p, s))
        into = s;
    if (into && (!shm_has_late_cells(into->type) || shm_take_cells(p, into) != SHM_NO_CELLS))
        return into;
    *overflows = true;
    into = shm_overflow_of(p, f);
    if (into && s->type == SHM_TYPE_EXCEPTION) {
        struct shm_series *thrown = &shm_definition_of(p, f)->overflow_thrown;
        into = shm_take_reserved(p, thrown, into->id, 1) ? thrown : NULL;
    }
    if (into && shm_has_late_cells(into->type) && shm_take_cells(p, into) == SHM_NO_CELLS) {
        shm_count_drop(p, SHM_DROP_LANE_FULL, 1);
        into = NULL;
    }
    return into;
}

/* Lists the open calls of what waited in p's lane. into_of: their series there, by id, or NULL. */
static inline void shm_settle_call(struct shm_producer *p, struct shm_producer *waiting,
                                   uint32_t slot)
{
    struct shm_series *s = shm_caller_of(waiting, slot);
    bool overflows = false;
    if (!s || s->type != SHM_TYPE_CALLS)
        return;
    if (s->generation != p->lane_generation)
        s = shm_settle_into(p, s, &overflows);
    if (!s || slot >= p->lane.n_calls)
        return;
    uint64_t start_ns =
        atomic_load_explicit(&waiting->lane.calls[slot].start_ns, memory_order_relaxed);
    /* As in shm_list_call. */
    atomic_store_explicit(&p->lane.calls[slot].start_ns, start_ns, memory_order_release);
    atomic_store_explicit(&p->lane.calls[slot].series, s->id, memory_order_release);
    if (slot >= p->calls_high) {
        p->calls_high = slot + 1;
        atomic_store_explicit(&p->lane.header->producer.calls_high, p->calls_high,
                              memory_order_relaxed);
    }
}

/* Records in p's lane what waits for a larger one. A kill in the middle loses what waits; the rest
 * is there to the last event. */
static inline void shm_settle(struct shm_producer *p, struct shm_producer *waiting)
{
    struct shm_producer_line *from = &waiting->lane.header->producer;
    struct shm_producer_line *into = &p->lane.header->producer;
    bool overflows = false;
    for (uint32_t id = 1; id <= waiting->series; id++) {
        struct shm_series *s = shm_series_of(waiting, id);
        if (!s || s->generation != waiting->lane_generation) {
            if (!s)
                shm_count_drop(p, SHM_DROP_LANE_FULL, 1); /* freed meanwhile */
            continue;
        }
        uint32_t cell = s->cell;
        if (cell == SHM_NO_CELLS)
            continue;
        struct shm_series *to = shm_settle_into(p, s, &overflows);
        if (to)
            shm_settle_cells(p, to, waiting, cell);
    }
    for (uint32_t slot = 0; slot < waiting->calls_high; slot++)
        shm_settle_call(p, waiting, slot);
    uint64_t added = atomic_load_explicit(&from->added, memory_order_relaxed);
    uint64_t spilled = atomic_load_explicit(&from->spilled, memory_order_relaxed);
    for (int i = 0; i < SHM_DROPS; i++)
        shm_cell_count(&into->dropped[i],
                       atomic_load_explicit(&from->dropped[i], memory_order_relaxed));
    if (overflows)
        shm_cell_count(&into->overflowed, added + spilled);
    /* Pair with the acquires in shm_drain_gauges and shm_drain_pass: the cells are written. */
    atomic_store_explicit(&into->gauge_writes,
                          atomic_load_explicit(&into->gauge_writes, memory_order_relaxed) +
                              atomic_load_explicit(&from->gauge_writes, memory_order_relaxed),
                          memory_order_release);
    atomic_store_explicit(&into->added,
                          atomic_load_explicit(&into->added, memory_order_relaxed) + added,
                          memory_order_release);
    atomic_store_explicit(&into->spilled,
                          atomic_load_explicit(&into->spilled, memory_order_relaxed) + spilled,
                          memory_order_release);
}

#endif
