/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions: the family and the series of an event. Both get their ids in a lane when they are
 * first used there; a series needs room in the dictionary and cells.
 *
 * Where the lane has no room for a series, its events wait in private memory for a larger lane, see
 * move.h. Where there can be none, they are recorded in the family's overflow series, whose labels
 * are all SHM_OVERFLOW_VALUE: labels are lost, counts are not. Room for that one is reserved with
 * the family. The reservation is two numbers of the producer's: in the lane the overflow series is
 * a series like any other, defined when it is first needed.
 *
 * A family without labels has one series, which is this one. State with labels (gauges, observed
 * totals) has none: the latest value of several series says nothing.
 *
 * A series with labels can be removed. That takes an entry too, whose room is reserved with the
 * series: a removal never fails.
 */
#ifndef SHM_DEFINITIONS_H
#define SHM_DEFINITIONS_H

#include "producer.h"

struct shm_family;

/* A series as the process knows it. The text is the payload of its dictionary entry, and has to
 * stay where it is. */
struct shm_series {
    uint32_t generation; /* of the lane in which id and cell are valid */
    uint32_t id;
    uint32_t cell; /* index of its first cell; SHM_NO_CELLS: it has none yet */
    uint16_t type;
    uint32_t n_bounds;
    const double *bounds;
    struct shm_family *family; /* NULL for an exception */
    struct shm_series *parent; /* an exception's call series */
    const unsigned char *text; /* NULL: all its events overflow */
    uint32_t text_bytes;
    bool removed; /* its events are recorded nowhere, and are no loss */
    bool has_left_calls; /* open ones, under an id that it had before it waited */
};

/* A family in one lane. */
struct shm_definition {
    uint32_t generation; /* of that lane */
    uint32_t id;
    struct shm_series overflow;
    struct shm_series overflow_thrown; /* Calls: exceptions there, and those without room */
};

struct shm_family {
    uint16_t type;
    uint32_t n_bounds;
    const double *bounds;
    const unsigned char *text;
    uint32_t text_bytes;
    /* kept here by the functions below */
    uint32_t n_labels;
    uint32_t epoch;  /* of the process whose causes these are */
    uint32_t causes; /* a bit for each cause for which events of it were dropped, or overflowed */
    struct shm_definition defined[2]; /* the process's lane, and the private one of what waits */
};

/* The cause of events that are recorded in an overflow series, beside those of enum shm_drop. */
#define SHM_CAUSE_OVERFLOW SHM_DROPS

/* Where an event is recorded. */
struct shm_place {
    struct shm_producer *producer;
    struct shm_series *series; /* NULL: nowhere */
    struct shm_series *exception; /* of the end of a call; may be NULL */
    uint32_t cell;
    enum shm_emit result;
};

/* ---- causes ----------------------------------------------------------------------------- */

/* Returns the causes for which this process has dropped events of a family, or let them overflow. */
static inline uint32_t shm_causes_of(const struct shm_producer *p, const struct shm_family *f)
{
    return f->epoch == p->epoch ? f->causes : 0;
}

/* Notes a cause. Returns whether it is new, and there is somebody to tell it. */
static inline bool shm_note_cause(struct shm_producer *p, struct shm_family *f, uint32_t cause)
{
    uint32_t before = shm_causes_of(p, f);
    f->epoch = p->epoch;
    f->causes = before | UINT32_C(1) << cause;
    return f->causes != before && p->open && !p->disabled;
}

/* Forgets a cause that is over. It is new when it comes again. */
static inline void shm_forget_cause(struct shm_family *f, uint32_t cause)
{
    f->causes &= ~(UINT32_C(1) << cause);
}

/* Counts an event of a family that could not be kept. The first of each cause calls attention. */
static SHM_COLD enum shm_emit shm_drop_of(struct shm_producer *p, struct shm_family *f,
                                          enum shm_drop cause)
{
    shm_count_drop(p, cause, 1);
    return shm_note_cause(p, f, cause) ? SHM_ATTENTION : SHM_EMITTED;
}

/* Does the same where attention cannot be called: a later event does it. */
static SHM_COLD void shm_drop_quietly(struct shm_producer *p, struct shm_family *f,
                                      enum shm_drop cause)
{
    if (shm_drop_of(p, f, cause) == SHM_ATTENTION)
        shm_be_told(p);
}

/* ---- entries ---------------------------------------------------------------------------- */

/* Returns the size of an entry with a payload of text_bytes. */
static inline uint32_t shm_entry_bytes(uint32_t text_bytes)
{
    return ((uint32_t)sizeof(struct shm_entry) + text_bytes + 7u) & ~7u;
}

/* Tells whether a payload is longer than an entry can be. */
static inline bool shm_is_oversized(uint32_t text_bytes)
{
    return text_bytes > SHM_ENTRY_MAX_BYTES - sizeof(struct shm_entry);
}

/* Tells whether the lane has this room beside the reserved one. */
static inline bool shm_has_room(const struct shm_producer *p, struct shm_room needed)
{
    return needed.bytes <= p->lane.dictionary_bytes - p->dictionary_end - p->reserved.bytes &&
           needed.cells <= p->lane.n_cells - p->cells_used - p->reserved.cells;
}

/* Returns the room that a series needs. */
static inline struct shm_room shm_room_of(uint16_t type, uint32_t n_bounds, uint32_t text_bytes)
{
    return (struct shm_room){shm_entry_bytes(text_bytes), shm_first_cells_of(type, n_bounds)};
}

/* Returns the room that its late cells need. */
static inline struct shm_room shm_late_room_of(uint16_t type, uint32_t n_bounds)
{
    if (!shm_has_late_cells(type))
        return (struct shm_room){0, 0};
    return (struct shm_room){shm_entry_bytes(0), shm_cells_of(type, n_bounds)};
}

/* Returns the room of both. */
static inline struct shm_room shm_room_sum(struct shm_room one, struct shm_room other)
{
    return (struct shm_room){one.bytes + other.bytes, one.cells + other.cells};
}

/* Returns the size of a payload of n overflow values. */
static inline uint32_t shm_overflow_text_bytes(uint32_t n)
{
    return 4u + n * (4u + (uint32_t)sizeof SHM_OVERFLOW_VALUE - 1u);
}

/* Writes a payload of n overflow values. */
static inline void shm_write_overflow_text(unsigned char *at, uint32_t n)
{
    static const char value[] = SHM_OVERFLOW_VALUE;
    const uint32_t value_bytes = sizeof value - 1;
    memcpy(at, &n, sizeof n);
    for (at += sizeof n; n > 0; n--) {
        memcpy(at, &value_bytes, sizeof value_bytes);
        memcpy(at + sizeof value_bytes, value, value_bytes);
        at += sizeof value_bytes + value_bytes;
    }
}

/* Appends an entry for which there is room. text NULL: n overflow values. */
static inline void shm_append_entry(struct shm_producer *p, struct shm_entry entry,
                                    const unsigned char *text, uint32_t text_bytes, uint32_t n)
{
    unsigned char *at = p->lane.dictionary + p->dictionary_end;
    entry.size_bytes = shm_entry_bytes(text_bytes);
    memcpy(at, &entry, sizeof entry);
    if (!text)
        shm_write_overflow_text(at + sizeof entry, n);
    else if (text_bytes)
        memcpy(at + sizeof entry, text, text_bytes);
    p->dictionary_end += entry.size_bytes;
    /* Pairs with the acquire in unread: the entry is whole. */
    atomic_store_explicit(&p->lane.header->producer.dictionary_end, p->dictionary_end,
                          memory_order_release);
    shm_ring_look_soon(&p->ring); /* the collector may have something to say of it */
}

/* ---- series ----------------------------------------------------------------------------- */

/* Notes which series has an id of this lane, for a move. */
static inline void shm_list_series(struct shm_producer *p, struct shm_series *s)
{
    if (s->id < p->n_by_id)
        p->by_id[s->id] = s;
}

/* Forgets that, of a series that goes on elsewhere or is about to be freed. */
static inline void shm_unlist_series(struct shm_producer *p, const struct shm_series *s)
{
    if (s->id <= p->series && s->id < p->n_by_id && p->by_id[s->id] == s)
        p->by_id[s->id] = NULL;
}

/* Stands for a series that was removed and whose id stays: of the type of nothing. */
static struct shm_series shm_removed_series = {.removed = true};

/* Notes that a series was removed. */
static inline void shm_list_removed(struct shm_producer *p, const struct shm_series *s)
{
    if (s->id < p->n_by_id)
        p->by_id[s->id] = &shm_removed_series;
}

/* Forgets a series under all ids that it ever had in this lane. */
static inline void shm_unlist_left(struct shm_producer *p, const struct shm_series *s)
{
    for (uint32_t id = 1; id <= p->series && id < p->n_by_id; id++)
        if (p->by_id[id] == s)
            p->by_id[id] = NULL;
}

/* Forgets a series. Its owner calls this before it frees the memory. */
static inline void shm_forget_series(struct shm_producer *p, const struct shm_series *s)
{
    shm_unlist_series(p, s);
    if (s->has_left_calls)
        shm_unlist_left(p, s);
    if (p->waiting)
        shm_unlist_series(p->waiting, s);
}

/* Forgets a family, whose series are forgotten already. */
static inline void shm_forget_family(struct shm_producer *p, const struct shm_family *f)
{
    for (int side = 0; side < 2; side++) {
        shm_forget_series(p, &f->defined[side].overflow);
        shm_forget_series(p, &f->defined[side].overflow_thrown);
    }
}

/* Gives a series for which there is room its id and its cells. of: its family, or its parent. */
static inline void shm_append_series(struct shm_producer *p, struct shm_series *s, uint32_t of,
                                     uint32_t text_bytes, uint32_t n)
{
    uint16_t kind = s->type == SHM_TYPE_EXCEPTION ? SHM_ENTRY_EXCEPTION : SHM_ENTRY_SERIES;
    struct shm_entry entry = {0, kind, s->type, p->series + 1, of};
    shm_append_entry(p, entry, s->text, text_bytes, n);
    s->id = ++p->series;
    s->cell = shm_cells_take(&p->cells_used, p->lane.n_cells,
                             shm_first_cells_of(s->type, s->n_bounds));
    shm_list_series(p, s);
    /* Last. Where a signal handler forks in the middle and the child defines the series in a lane
     * of its own, the rest of this is that of another generation, and the next event defines it
     * anew. */
    atomic_signal_fence(memory_order_seq_cst);
    s->generation = p->lane_generation;
}

/* Returns the room that has to stay free for the removal of a series. An exception goes with its
 * parent. */
static inline struct shm_room shm_removal_room_of(const struct shm_series *s)
{
    return (struct shm_room){s->type == SHM_TYPE_EXCEPTION ? 0 : shm_entry_bytes(0), 0};
}

/* Returns the room that a series needs under its own labels. */
static inline struct shm_room shm_own_room_of(const struct shm_series *s)
{
    return shm_room_sum(shm_room_of(s->type, s->n_bounds, s->text_bytes), shm_removal_room_of(s));
}

/* Defines a series, if the lane has room for it. */
static inline bool shm_try_series(struct shm_producer *p, struct shm_series *s, uint32_t of)
{
    if (!s->text || shm_is_oversized(s->text_bytes) || !shm_has_room(p, shm_own_room_of(s)))
        return false;
    shm_append_series(p, s, of, s->text_bytes, 0);
    p->reserved = shm_room_sum(p->reserved, shm_removal_room_of(s));
    return true;
}

/* Takes room out of the reserved one. Returns false if there is none, there nor elsewhere: only
 * where it was taken before, and a child forked in the middle of that. */
static inline bool shm_take_room(struct shm_producer *p, struct shm_room taken)
{
    if (taken.bytes > p->reserved.bytes || taken.cells > p->reserved.cells)
        return shm_has_room(p, taken);
    p->reserved.bytes -= taken.bytes;
    p->reserved.cells -= taken.cells;
    return true;
}

/* Defines an overflow series, with n values, in the room that is reserved for it. Returns false,
 * and counts a drop, if there is no room. */
static inline bool shm_take_reserved(struct shm_producer *p, struct shm_series *s, uint32_t of,
                                     uint32_t n)
{
    if (s->generation == p->lane_generation)
        return true;
    uint32_t text_bytes = shm_overflow_text_bytes(n);
    if (!shm_take_room(p, shm_room_of(s->type, s->n_bounds, text_bytes))) {
        shm_count_drop(p, SHM_DROP_LANE_FULL, 1);
        return false;
    }
    shm_append_series(p, s, of, text_bytes, n);
    return true;
}

/* ---- families --------------------------------------------------------------------------- */

/* Returns how many label names the family's payload has: bounds, then the number of its strings. */
static inline uint32_t shm_labels_of(const struct shm_family *f)
{
    uint32_t n_strings;
    uint64_t at = (uint64_t)f->n_bounds * sizeof(double);
    if (at + sizeof n_strings > f->text_bytes)
        return 0;
    memcpy(&n_strings, f->text + at, sizeof n_strings);
    if (n_strings < SHM_FAMILY_STRINGS || n_strings > f->text_bytes)
        return 0;
    return n_strings - SHM_FAMILY_STRINGS;
}

/* Returns the family as it is defined in the producer's lane. */
static inline struct shm_definition *shm_definition_of(const struct shm_producer *p,
                                                       struct shm_family *f)
{
    return &f->defined[p->side];
}

/* Returns the room that a family reserves for its overflow series. */
static inline struct shm_room shm_reserved_of(const struct shm_family *f, uint32_t n_labels)
{
    if (shm_is_state(f->type) && n_labels > 0)
        return (struct shm_room){0, 0};
    struct shm_room reserved = shm_room_sum(
        shm_room_of(f->type, f->n_bounds, shm_overflow_text_bytes(n_labels)),
        shm_late_room_of(f->type, f->n_bounds));
    if (f->type == SHM_TYPE_CALLS)
        reserved = shm_room_sum(
            reserved, shm_room_of(SHM_TYPE_EXCEPTION, 0, shm_overflow_text_bytes(1)));
    return reserved;
}

/* Tells whether the entries of a family can be as long as they would be. */
static inline bool shm_family_is_oversized(const struct shm_family *f)
{
    return shm_is_oversized(f->text_bytes) ||
           shm_is_oversized(shm_overflow_text_bytes(shm_labels_of(f)));
}

/* Defines a family, and reserves room for its overflow series. Returns false if the family is too
 * long or the lane is full. */
static inline bool shm_try_family(struct shm_producer *p, struct shm_family *f)
{
    struct shm_definition *definition = shm_definition_of(p, f);
    if (definition->generation == p->lane_generation)
        return true;
    if (shm_family_is_oversized(f))
        return false;
    uint32_t n_labels = shm_labels_of(f);
    struct shm_room reserved = shm_reserved_of(f, n_labels);
    struct shm_room entry_room = {shm_entry_bytes(f->text_bytes), 0};
    if (!shm_has_room(p, shm_room_sum(reserved, entry_room)))
        return false;
    struct shm_entry entry = {0, SHM_ENTRY_FAMILY, f->type, p->families + 1, f->n_bounds};
    shm_append_entry(p, entry, f->text, f->text_bytes, 0);
    p->reserved = shm_room_sum(p->reserved, reserved);
    f->n_labels = n_labels;
    definition->id = ++p->families;
    definition->overflow = (struct shm_series){
        .type = f->type, .n_bounds = f->n_bounds, .bounds = f->bounds, .family = f};
    definition->overflow_thrown =
        (struct shm_series){.type = SHM_TYPE_EXCEPTION, .parent = &definition->overflow};
    atomic_signal_fence(memory_order_seq_cst); /* as in shm_append_series */
    definition->generation = p->lane_generation;
    return true;
}

/* Does the same, and counts a drop if it returns false. */
static inline bool shm_define_family(struct shm_producer *p, struct shm_family *f)
{
    if (shm_try_family(p, f))
        return true;
    shm_drop_quietly(p, f, shm_family_is_oversized(f) ? SHM_DROP_OVERSIZED : SHM_DROP_LANE_FULL);
    return false;
}

/* Counts an event of s that is recorded in an overflow series. Its owner knows that it overflows if
 * it has no text. */
static inline void shm_count_overflow(struct shm_producer *p, const struct shm_series *s,
                                      struct shm_family *f)
{
    shm_cell_count(&p->lane.header->producer.overflowed, 1);
    if (s->text && shm_note_cause(p, f, SHM_CAUSE_OVERFLOW))
        shm_be_told(p);
}

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
