/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions: the family and the series of an event. Both get their ids in a lane when they are
 * first used there; a series needs room in the dictionary and cells.
 *
 * Where the lane has no room for a series, its events are recorded in its family's overflow series,
 * whose labels are all SHM_OVERFLOW_VALUE: labels are lost, counts are not. Room for that one is
 * reserved with the family. The reservation is two numbers of the producer's: in the lane the
 * overflow series is a series like any other, defined when it is first needed.
 *
 * A family without labels has one series, which is this one. Gauges with labels have none: the
 * latest value of several gauges says nothing.
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
    uint32_t cell; /* index of its first cell */
    uint16_t type;
    uint32_t n_bounds;
    const double *bounds;
    struct shm_family *family; /* NULL for an exception */
    struct shm_series *parent; /* an exception's call series */
    const unsigned char *text; /* NULL: all its events overflow */
    uint32_t text_bytes;
};

struct shm_family {
    uint32_t generation;
    uint32_t id;
    uint16_t type;
    uint32_t n_bounds;
    const double *bounds;
    const unsigned char *text;
    uint32_t text_bytes;
    /* kept here by the functions below */
    uint32_t n_labels;
    struct shm_series overflow;
    struct shm_series overflow_thrown; /* Calls: exceptions there, and those without room */
};

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
    return (struct shm_room){shm_entry_bytes(text_bytes), shm_cells_of(type, n_bounds)};
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
}

/* ---- series ----------------------------------------------------------------------------- */

/* Gives a series for which there is room its id and its cells. of: its family, or its parent. */
static inline void shm_append_series(struct shm_producer *p, struct shm_series *s, uint32_t of,
                                     uint32_t text_bytes, uint32_t n)
{
    uint16_t kind = s->type == SHM_TYPE_EXCEPTION ? SHM_ENTRY_EXCEPTION : SHM_ENTRY_SERIES;
    struct shm_entry entry = {0, kind, s->type, p->series + 1, of};
    shm_append_entry(p, entry, s->text, text_bytes, n);
    s->id = ++p->series;
    s->cell = shm_cells_take(&p->cells_used, p->lane.n_cells, shm_cells_of(s->type, s->n_bounds));
    /* Last. Where a signal handler forks in the middle and the child defines the series in a lane
     * of its own, the rest of this is that of another generation, and the next event defines it
     * anew. */
    atomic_signal_fence(memory_order_seq_cst);
    s->generation = p->generation;
}

/* Defines a series, if the lane has room for it. */
static inline bool shm_try_series(struct shm_producer *p, struct shm_series *s, uint32_t of)
{
    if (!s->text || shm_is_oversized(s->text_bytes) ||
        !shm_has_room(p, shm_room_of(s->type, s->n_bounds, s->text_bytes)))
        return false;
    shm_append_series(p, s, of, s->text_bytes, 0);
    return true;
}

/* Defines an overflow series, with n values, in the room that is reserved for it. Returns false,
 * and counts a drop, if there is no room: only where it was defined before, and a child forked in
 * the middle of that. */
static inline bool shm_take_reserved(struct shm_producer *p, struct shm_series *s, uint32_t of,
                                     uint32_t n)
{
    if (s->generation == p->generation)
        return true;
    uint32_t text_bytes = shm_overflow_text_bytes(n);
    struct shm_room taken = shm_room_of(s->type, s->n_bounds, text_bytes);
    if (taken.bytes <= p->reserved.bytes && taken.cells <= p->reserved.cells) {
        p->reserved.bytes -= taken.bytes;
        p->reserved.cells -= taken.cells;
    } else if (!shm_has_room(p, taken)) {
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

/* Defines a family, and reserves room for its overflow series. Returns false, and counts a drop, if
 * the family is too long or the lane is full. */
static inline bool shm_define_family(struct shm_producer *p, struct shm_family *f)
{
    if (f->generation == p->generation)
        return true;
    uint32_t n_labels = shm_labels_of(f);
    uint32_t overflow_bytes = shm_overflow_text_bytes(n_labels);
    if (shm_is_oversized(f->text_bytes) || shm_is_oversized(overflow_bytes)) {
        shm_count_drop(p, SHM_DROP_OVERSIZED, 1);
        return false;
    }
    struct shm_room reserved = {0, 0};
    if (f->type != SHM_TYPE_GAUGE || n_labels == 0)
        reserved = shm_room_of(f->type, f->n_bounds, overflow_bytes);
    if (f->type == SHM_TYPE_CALLS) {
        struct shm_room thrown = shm_room_of(SHM_TYPE_EXCEPTION, 0, shm_overflow_text_bytes(1));
        reserved.bytes += thrown.bytes;
        reserved.cells += thrown.cells;
    }
    struct shm_room needed = {reserved.bytes + shm_entry_bytes(f->text_bytes), reserved.cells};
    if (!shm_has_room(p, needed)) {
        shm_count_drop(p, SHM_DROP_LANE_FULL, 1);
        return false;
    }
    struct shm_entry entry = {0, SHM_ENTRY_FAMILY, f->type, p->families + 1, f->n_bounds};
    shm_append_entry(p, entry, f->text, f->text_bytes, 0);
    p->reserved.bytes += reserved.bytes;
    p->reserved.cells += reserved.cells;
    f->id = ++p->families;
    f->n_labels = n_labels;
    f->overflow = (struct shm_series){
        .type = f->type, .n_bounds = f->n_bounds, .bounds = f->bounds, .family = f};
    f->overflow_thrown = (struct shm_series){.type = SHM_TYPE_EXCEPTION, .parent = &f->overflow};
    atomic_signal_fence(memory_order_seq_cst); /* as in shm_append_series */
    f->generation = p->generation;
    return true;
}

/* Counts an event that is recorded in an overflow series. */
static inline void shm_count_overflow(struct shm_producer *p)
{
    shm_cell_count(&p->lane.header->producer.overflowed, 1);
}

/* ---- the series that takes an event ----------------------------------------------------- */

/* Returns the series that takes an event of s in the current lane: s itself, or its family's
 * overflow series. Returns NULL, and counts a drop, if there is neither. */
static inline struct shm_series *shm_define(struct shm_producer *p, struct shm_series *s)
{
    struct shm_family *f = s->family;
    if (!shm_define_family(p, f))
        return NULL;
    if (f->n_labels > 0 && shm_try_series(p, s, f->id))
        return s;
    if (f->n_labels > 0 && f->type == SHM_TYPE_GAUGE) {
        shm_count_drop(p, SHM_DROP_LANE_FULL, 1);
        return NULL;
    }
    if (!shm_take_reserved(p, &f->overflow, f->id, f->n_labels))
        return NULL;
    if (f->n_labels > 0) {
        shm_count_overflow(p);
        return &f->overflow;
    }
    s->id = f->overflow.id;
    s->cell = f->overflow.cell;
    atomic_signal_fence(memory_order_seq_cst); /* as in shm_append_series */
    s->generation = p->generation;
    return s;
}

/* Does the same for an exception, at the end of a call of its parent. */
static inline struct shm_series *shm_define_thrown(struct shm_producer *p, struct shm_series *s)
{
    struct shm_family *f = s->parent->family;
    if (s->generation == p->generation)
        return s;
    if (!shm_define_family(p, f))
        return NULL;
    bool is_parents = s->parent->generation == p->generation;
    if (is_parents && shm_try_series(p, s, s->parent->id))
        return s;
    if (!shm_take_reserved(p, &f->overflow, f->id, f->n_labels) ||
        !shm_take_reserved(p, &f->overflow_thrown, f->overflow.id, 1))
        return NULL;
    if (is_parents) /* or else its call has overflowed, and was counted */
        shm_count_overflow(p);
    return &f->overflow_thrown;
}

/* Makes a lane if there is none, and returns the series that takes an event of s; NULL if the event
 * cannot be recorded. */
static inline struct shm_series *shm_prepare(struct shm_producer *p, struct shm_series *s)
{
    if (p->disabled)
        return NULL;
    if (!shm_has_lane(p)) {
        p->homeless++;
        return NULL;
    }
    return s->generation == p->generation ? s : shm_define(p, s);
}

#endif
