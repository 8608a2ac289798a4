/* SPDX-License-Identifier: Apache-2.0 */
/* The counts that a lane keeps about itself: the same numbers for its emitter's shmetrics.status()
 * and for the collector. */
#ifndef SHM_COUNTS_H
#define SHM_COUNTS_H

#include "layout.h"

struct shm_counts {
    uint64_t lane_id;
    uint64_t recorded; /* events published in the ring, or added straight to their cell */
    uint64_t waiting;  /* records that are not drained yet */
    uint64_t spilled;  /* events folded into cells because the ring was full */
    uint64_t gauge_writes;
    uint64_t overflowed; /* events that count, but not under their own labels */
    uint64_t dropped[SHM_DROPS];
};

/* Adds what was counted in another lane. */
static inline void shm_counts_add(struct shm_counts *counts, const struct shm_counts *more)
{
    counts->recorded += more->recorded;
    counts->waiting += more->waiting;
    counts->spilled += more->spilled;
    counts->gauge_writes += more->gauge_writes;
    counts->overflowed += more->overflowed;
    for (int i = 0; i < SHM_DROPS; i++)
        counts->dropped[i] += more->dropped[i];
}

/* Returns the name of a cause, for people and as a label value. */
static inline const char *shm_drop_name(enum shm_drop cause)
{
    static const char *const names[SHM_DROPS] = {
        "lane_full",    "oversized",      "bad_value", "bad_labels",
        "foreign_call", "untracked_call", "no_memory", "bad_exemplar",
        "span",
    };
    return (unsigned)cause < SHM_DROPS ? names[cause] : "unknown";
}

/* Reads the counts of a lane that its emitter may be writing to. */
static inline void shm_counts_read(const struct shm_header *header, struct shm_counts *counts)
{
    const struct shm_producer_line *producer = &header->producer;
    uint64_t tail = atomic_load_explicit(&header->consumer.tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&producer->head, memory_order_relaxed);
    counts->lane_id = header->identity.lane_id;
    counts->recorded = head - SHM_INDEX_START +
                       atomic_load_explicit(&producer->added, memory_order_relaxed);
    counts->waiting = head - tail;
    counts->spilled = atomic_load_explicit(&producer->spilled, memory_order_relaxed);
    counts->gauge_writes = atomic_load_explicit(&producer->gauge_writes, memory_order_relaxed);
    counts->overflowed = atomic_load_explicit(&producer->overflowed, memory_order_relaxed);
    for (int i = 0; i < SHM_DROPS; i++)
        counts->dropped[i] = atomic_load_explicit(&producer->dropped[i], memory_order_relaxed);
}

#endif
