/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring: one producer, one consumer, fixed slots, free-running indices.
 *
 *   producer                                     consumer
 *   fill slot[head & mask]                       head' = load head   (acquire)
 *   store head + 1  (release)  ------------->    copy slots tail .. head'
 *   load tail       (acquire)  <-------------    store tail + 1      (release)
 *
 * Each release permits what the acquire it meets does next: the release of head lets the consumer
 * read the slot, the release of tail lets the producer overwrite it.
 *
 * Progress: every function here is wait-free. Concurrency: one thread at a time per side.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include <stdbool.h>

#include "layout.h"

/* Hints about the usual event: its instructions lie in one line, and all others apart. */
#define SHM_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define SHM_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define SHM_HOT static inline __attribute__((always_inline)) /* to be put into its callers */
#define SHM_COLD __attribute__((cold, noinline, unused)) /* not to be put into its callers */
#define SHM_APART __attribute__((noinline, unused)) /* the same, and what follows is hot */

#define SHM_RING_STRIDES 8u /* each of the frequent looks is so much farther than the one before */

/* The producer's end, in its private memory: the fast path touches the shared lines only to
 * publish. limit is the index at which the producer has to look again: at the first half of the
 * ring to see whether the consumer should be woken, at the end of it because it is full. After a
 * definition it looks sooner, because the collector may answer to that. */
struct shm_ring {
    struct shm_record *slots;
    uint64_t mask;
    uint64_t head;
    uint64_t limit;
    uint64_t tail; /* as last seen */
    _Atomic uint64_t *shared_head;
    _Atomic uint64_t *shared_tail;
    uint64_t stride; /* the records until the next look, while looks are frequent */
};

/* Returns how many records the ring holds; 0 for a lane without one. */
static inline uint64_t shm_ring_capacity(const struct shm_ring *ring)
{
    return ring->slots ? ring->mask + 1 : 0;
}

/* Tells whether there is a slot to fill. If not, shm_ring_refresh looks for one. */
SHM_HOT bool shm_ring_has_slot(const struct shm_ring *ring)
{
    return ring->head != ring->limit;
}

/* Returns the slot to fill next. There has to be one. */
SHM_HOT struct shm_record *shm_ring_next(const struct shm_ring *ring)
{
    return &ring->slots[ring->head & ring->mask];
}

/* Notes the trace that the event belongs to; NULL: none. A spilled event loses it. */
static inline void shm_fill_trace(struct shm_record *slot, const struct shm_trace *trace)
{
    slot->flags = 0;
    if (SHM_UNLIKELY(trace)) {
        slot->flags = SHM_FLAG_TRACE;
        slot->trace = *trace;
    }
}

/* Publishes n filled slots, all at once. */
SHM_HOT void shm_ring_publish_run(struct shm_ring *ring, uint64_t n)
{
    ring->head += n;
    /* Pairs with the acquire in shm_ring_waiting. */
    atomic_store_explicit(ring->shared_head, ring->head, memory_order_release);
}

/* Publishes the filled slot. */
SHM_HOT void shm_ring_publish(struct shm_ring *ring)
{
    shm_ring_publish_run(ring, 1);
}

enum shm_refresh {
    SHM_REFRESH_FULL = 0,
    SHM_REFRESH_ROOM = 1,
    SHM_REFRESH_KICK = 2, /* there is room, and the consumer should be woken */
};

/* Reads how far the consumer is, and moves the limit. */
SHM_HOT enum shm_refresh shm_ring_refresh(struct shm_ring *ring)
{
    uint64_t capacity = shm_ring_capacity(ring);
    if (capacity == 0)
        return SHM_REFRESH_FULL;
    /* Pairs with the release in shm_ring_release_run. */
    ring->tail = atomic_load_explicit(ring->shared_tail, memory_order_acquire);
    uint64_t used = ring->head - ring->tail;
    if (used >= capacity)
        return SHM_REFRESH_FULL;
    uint64_t half = capacity / 2;
    if (used < half) {
        uint64_t room = half - used;
        ring->limit = ring->head + (ring->stride < room ? ring->stride : room);
        if (ring->stride < capacity)
            ring->stride *= SHM_RING_STRIDES;
        return SHM_REFRESH_ROOM;
    }
    ring->limit = ring->tail + capacity;
    return SHM_REFRESH_KICK;
}

/* Tells whether n slots behind each other can be filled now; the consumer may have to be woken. */
static inline enum shm_refresh shm_ring_reserve(struct shm_ring *ring, uint64_t n)
{
    if (ring->limit - ring->head >= n)
        return SHM_REFRESH_ROOM;
    enum shm_refresh found = shm_ring_refresh(ring);
    if (found == SHM_REFRESH_ROOM && ring->limit - ring->head < n) {
        uint64_t half = shm_ring_capacity(ring) / 2;
        if (ring->head + n - ring->tail <= half) {
            ring->limit = ring->head + n; /* only the next look was to come sooner */
        } else {
            ring->limit = ring->tail + shm_ring_capacity(ring); /* into the second half */
            found = SHM_REFRESH_KICK;
        }
    }
    return ring->limit - ring->head >= n ? found : SHM_REFRESH_FULL;
}

/* Returns the i-th of the slots that were reserved. */
static inline struct shm_record *shm_ring_reserved(const struct shm_ring *ring, uint64_t i)
{
    return &ring->slots[(ring->head + i) & ring->mask];
}

/* Makes the next looks come soon: after 1 record, 8, 64 and so on. */
static inline void shm_ring_look_soon(struct shm_ring *ring)
{
    ring->stride = 1;
    if (ring->limit - ring->head > 1 && ring->head - ring->tail < shm_ring_capacity(ring) / 2)
        ring->limit = ring->head + 1;
}

/* Starts the producer's end at the lane's current head. */
static inline void shm_ring_open(struct shm_ring *ring, struct shm_record *slots, uint64_t records,
                                 struct shm_header *header)
{
    ring->slots = records ? slots : NULL;
    ring->mask = records ? records - 1 : 0;
    ring->shared_head = &header->producer.head;
    ring->shared_tail = &header->consumer.tail;
    ring->head = atomic_load_explicit(ring->shared_head, memory_order_relaxed);
    ring->tail = ring->head;
    ring->limit = ring->head;
    ring->stride = 1;
    (void)shm_ring_refresh(ring);
}

/* The consumer's end, in its private memory. */
struct shm_ring_reader {
    const struct shm_record *slots;
    uint64_t records;
    uint64_t tail;
    const _Atomic uint64_t *shared_head;
    _Atomic uint64_t *shared_tail;
};

/* Starts the consumer's end at the lane's current tail. */
static inline void shm_ring_open_reader(struct shm_ring_reader *reader,
                                        const struct shm_record *slots, uint64_t records,
                                        struct shm_header *header)
{
    reader->slots = slots;
    reader->records = records;
    reader->shared_head = &header->producer.head;
    reader->shared_tail = &header->consumer.tail;
    reader->tail = atomic_load_explicit(reader->shared_tail, memory_order_relaxed);
}

/* Returns how many records wait. If they are more than there are slots, the head is wrong. */
static inline uint64_t shm_ring_waiting(const struct shm_ring_reader *reader)
{
    /* Pairs with the release in shm_ring_publish_run. */
    return atomic_load_explicit(reader->shared_head, memory_order_acquire) - reader->tail;
}

/* Copies the oldest record that waits. */
static inline void shm_ring_read(const struct shm_ring_reader *reader, struct shm_record *record)
{
    *record = reader->slots[reader->tail & (reader->records - 1)];
}

/* Copies the i-th record behind the oldest; the caller knows that it waits. */
static inline void shm_ring_read_ahead(const struct shm_ring_reader *reader, uint64_t i,
                                       struct shm_record *record)
{
    *record = reader->slots[(reader->tail + i) & (reader->records - 1)];
}

/* Gives the n oldest slots back, all at once. */
static inline void shm_ring_release_run(struct shm_ring_reader *reader, uint64_t n)
{
    /* Pairs with the acquire of tail in shm_ring_refresh: the slots may be overwritten. */
    atomic_store_explicit(reader->shared_tail, reader->tail + n, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    reader->tail += n; /* second: if the store faults, nothing was given back */
}

/* Gives the oldest slot back. */
static inline void shm_ring_release(struct shm_ring_reader *reader)
{
    shm_ring_release_run(reader, 1);
}

#endif
