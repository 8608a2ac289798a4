/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places: where an event is recorded. That is its series in the lane, which is defined there if the
 * lane has room for it. If it has not, the events of the series wait in private memory for a larger
 * lane, see move.h. Where there can be none, they are recorded in the family's overflow series:
 * labels are lost, counts are not.
 *
 * The usual event needs none of this: its series is in the lane. The slow path begins with
 * shm_find, or with shm_place_of.
 */
#ifndef SHM_PLACE_H
#define SHM_PLACE_H

#include "definitions.h"

/* The series that takes an event, and the lane that it is in. */
struct shm_place {
    struct shm_producer *producer;
    struct shm_series *series; /* NULL: nowhere */
    struct shm_series *exception; /* of the end of a call; may be NULL */
    uint32_t cell;
    enum shm_emit result;
};

/* ---- a larger lane ---------------------------------------------------------------------- */

/* Begins to ask for a larger lane: from now on every event takes the slow path, which looks for the
 * answer. Returns false if it is not the time for that. */
static inline bool shm_want_larger(struct shm_producer *p)
{
    if (p->wants_larger)
        return true;
    if (!p->wait || shm_clock_coarse_ns() < p->grow_after_ns)
        return false;
    p->wants_larger = true;
    p->attend_at_ns = 0;
    p->generation = SHM_NO_GENERATION;
    return true;
}

/* Stops asking. */
static inline void shm_be_content(struct shm_producer *p)
{
    p->wants_larger = false;
    p->is_awaited = false;
    p->generation = p->lane_generation;
}

/* Asks for a larger lane in good time: when three quarters of this one are used. */
static inline void shm_watch_room(struct shm_producer *p)
{
    uint64_t bytes = p->dictionary_end + p->reserved.bytes;
    uint64_t cells = (uint64_t)p->cells_used + p->reserved.cells;
    if (bytes * 4 > (uint64_t)p->lane.dictionary_bytes * 3 ||
        cells * 4 > (uint64_t)p->lane.n_cells * 3)
        (void)shm_want_larger(p);
}

/* Returns the producer of what waits for a larger lane, or NULL if nothing can wait. */
static inline struct shm_producer *shm_waiting(struct shm_producer *p)
{
    if (!p->waiting && shm_want_larger(p))
        p->waiting = p->wait(p);
    return p->waiting;
}

/* ---- the series that takes an event ----------------------------------------------------- */

/* Counts an event of s that is recorded in an overflow series. Its owner knows that it overflows if
 * it has no text. */
static inline void shm_count_overflow(struct shm_producer *p, const struct shm_series *s,
                                      struct shm_family *f)
{
    shm_cell_count(&p->lane.header->producer.overflowed, 1);
    if (s->text && shm_note_cause(p, f, SHM_CAUSE_OVERFLOW))
        shm_be_told(p);
}

/* Defines a series in a lane that has room for it. Returns false if there is none. */
static inline bool shm_define_here(struct shm_producer *p, struct shm_series *s)
{
    struct shm_family *f = s->family;
    if (!shm_try_family(p, f))
        return false;
    struct shm_definition *definition = shm_definition_of(p, f);
    if (f->n_labels > 0)
        return shm_try_series(p, s, definition->id);
    struct shm_series *only = &definition->overflow;
    if (!shm_take_reserved(p, only, definition->id, 0))
        return false;
    s->id = only->id;
    s->cell = only->cell;
    shm_list_series(p, s);
    atomic_signal_fence(memory_order_seq_cst); /* as in shm_append_series */
    s->generation = p->lane_generation;
    return true;
}

/* Returns the overflow series of a family in this lane. Returns NULL, and counts a drop, if there
 * is none. */
static inline struct shm_series *shm_overflow_of(struct shm_producer *p, struct shm_family *f)
{
    if (!shm_define_family(p, f))
        return NULL;
    struct shm_definition *definition = shm_definition_of(p, f);
    if (f->n_labels > 0 && shm_is_state(f->type)) {
        shm_drop_quietly(p, f, SHM_DROP_LANE_FULL);
        return NULL;
    }
    return shm_take_reserved(p, &definition->overflow, definition->id, f->n_labels)
               ? &definition->overflow
               : NULL;
}

/* Tells whether a series is one of overflow, or can only overflow. */
static inline bool shm_is_overflow(const struct shm_series *s)
{
    return !s->text && (!s->family || shm_labels_of(s->family) > 0);
}

/* Tells whether a larger lane helps: a span needs a ring, which private memory has not. */
static inline bool shm_can_wait(const struct shm_series *s)
{
    return s->type != SHM_TYPE_SPANS && !shm_is_overflow(s) && !shm_is_oversized(s->text_bytes);
}

/* Defines a series of the lane among what waits. Returns false if that cannot be. */
static inline bool shm_define_waiting(struct shm_producer *p, struct shm_series *s)
{
    struct shm_producer *waiting = shm_can_wait(s) ? shm_waiting(p) : NULL;
    if (!waiting)
        return false;
    if (p->is_awaited)
        p->attend_at_ns = 0;
    /* Calls stay listed: those that are open in this lane are in its list under the old id. */
    if (s->type == SHM_TYPE_CALLS)
        s->has_left_calls = true;
    else
        shm_unlist_series(p, s);
    return shm_define_here(waiting, s);
}

/* Defines a series in the lane, or among what waits, or else takes its family's overflow series. */
static SHM_COLD struct shm_place shm_define(struct shm_producer *p, struct shm_series *s)
{
    if (shm_define_here(p, s)) {
        shm_watch_room(p);
        return (struct shm_place){.producer = p, .series = s};
    }
    if (shm_define_waiting(p, s))
        return (struct shm_place){.producer = p->waiting, .series = s};
    struct shm_series *overflow = shm_overflow_of(p, s->family);
    if (overflow)
        shm_count_overflow(p, s, s->family);
    return (struct shm_place){.producer = p, .series = overflow};
}

/* Makes a lane if there is none, and returns where an event of s is recorded; nowhere if it cannot
 * be, or if s is removed. */
static inline struct shm_place shm_place_of(struct shm_producer *p, struct shm_series *s)
{
    if (p->disabled || s->removed)
        return (struct shm_place){.producer = p, .series = NULL};
    if (!shm_has_lane(p)) {
        p->homeless++;
        return (struct shm_place){.producer = p, .series = NULL};
    }
    if (s->generation == p->lane_generation)
        return (struct shm_place){.producer = p, .series = s};
    if (p->waiting && s->generation == p->waiting->lane_generation)
        return (struct shm_place){.producer = p->waiting, .series = s};
    return shm_define(p, s);
}

/* ---- exceptions ------------------------------------------------------------------------- */

/* Defines an exception beside its call series, if that is in this lane and there is room. */
static inline bool shm_define_thrown_here(struct shm_producer *p, struct shm_series *s)
{
    return s->generation == p->lane_generation ||
           (s->parent->generation == p->lane_generation && shm_try_series(p, s, s->parent->id));
}

/* Returns the series that takes an exception at the end of a call of *place; both are recorded in
 * one lane, so the call may have to go where the exception can be. */
static SHM_COLD struct shm_series *shm_place_thrown(struct shm_producer *p,
                                                    struct shm_place *place, struct shm_series *s)
{
    bool is_parents = place->series == s->parent; /* or its call has overflowed, and was counted */
    if (place->producer != p)
        shm_unlist_series(p, s);
    if (is_parents && shm_define_thrown_here(place->producer, s)) {
        if (place->producer == p)
            shm_watch_room(p);
        return s;
    }
    if (is_parents && place->producer == p && shm_can_wait(s) &&
        shm_define_waiting(p, place->series)) {
        place->producer = p->waiting;
        shm_unlist_series(p, s);
        if (shm_define_thrown_here(p->waiting, s))
            return s;
    }
    struct shm_producer *where = place->producer;
    struct shm_family *f = s->parent->family;
    struct shm_series *overflow = shm_overflow_of(where, f);
    struct shm_series *thrown = &shm_definition_of(where, f)->overflow_thrown;
    if (!overflow || !shm_take_reserved(where, thrown, overflow->id, 1))
        return NULL;
    if (is_parents)
        shm_count_overflow(where, s, f);
    return thrown;
}

/* ---- late cells ------------------------------------------------------------------------- */

/* Reads which cells a series has, once: a signal handler may fork, and the child that returns into
 * this record may have defined the series in a lane of its own, where it has none yet. */
static inline uint32_t shm_cell_of(const struct shm_series *s)
{
    return *(const volatile uint32_t *)&s->cell;
}

/* Gives a series of this lane the cells that come late. Returns the first, or SHM_NO_CELLS. */
static inline uint32_t shm_take_cells(struct shm_producer *p, struct shm_series *s)
{
    struct shm_definition *definition = shm_definition_of(p, s->family);
    struct shm_series *of = s->family->n_labels > 0 ? s : &definition->overflow;
    uint32_t cell = shm_cell_of(of);
    if (cell == SHM_NO_CELLS) {
        struct shm_room needed = shm_late_room_of(of->type, of->n_bounds);
        if (of->text ? !shm_has_room(p, needed) : !shm_take_room(p, needed))
            return SHM_NO_CELLS;
        struct shm_entry entry = {0, SHM_ENTRY_CELLS, 0, 0, of->id};
        shm_append_entry(p, entry, (const unsigned char *)"", 0, 0);
        cell = shm_cells_take(&p->cells_used, p->lane.n_cells, needed.cells);
        of->cell = cell;
    }
    s->cell = cell;
    atomic_signal_fence(memory_order_seq_cst); /* as in shm_append_series */
    s->generation = p->lane_generation;
    return cell;
}

/* Finds cells for an event of *place that the ring has no room for: place->cell. Returns false, and
 * counts a drop, if there are none. */
static SHM_COLD bool shm_place_cells(struct shm_producer *p, struct shm_place *place)
{
    struct shm_series *s = place->series;
    place->cell = shm_take_cells(place->producer, s);
    if (place->cell != SHM_NO_CELLS) {
        if (place->producer == p)
            shm_watch_room(p);
        return true;
    }
    if (place->producer == p && shm_define_waiting(p, s)) {
        place->producer = p->waiting;
        place->cell = shm_take_cells(p->waiting, s);
        if (place->cell != SHM_NO_CELLS)
            return true;
    }
    place->series = shm_overflow_of(place->producer, s->family);
    if (place->series)
        place->cell = shm_take_cells(place->producer, place->series);
    if (place->cell == SHM_NO_CELLS)
        return false;
    shm_count_overflow(place->producer, s, s->family);
    return true;
}

/* ---- the slow path of an event ---------------------------------------------------------- */

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

/* ---- series without an event ------------------------------------------------------------ */

/* Returns the producer that has a series: of the lane, or of what waits; NULL: none has. */
static inline struct shm_producer *shm_owner_of(struct shm_producer *p, const struct shm_series *s)
{
    if (p->lane.header && s->generation == p->lane_generation)
        return p;
    return p->waiting && s->generation == p->waiting->lane_generation ? p->waiting : NULL;
}

/* Defines a series where there is room for it, if anywhere, but never as overflow. */
static inline struct shm_producer *shm_define_own(struct shm_producer *p, struct shm_series *s)
{
    if (shm_define_here(p, s)) {
        shm_watch_room(p);
        return p;
    }
    return shm_define_waiting(p, s) ? p->waiting : NULL;
}

/* Defines a series in a lane that somebody drains, so that it is shown as 0 before its first event.
 * Returns false if there is no room for it. That is no loss, and nothing is counted: the first
 * event comes here again. */
static inline bool shm_declare(struct shm_producer *p, struct shm_series *s)
{
    if (p->disabled || s->removed || !p->lane.header || shm_owner_of(p, s) ||
        shm_lane_state(p) == SHM_LANE_PRIVATE)
        return true;
    if (shm_is_overflow(s) || shm_is_oversized(s->text_bytes) ||
        shm_family_is_oversized(s->family))
        return true; /* in every lane */
    return shm_define_own(p, s) != NULL;
}

/* Removes a series: it records nothing from now on, and the collector shows it no more, unless
 * another process has it too. The same labels can be recorded again with another struct shm_series.
 * Calls of it that are open are listed no more, and their ends record nothing. The one series of a
 * family without labels stays.
 *
 * A series that only an earlier lane had is defined once more, so that its removal can be noted. */
static inline void shm_series_remove(struct shm_producer *p, struct shm_series *s)
{
    if (s->removed || !s->family || shm_labels_of(s->family) == 0)
        return;
    struct shm_producer *owner = shm_owner_of(p, s);
    if (!owner && s->generation != SHM_IN_NO_LANE && !p->disabled && p->lane.header)
        owner = shm_define_own(p, s);
    s->removed = true;
    s->generation = SHM_IN_NO_LANE;
    if (!owner)
        return;
    shm_list_removed(owner, s);
    struct shm_entry entry = {0, SHM_ENTRY_REMOVED, 0, 0, s->id};
    (void)shm_take_room(owner, shm_removal_room_of(s));
    shm_append_entry(owner, entry, s->text, 0, 0);
}

#endif
