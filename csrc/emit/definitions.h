/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions: the family and the series of an event. Both get their ids in a lane when they are
 * first used there; a series needs room in the dictionary and cells.
 *
 * A family reserves room for its overflow series, whose labels are all SHM_OVERFLOW_VALUE. The
 * reservation is two numbers of the producer's: in the lane the overflow series is a series like
 * any other, defined when it is first needed; place.h says when that is.
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
    return 2u + n * (2u + (uint32_t)sizeof SHM_OVERFLOW_VALUE - 1u);
}

/* Writes a payload of n overflow values. */
static inline void shm_write_overflow_text(unsigned char *at, uint32_t n)
{
    static const char value[] = SHM_OVERFLOW_VALUE;
    const uint16_t value_bytes = sizeof value - 1;
    const uint16_t count = (uint16_t)n; /* a family's labels fit its entry */
    memcpy(at, &count, sizeof count);
    for (at += sizeof count; n > 0; n--) {
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
    uint16_t n_strings;
    uint64_t at = (uint64_t)f->n_bounds * sizeof(double);
    if (at + sizeof n_strings > f->text_bytes)
        return 0;
    memcpy(&n_strings, f->text + at, sizeof n_strings);
    if (n_strings < SHM_FAMILY_STRINGS || n_strings > f->text_bytes)
        return 0;
    return (uint32_t)n_strings - SHM_FAMILY_STRINGS;
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

#endif
