/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The producer: one emitter's end of a lane. It begins in a lane and goes on in another, finds a
 * slot for an event, and counts by cause the events that could not be kept. Families and series are
 * in definitions.h, where an event is recorded in place.h, the events themselves in emit.h, the way
 * to a larger lane in move.h.
 *
 * A process that needs a larger lane has a second producer until it gets one: the waiting producer,
 * with private memory. What the lane has no room for is recorded there. Meanwhile `generation` is
 * one that no series has, so that every event takes the slow path, which knows both.
 *
 * Concurrency: one thread at a time per producer (Python: whoever holds the GIL).
 */
#ifndef SHM_PRODUCER_H
#define SHM_PRODUCER_H

#include <stdbool.h>

#include "../lane/clock.h"
#include "kick.h"
#include "../lane/lane.h"
#include "../lane/ring.h"
#include "../lane/spill.h"

#define SHM_NO_SLOT UINT32_MAX
#define SHM_ENDED_CALL UINT32_MAX /* among what waits: for a call of the lane whose end waits, with the
                                     id of its series among what waits for a start */
#define SHM_NO_GENERATION UINT32_MAX
#define SHM_OF_NO_SERIES (UINT32_MAX - 1u) /* in the slot of an open call: nothing is shown of it */
#define SHM_IN_NO_LANE 0u /* the generation of a series that is in none: no lane has it */
#define SHM_ATTEND_NS UINT64_C(1000000000)
#define SHM_ATTEND_SOON_NS UINT64_C(10000000) /* while an answer is on its way */

/* The room of a definition in a lane. */
struct shm_room {
    uint64_t bytes; /* of the dictionary */
    uint32_t cells;
};

struct shm_series;

struct shm_producer {
    struct shm_ring ring;
    uint32_t generation; /* of the series that need no second look; see the top */
    uint32_t epoch; /* changes when the process does: a fork */
    uint64_t calls_generation; /* changes when open calls are left behind; see shm_epoch_of */
    uint32_t lane_generation; /* changes when ids become invalid: a new lane */
    uint32_t side; /* which of the two definitions of a family is that in this lane */
    struct shm_lane lane; /* lane.header is NULL while there is none */
    uint32_t families;
    uint32_t series;
    uint32_t cells_used;
    uint64_t dictionary_end;
    struct shm_room reserved; /* for overflow series that are not defined yet */
    void *kicks; /* the page that the collector watches; NULL if none */
    bool disabled;
    uint64_t attend_at_ns;
    bool has_news; /* for the log of the process: the next slow path calls attention */
    uint64_t homeless; /* events for which not even private memory could be had */
    bool (*open)(struct shm_producer *); /* makes a lane when there is none; may be NULL */
    /* Growing. A producer without `wait` never does. */
    struct shm_producer *waiting; /* NULL: nothing waits */
    struct shm_producer *(*wait)(struct shm_producer *); /* makes it; NULL if it cannot */
    bool wants_larger; /* a larger lane */
    bool is_awaited; /* its answer is on its way: what has to wait calls attention at once */
    uint64_t grow_after_ns; /* it asks for none before */
    struct shm_series **by_id; /* series of this lane, as far as they still exist; may be NULL */
    uint32_t n_by_id;
    uint32_t n_free;
    uint32_t calls_high;
    uint16_t free_calls[SHM_MAX_OPEN_CALLS];
};

/* An open call: kept by the caller between start and end. A caller that knows the call's trace sets
 * traced and trace once the call has begun. */
struct shm_call {
    uint64_t start_ns;
    uint64_t calls_generation;
    uint32_t slot;
    bool open;
    bool traced;
    struct shm_trace trace;
};

enum shm_emit {
    SHM_EMITTED = 0,
    SHM_ATTENTION = 1, /* emitted or counted; and it is time to look after the registration */
    SHM_SPAN_ATTENTION = 2, /* a span was emitted, and it is time; see shm_emit_span */
};

/* Returns the first generation of open calls of a process. A fork leaves open calls behind, and so
 * does a lane that is given up: the upper half is the epoch, the lower half counts such lanes. One
 * comparison, at the end of a call, looks at both. */
static inline uint64_t shm_first_calls_of(uint32_t epoch)
{
    return (uint64_t)epoch << 32;
}

/* Returns the epoch of a generation of open calls. */
static inline uint32_t shm_epoch_of(uint64_t calls_generation)
{
    return (uint32_t)(calls_generation >> 32);
}

/* Tells whether there is a lane to write to, after making one if need be. */
static inline bool shm_has_lane(struct shm_producer *p)
{
    return p->lane.header || (!p->disabled && p->open && p->open(p));
}

/* Counts n events that could not be kept. */
static inline void shm_count_drop(struct shm_producer *p, enum shm_drop cause, uint64_t n)
{
    if (shm_has_lane(p))
        shm_cell_count(&p->lane.header->producer.dropped[cause], n);
    else if (!p->disabled)
        p->homeless += n;
}

/* ---- the lane underneath ---------------------------------------------------------------- */

/* Hands out the slots of open calls that are free in a lane. */
static inline void shm_free_slots(struct shm_producer *p, const struct shm_lane *lane)
{
    uint32_t n_free = 0;
    for (uint32_t i = lane->n_calls; i-- > 0;) /* lowest slot on top of the stack */
        if (i >= p->calls_high ||
            atomic_load_explicit(&lane->calls[i].series, memory_order_relaxed) == 0)
            p->free_calls[n_free++] = (uint16_t)i;
    p->n_free = n_free;
}

/* Lists a call in a slot. */
static inline void shm_fill_slot(struct shm_producer *p, uint32_t slot, uint32_t series,
                                 uint64_t start_ns)
{
    struct shm_open_call *open = &p->lane.calls[slot];
    /* Pairs with its acquire in shm_drain_calls: the call before this one has left the slot. */
    atomic_store_explicit(&open->start_ns, start_ns, memory_order_release);
    /* Pairs with the acquire in shm_drain_calls: start_ns belongs to this call. */
    atomic_store_explicit(&open->series, series, memory_order_release);
    if (slot >= p->calls_high) {
        p->calls_high = slot + 1;
        /* Relaxed: the release of the slot's series orders all that the slot holds. */
        atomic_store_explicit(&p->lane.header->producer.calls_high, p->calls_high,
                              memory_order_relaxed);
    }
}

/* Describes the call in a slot of a lane. trace: SHM_TRACE_WORDS words. */
static inline void shm_describe_slot(const struct shm_lane *lane, uint32_t slot, uint64_t start_ns,
                                     uint32_t timeout_ms, const uint64_t *trace)
{
    struct shm_description *description = &lane->descriptions[slot];
    /* Pairs with its acquire in read_description. So does each word of the trace: who reads this
     * finds the start of this call in the slot, and so that an earlier call has left it. */
    atomic_store_explicit(&lane->calls[slot].timeout_ms, timeout_ms, memory_order_release);
    for (uint32_t i = 0; i < SHM_TRACE_WORDS; i++)
        atomic_store_explicit(&description->trace[i], trace[i], memory_order_release);
    /* Pairs with its acquire in read_description: timeout and trace are of this call. */
    atomic_store_explicit(&description->described_ns, start_ns, memory_order_release);
}

/* Takes the description of a call that began at start_ns along to its slot in the next lane, if it
 * has one. */
static inline void shm_carry_description(const struct shm_lane *from, const struct shm_lane *to,
                                         uint32_t slot, uint64_t start_ns)
{
    const struct shm_description *description = &from->descriptions[slot];
    /* Relaxed: the emitter alone writes both. */
    if (atomic_load_explicit(&description->described_ns, memory_order_relaxed) != start_ns)
        return;
    uint64_t trace[SHM_TRACE_WORDS];
    for (uint32_t i = 0; i < SHM_TRACE_WORDS; i++)
        trace[i] = atomic_load_explicit(&description->trace[i], memory_order_relaxed);
    shm_describe_slot(
        to, slot, start_ns,
        atomic_load_explicit(&from->calls[slot].timeout_ms, memory_order_relaxed), trace);
}

/* Starts recording into a fresh lane. Ids of the previous one become invalid. */
static inline void shm_producer_begin(struct shm_producer *p, const struct shm_lane *lane,
                                      uint32_t generation)
{
    p->lane = *lane;
    if (p->lane.n_calls > SHM_MAX_OPEN_CALLS)
        p->lane.n_calls = SHM_MAX_OPEN_CALLS;
    p->lane_generation = generation;
    p->generation = p->wants_larger ? SHM_NO_GENERATION : generation;
    p->families = 0;
    p->series = 0;
    p->cells_used = 0;
    p->dictionary_end = 0;
    p->reserved = (struct shm_room){0, 0};
    p->calls_high = 0;
    shm_free_slots(p, &p->lane);
    shm_ring_open(&p->ring, lane->ring, lane->records, lane->header);
    shm_cell_count(&lane->header->producer.dropped[SHM_DROP_NO_MEMORY], p->homeless);
    p->homeless = 0;
}

/* Goes on in another lane with the same ids, taking along definitions, totals and open calls.
 * The new lane must be untouched. Returns false, and changes nothing, if they do not fit. */
static inline bool shm_producer_move(struct shm_producer *p, const struct shm_lane *to)
{
    const struct shm_lane *from = &p->lane;
    if (p->dictionary_end + p->reserved.bytes > to->dictionary_bytes ||
        (uint64_t)p->cells_used + p->reserved.cells > to->n_cells ||
        p->calls_high > to->n_calls || to->n_calls > SHM_MAX_OPEN_CALLS)
        return false;
    struct shm_producer_line *old_line = &from->header->producer;
    struct shm_producer_line *new_line = &to->header->producer;
    memcpy(to->dictionary, from->dictionary, p->dictionary_end);
    for (uint32_t i = 0; i < p->cells_used; i++)
        atomic_store_explicit(&to->cells[i],
                              atomic_load_explicit(&from->cells[i], memory_order_relaxed),
                              memory_order_relaxed);
    for (uint32_t i = 0; i < p->calls_high; i++) {
        uint32_t series = atomic_load_explicit(&from->calls[i].series, memory_order_relaxed);
        uint64_t start_ns = atomic_load_explicit(&from->calls[i].start_ns, memory_order_relaxed);
        atomic_store_explicit(&to->calls[i].start_ns, start_ns, memory_order_relaxed);
        shm_carry_description(from, to, i, start_ns);
        /* Relaxed: the slots count once calls_high is moved, below. */
        atomic_store_explicit(&to->calls[i].series, series, memory_order_relaxed);
    }
    shm_free_slots(p, to); /* the table of open calls may be a smaller or larger one */
    for (int i = 0; i < SHM_DROPS; i++)
        shm_cell_count(&new_line->dropped[i],
                       atomic_load_explicit(&old_line->dropped[i], memory_order_relaxed));
    shm_cell_count(&new_line->overflowed,
                   atomic_load_explicit(&old_line->overflowed, memory_order_relaxed));
    atomic_store_explicit(&new_line->gauge_writes,
                          atomic_load_explicit(&old_line->gauge_writes, memory_order_relaxed),
                          memory_order_relaxed);
    /* Definitions first, then the totals of their series. Pairs with the acquire in unread. */
    atomic_store_explicit(&new_line->dictionary_end, p->dictionary_end, memory_order_release);
    /* Pairs with the acquire of spilled in shm_drain_pass: the cells are written. */
    atomic_store_explicit(&new_line->spilled,
                          atomic_load_explicit(&old_line->spilled, memory_order_relaxed),
                          memory_order_release);
    /* After spilled, with which all totals come if anything was spilled: so they come together.
     * Pairs with the acquire of added in shm_drain_pass. */
    atomic_store_explicit(&new_line->added,
                          atomic_load_explicit(&old_line->added, memory_order_relaxed),
                          memory_order_release);
    /* Last, so that no call shows as open whose start is not counted. Pairs with the acquire in
     * shm_drain_calls. */
    atomic_store_explicit(&new_line->calls_high, p->calls_high, memory_order_release);
    p->lane = *to;
    shm_ring_open(&p->ring, to->ring, to->records, to->header);
    return true;
}

/* ---- the slow path ---------------------------------------------------------------------- */

/* Returns the state of the lane: whether anybody drains it. */
static inline enum shm_lane_state shm_lane_state(const struct shm_producer *p)
{
    return (enum shm_lane_state)atomic_load_explicit(&p->lane.header->consumer.state,
                                                     memory_order_relaxed);
}

/* Tells whether the collector has given the lane up. */
static inline bool shm_is_closed(const struct shm_producer *p)
{
    return p->lane.header && shm_lane_state(p) == SHM_LANE_CLOSED;
}

/* Tells whether it is time to look after the registration, of a lane that nobody drains. */
static SHM_COLD enum shm_emit shm_attend_now(struct shm_producer *p)
{
    if (!p->open)
        return SHM_EMITTED;
    uint64_t now_ns = shm_clock_coarse_ns();
    if (now_ns < p->attend_at_ns)
        return SHM_EMITTED;
    p->attend_at_ns = now_ns + SHM_ATTEND_NS;
    return SHM_ATTENTION;
}

/* Notes that there are news, which the next event tells: it takes the slow path. */
static inline void shm_be_told(struct shm_producer *p)
{
    p->has_news = p->open != NULL;
    if (p->has_news)
        p->generation = SHM_NO_GENERATION;
}

/* Calls attention to the news. */
static inline enum shm_emit shm_tell(struct shm_producer *p)
{
    p->has_news = false;
    if (!p->wants_larger)
        p->generation = p->lane_generation;
    return SHM_ATTENTION;
}

/* Makes the next look come soon: the collector has been asked, and may answer at any moment. */
static inline void shm_attend_soon(struct shm_producer *p)
{
    p->is_awaited = p->wants_larger;
    p->attend_at_ns = shm_clock_coarse_ns() + SHM_ATTEND_SOON_NS;
}

/* Tells whether it is time to look after the registration. */
SHM_HOT enum shm_emit shm_attend(struct shm_producer *p)
{
    return SHM_LIKELY(shm_lane_state(p) == SHM_LANE_OPEN) ? SHM_EMITTED : shm_attend_now(p);
}

/* Reads how far the collector is, and tells whether there is a slot now. */
SHM_HOT bool shm_look_for_slot(struct shm_producer *p)
{
    enum shm_refresh found = shm_ring_refresh(&p->ring);
    if (found == SHM_REFRESH_FULL)
        return false;
    if (found == SHM_REFRESH_KICK)
        shm_kick(p->kicks);
    if (shm_lane_state(p) == SHM_LANE_TOLD)
        shm_be_told(p);
    return true;
}

/* Tells whether there is a slot, if need be after reading how far the collector is. */
SHM_HOT bool shm_has_slot(struct shm_producer *p)
{
    return SHM_LIKELY(shm_ring_has_slot(&p->ring)) || shm_look_for_slot(p);
}

/* Tells whether there are n slots, if need be after reading how far the collector is. */
static inline bool shm_slots(struct shm_producer *p, uint64_t n)
{
    enum shm_refresh found = shm_ring_reserve(&p->ring, n);
    if (found == SHM_REFRESH_KICK)
        shm_kick(p->kicks);
    if (found != SHM_REFRESH_FULL && shm_lane_state(p) == SHM_LANE_TOLD)
        shm_be_told(p);
    return found != SHM_REFRESH_FULL;
}

#endif
