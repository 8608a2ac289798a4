/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The move into a larger lane, while the process goes on.
 *
 *   lane:     known series        ... asks ...        gauges, open calls ──┐
 *   waiting:        │ no room: new series ─────────► events, definitions ──┤
 *   new lane:                                                   all of it ◄┘   moved_to
 *
 * What waits becomes the new lane, definitions and ids as they are. Of the old lane only what is
 * state comes along: gauges, observed totals, and open calls. No sum of events does, so none can
 * count twice. Every other series is defined in the new lane at its next event, and those that have
 * no more events stay behind.
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

#include "place.h"

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

/* Tells whether a slot of this lane is that of a call whose series was removed. */
static inline bool shm_is_of_removed(const struct shm_producer *p, uint32_t slot)
{
    const struct shm_series *s = shm_caller_of(p, slot);
    return s ? s->removed
             : atomic_load_explicit(&p->lane.calls[slot].series, memory_order_relaxed) ==
                   SHM_OF_NO_SERIES;
}

/* Keeps a slot in the next lane for a call whose series was removed: its end gives the slot back. */
static inline void shm_keep_slot(struct shm_producer *to, uint32_t slot)
{
    if (slot >= to->lane.n_calls)
        return;
    atomic_store_explicit(&to->lane.calls[slot].series, SHM_OF_NO_SERIES, memory_order_relaxed);
    if (slot >= to->calls_high)
        to->calls_high = slot + 1;
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

/* Takes a gauge or an observed total along, with its stamp. */
static inline void shm_carry_cells(const struct shm_producer *p, struct shm_producer *waiting,
                                   struct shm_series *s)
{
    uint32_t from = s->cell;
    if (!shm_carry_series(waiting, s))
        return;
    for (uint32_t i = 0; i < shm_cells_of(s->type, 0); i++)
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
    shm_carry_description(&p->lane, &waiting->lane, slot, start_ns);
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
        if (!s || !shm_is_state(s->type))
            continue;
        if (!shm_try_family(waiting, s->family))
            return false;
        needed = shm_room_sum(needed, shm_own_room_of(s));
    }
    for (uint32_t slot = 0; slot < p->calls_high; slot++) {
        struct shm_series *s = shm_caller_of(p, slot); /* several may be of one: then it is more */
        if (!s || s->type != SHM_TYPE_CALLS)
            continue;
        if (!shm_try_family(waiting, s->family))
            return false;
        needed = shm_room_sum(needed, shm_own_room_of(s));
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

/* Tells whether a call that the lane lists has ended among what waits. */
static inline bool shm_has_ended(const struct shm_producer *waiting, uint32_t slot)
{
    return slot < waiting->calls_high &&
           atomic_load_explicit(&waiting->lane.calls[slot].series, memory_order_relaxed) ==
               SHM_ENDED_CALL;
}

/* Takes the state of p's lane along to what waits. */
static inline void shm_carry_state(struct shm_producer *p, struct shm_producer *waiting)
{
    for (uint32_t slot = 0; slot < p->calls_high; slot++) {
        if (shm_has_ended(waiting, slot)) {
            atomic_store_explicit(&waiting->lane.calls[slot].series, 0, memory_order_relaxed);
            continue;
        }
        struct shm_series *s = shm_caller_of(p, slot);
        if (shm_is_of_removed(p, slot))
            shm_keep_slot(waiting, slot);
        else if (s && s->type == SHM_TYPE_CALLS)
            shm_carry_call(p, waiting, slot, s);
    }
    for (uint32_t id = 1; id <= p->series; id++) {
        struct shm_series *s = shm_series_of(p, id);
        if (s && shm_is_state(s->type))
            shm_carry_cells(p, waiting, s);
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

/*
 * What waited is spilled, by series: the totals of one come wholly or not at all. Those of calls come
 * with their exceptions, and with the slots of calls that began in the lane. What has more cells than an
 * intent has changes comes in parts.
 */
struct shm_settling {
    struct shm_producer *p;
    struct shm_producer *waiting;
    struct shm_spill spill;
    uint64_t n_spills;
    bool overflows;
};

static inline void shm_settle_begin(struct shm_settling *settling)
{
    struct shm_lane *lane = &settling->p->lane;
    settling->spill = shm_spill_begin(lane->header, lane->cells);
}

/* Makes the changes, as shm_spill_commit does. */
static inline void shm_settle_commit(struct shm_settling *settling)
{
    const struct shm_spill *spill = &settling->spill;
    if (spill->n == 0)
        return;
    uint64_t spilled = atomic_load_explicit(spill->spilled, memory_order_relaxed);
    spill->intent->n = spill->n;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&spill->intent->spilled, spilled, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    for (uint32_t i = 0; i < spill->n; i++)
        if (!spill->intent->changes[i].frees_slot)
            atomic_store_explicit(&spill->cells[spill->intent->changes[i].cell],
                                  spill->intent->changes[i].value, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    /* Pairs with the acquire of spilled in shm_drain_pass: the cells are written. */
    atomic_store_explicit(spill->spilled, spilled + 1, memory_order_release);
    for (uint32_t i = 0; i < spill->n; i++)
        if (spill->intent->changes[i].frees_slot)
            /* Pairs with the acquire in shm_drain_calls: the end came first. */
            atomic_store_explicit(&settling->p->lane.calls[spill->intent->changes[i].cell].series,
                                  0, memory_order_release);
    settling->n_spills++;
}

/* Returns the place of the next change, after a commit if there is no room for it. */
static inline struct shm_cell_change *shm_settle_change(struct shm_settling *settling)
{
    if (settling->spill.n == SHM_INTENT_CHANGES) {
        shm_settle_commit(settling);
        shm_settle_begin(settling);
    }
    return &settling->spill.intent->changes[settling->spill.n++];
}

/* Adds n to a count of p's lane. Two exceptions may have one cell. */
static inline void shm_settle_count(struct shm_settling *settling, uint32_t cell, uint64_t n)
{
    struct shm_intent *intent = settling->spill.intent;
    if (n == 0)
        return;
    for (uint32_t i = 0; i < settling->spill.n; i++)
        if (intent->changes[i].cell == cell && !intent->changes[i].frees_slot) {
            intent->changes[i].value += n;
            return;
        }
    struct shm_cell_change *change = shm_settle_change(settling);
    uint64_t now = atomic_load_explicit(&settling->p->lane.cells[cell], memory_order_relaxed);
    *change = (struct shm_cell_change){now + n, cell, 0};
}

/* Adds the n counts from a cell of what waits to those from a cell of p's lane. */
static inline void shm_settle_counts(struct shm_settling *settling, uint32_t into, uint32_t from,
                                     uint32_t n)
{
    const struct shm_lane *lane = &settling->waiting->lane;
    for (uint32_t i = 0; i < n; i++)
        shm_settle_count(settling, into + i,
                         atomic_load_explicit(&lane->cells[from + i], memory_order_relaxed));
}

/* Adds the totals of a series of what waits to those of a series of p's lane, of the same type. A
 * counter and a gauge have one cell that counts, and need no intent. */
static inline void shm_settle_cells(struct shm_settling *settling, const struct shm_series *into,
                                    uint32_t from)
{
    _Atomic uint64_t *cells = &settling->p->lane.cells[into->cell];
    const _Atomic uint64_t *waiting = &settling->waiting->lane.cells[from];
    uint64_t first = atomic_load_explicit(waiting, memory_order_relaxed);
    uint64_t now = atomic_load_explicit(cells, memory_order_relaxed);
    uint32_t n = shm_cells_of(into->type, into->n_bounds);
    switch (into->type) {
    case SHM_TYPE_COUNTER:
        atomic_store_explicit(cells, shm_plus(now, shm_value(first)), memory_order_relaxed);
        return;
    case SHM_TYPE_GAUGE: /* defined in p's lane this moment */
        atomic_store_explicit(cells, first, memory_order_relaxed);
        atomic_store_explicit(
            cells + SHM_CELL_STAMP,
            atomic_load_explicit(&waiting[SHM_CELL_STAMP], memory_order_relaxed),
            memory_order_relaxed);
        return;
    case SHM_TYPE_OBSERVED: /* likewise */
        atomic_store_explicit(cells, first, memory_order_relaxed);
        shm_cell_start(cells,
                       atomic_load_explicit(&waiting[SHM_CELL_START], memory_order_relaxed));
        return;
    case SHM_TYPE_HISTOGRAM:
        if (first != 0)
            *shm_settle_change(settling) =
                (struct shm_cell_change){shm_sum(now, shm_value(first)), into->cell, 0};
        shm_settle_counts(settling, into->cell + 1, from + 1, n - 1);
        return;
    default:
        shm_settle_counts(settling, into->cell, from, n);
    }
}

/* Tells whether a series of what waits was only declared. */
static inline bool shm_is_untouched(const struct shm_producer *waiting, const struct shm_series *s)
{
    for (uint32_t i = 0; i < shm_cells_of(s->type, s->n_bounds); i++)
        if (atomic_load_explicit(&waiting->lane.cells[s->cell + i], memory_order_relaxed) != 0)
            return false;
    return true;
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
    if (into && s->text && shm_note_cause(p, f, SHM_CAUSE_OVERFLOW))
        shm_be_told(p);
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

/* Spills what waited of one series, or drops it if there is nowhere to put it. */
static inline void shm_settle_series(struct shm_settling *settling, struct shm_series *s)
{
    uint32_t cell = s->cell;
    if (cell == SHM_NO_CELLS)
        return;
    if (s->type != SHM_TYPE_EXCEPTION && !shm_is_overflow(s) &&
        shm_is_untouched(settling->waiting, s)) {
        if (!shm_define_here(settling->p, s)) /* without room it loses nothing */
            s->cell = SHM_NO_CELLS;
        return;
    }
    struct shm_series *to = shm_settle_into(settling->p, s, &settling->overflows);
    if (to)
        shm_settle_cells(settling, to, cell);
    if (to != s)
        s->cell = SHM_NO_CELLS; /* it does not wait any more */
}

/* Frees the slots of calls of a series that began in p's lane and ended among what waits. */
static inline void shm_settle_ended(struct shm_settling *settling, uint32_t id)
{
    struct shm_producer *p = settling->p;
    for (uint32_t slot = 0; slot < settling->waiting->calls_high; slot++) {
        struct shm_open_call *open = &settling->waiting->lane.calls[slot];
        if (!shm_has_ended(settling->waiting, slot) ||
            atomic_load_explicit(&open->start_ns, memory_order_relaxed) != id)
            continue;
        *shm_settle_change(settling) = (struct shm_cell_change){0, slot, 1};
        p->free_calls[p->n_free++] = (uint16_t)slot;
    }
}

/* Begins once more, in p's lane, a call that began among what waits. */
static inline void shm_settle_call(struct shm_settling *settling, uint32_t slot)
{
    struct shm_producer *p = settling->p;
    struct shm_series *s = shm_caller_of(settling->waiting, slot);
    if (shm_is_of_removed(settling->waiting, slot))
        shm_keep_slot(p, slot);
    if (!s || s->type != SHM_TYPE_CALLS)
        return;
    if (s->generation != p->lane_generation || shm_take_cells(p, s) == SHM_NO_CELLS) {
        settling->overflows = true;
        s = shm_overflow_of(p, s->family);
    }
    if (!s || shm_take_cells(p, s) == SHM_NO_CELLS)
        return;
    uint64_t start_ns = atomic_load_explicit(&settling->waiting->lane.calls[slot].start_ns,
                                             memory_order_relaxed);
    shm_settle_begin(settling);
    shm_settle_count(settling, s->cell + SHM_CELL_STARTS, 1);
    shm_spill_call(&settling->spill, SHM_KIND_CALL_START, s->id, start_ns);
    shm_settle_commit(settling);
    if (slot < p->lane.n_calls) {
        shm_fill_slot(p, slot, s->id, start_ns);
        shm_carry_description(&settling->waiting->lane, &p->lane, slot, start_ns);
    }
}

/* Takes the starts of open calls out of what waits: each of them is begun once more. */
static inline void shm_settle_starts(struct shm_producer *waiting)
{
    for (uint32_t slot = 0; slot < waiting->calls_high; slot++) {
        struct shm_series *s = shm_caller_of(waiting, slot);
        if (s && s->type == SHM_TYPE_CALLS && s->cell != SHM_NO_CELLS)
            shm_cell_count(&waiting->lane.cells[s->cell + SHM_CELL_STARTS], UINT64_MAX);
    }
}

/* Chains exceptions behind their calls: `seen` at the id of either is the id of the next. Private memory
 * has no other use of that. */
static inline void shm_settle_chain(struct shm_producer *waiting)
{
    _Atomic uint64_t *next = waiting->lane.seen;
    for (uint32_t id = waiting->series; id > 0; id--) {
        const struct shm_series *s = shm_series_of(waiting, id);
        if (!s || s->type != SHM_TYPE_EXCEPTION || s->generation != waiting->lane_generation ||
            id >= waiting->lane.n_cells)
            continue;
        uint32_t of = s->parent->id;
        atomic_store_explicit(&next[id], atomic_load_explicit(&next[of], memory_order_relaxed),
                              memory_order_relaxed);
        atomic_store_explicit(&next[of], id, memory_order_relaxed);
    }
}

/* Records in p's lane what waits for a larger one. A kill in the middle loses what still waits. */
static inline void shm_settle(struct shm_producer *p, struct shm_producer *waiting)
{
    struct shm_producer_line *from = &waiting->lane.header->producer;
    struct shm_producer_line *into = &p->lane.header->producer;
    struct shm_settling settling = {.p = p, .waiting = waiting};
    shm_settle_starts(waiting);
    shm_settle_chain(waiting);
    for (uint32_t id = 1; id <= waiting->series; id++) {
        struct shm_series *s = shm_series_of(waiting, id);
        if (!s)
            shm_count_drop(p, SHM_DROP_LANE_FULL, 1); /* freed meanwhile */
        if (!s || (s->parent && s->parent->removed) ||
            (!s->removed && s->generation != waiting->lane_generation))
            continue;
        shm_settle_begin(&settling);
        if (s->removed) {
            shm_settle_ended(&settling, id);
            shm_settle_commit(&settling);
            continue;
        }
        bool is_calls = s->type == SHM_TYPE_CALLS;
        shm_settle_series(&settling, s);
        for (uint64_t at = is_calls && id < waiting->lane.n_cells ? id : 0; at;) {
            at = atomic_load_explicit(&waiting->lane.seen[at], memory_order_relaxed);
            struct shm_series *thrown = shm_series_of(waiting, (uint32_t)at);
            if (thrown && thrown->generation == waiting->lane_generation)
                shm_settle_series(&settling, thrown);
        }
        if (is_calls)
            shm_settle_ended(&settling, id);
        shm_settle_commit(&settling);
    }
    for (uint32_t slot = 0; slot < waiting->calls_high; slot++)
        shm_settle_call(&settling, slot);
    uint64_t added = atomic_load_explicit(&from->added, memory_order_relaxed);
    uint64_t spilled = atomic_load_explicit(&from->spilled, memory_order_relaxed);
    for (int i = 0; i < SHM_DROPS; i++)
        shm_cell_count(&into->dropped[i],
                       atomic_load_explicit(&from->dropped[i], memory_order_relaxed));
    if (settling.overflows)
        shm_cell_count(&into->overflowed, added + spilled);
    if (spilled > settling.n_spills)
        spilled -= settling.n_spills; /* of many events each: those are counted here */
    else
        spilled = 0;
    /* Pairs with the acquire of gauge_writes in shm_drain_gauges: the cells are written. */
    atomic_store_explicit(&into->gauge_writes,
                          atomic_load_explicit(&into->gauge_writes, memory_order_relaxed) +
                              atomic_load_explicit(&from->gauge_writes, memory_order_relaxed),
                          memory_order_release);
    /* Pairs with the acquire of added in shm_drain_pass: the same. */
    atomic_store_explicit(&into->added,
                          atomic_load_explicit(&into->added, memory_order_relaxed) + added,
                          memory_order_release);
    /* Relaxed: it goes on from the release of the last spill. */
    atomic_store_explicit(&into->spilled,
                          atomic_load_explicit(&into->spilled, memory_order_relaxed) + spilled,
                          memory_order_relaxed);
}

#endif
