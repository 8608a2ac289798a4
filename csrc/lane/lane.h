/* SPDX-License-Identifier: Apache-2.0 */
/* A lane in memory: the sizes of its parts, how it is made, how a mapping of it is checked. */
#ifndef SHM_LANE_H
#define SHM_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "layout.h"

/* The sizes that the maker of a lane chooses. records is a power of two and not 1, or 0 for a lane
 * without a ring (every event then goes to the cells). */
struct shm_lane_sizes {
    uint32_t records;
    uint32_t dictionary_bytes; /* multiple of 8 */
    uint32_t cells;
    uint32_t calls;
};

/* The sizes of a process's first lane, unless a configuration has others. A collector gives no
 * smaller ones (but for the ring). */
#define SHM_DEFAULT_RECORDS 4096u
#define SHM_DEFAULT_DICTIONARY_BYTES 65536u
#define SHM_DEFAULT_CELLS 8192u
#define SHM_DEFAULT_CALLS 1024u

/* An emitter uses so many slots for open calls at most; if a lane has more, they stay empty. */
#define SHM_MAX_OPEN_CALLS 4096u

/* One side's own view of a mapped lane. Everything here was copied out of the identity and
 * checked once; the identity is never read again, because the other side can write to it. */
struct shm_lane {
    struct shm_header *header;
    struct shm_open_call *calls;
    struct shm_description *descriptions; /* of the call in each slot */
    unsigned char *dictionary;
    _Atomic uint64_t *cells;
    _Atomic uint64_t *seen;
    struct shm_record *ring;
    uint64_t lane_id;
    uint64_t predecessor;
    uint64_t size_bytes;
    uint64_t records; /* 0, or a power of two and not 1 */
    uint32_t dictionary_bytes;
    uint32_t n_cells;
    uint32_t n_calls;
};

enum shm_attach {
    SHM_ATTACH_OK = 0,
    SHM_ATTACH_NOT_READY = 1, /* version still zero */
    SHM_ATTACH_NOT_A_LANE = 2,
    SHM_ATTACH_VERSION = 3,
    SHM_ATTACH_BAD_PARTS = 4, /* a part outside the file, misaligned, overlapping or ill-sized */
    SHM_ATTACH_FOREIGN = 5,   /* not of this process: it was forked since it asked */
    SHM_ATTACH_TOO_SMALL = 6, /* for the content of its emitter's private lane */
    SHM_ATTACH_LATER = 7, /* no failure: once more at the next event */
};

#define SHM_LANE_MAX_BYTES (UINT64_C(1) << 30)

/* Returns the size of a lane with parts of these sizes. */
static inline uint64_t shm_lane_bytes(const struct shm_lane_sizes *sizes)
{
    return SHM_HEADER_BYTES + (uint64_t)sizes->calls * SHM_CALL_BYTES +
           sizes->dictionary_bytes + 2u * (uint64_t)sizes->cells * SHM_CELL_BYTES +
           (uint64_t)sizes->records * SHM_RECORD_BYTES;
}

/* Checks the identity of size_bytes of memory at base and fills *lane from it. */
static inline enum shm_attach shm_lane_attach(void *base, uint64_t size_bytes,
                                              struct shm_lane *lane)
{
    struct shm_header *header = base;
    if (size_bytes < SHM_HEADER_BYTES)
        return SHM_ATTACH_NOT_A_LANE;
    /* Pairs with the release in shm_lane_format_after. */
    uint32_t version = atomic_load_explicit(&header->identity.version, memory_order_acquire);
    uint64_t magic = header->identity.magic;
    if (version == 0 && magic == 0)
        return SHM_ATTACH_NOT_READY;
    if (magic != SHM_LANE_MAGIC)
        return SHM_ATTACH_NOT_A_LANE;
    if (version != SHM_LAYOUT_VERSION)
        return SHM_ATTACH_VERSION;

    /* Copy, then check, then use. */
    struct shm_part parts[5];
    memcpy(&parts[0], &header->identity.calls, sizeof parts);
    static_assert(offsetof(struct shm_identity, ring) - offsetof(struct shm_identity, calls) ==
                      4 * sizeof(struct shm_part), "the five parts are one array");
    const uint64_t unit[5] = {SHM_CALL_BYTES, 8, SHM_CELL_BYTES, SHM_CELL_BYTES, SHM_RECORD_BYTES};
    uint64_t lane_id = header->identity.lane_id;
    uint64_t predecessor = header->identity.predecessor;
    uint32_t record_bytes = header->identity.record_bytes;
    uint64_t at = SHM_HEADER_BYTES;
    for (int i = 0; i < 5; i++) {
        /* Parts lie one behind the other: that is the whole overlap check. */
        if (parts[i].offset_bytes != at || parts[i].size_bytes > SHM_LANE_MAX_BYTES ||
            parts[i].size_bytes % unit[i] != 0)
            return SHM_ATTACH_BAD_PARTS;
        at += parts[i].size_bytes;
    }
    uint64_t records = parts[4].size_bytes / SHM_RECORD_BYTES;
    if (record_bytes != SHM_RECORD_BYTES || at > size_bytes ||
        parts[2].size_bytes != parts[3].size_bytes || (records & (records - 1)) != 0 ||
        records == 1)
        return SHM_ATTACH_BAD_PARTS;

    unsigned char *bytes = base;
    lane->header = header;
    lane->calls = (struct shm_open_call *)(void *)(bytes + parts[0].offset_bytes);
    lane->n_calls = (uint32_t)(parts[0].size_bytes / SHM_CALL_BYTES);
    lane->descriptions = (struct shm_description *)(void *)(lane->calls + lane->n_calls);
    lane->dictionary = bytes + parts[1].offset_bytes;
    lane->cells = (_Atomic uint64_t *)(void *)(bytes + parts[2].offset_bytes);
    lane->seen = (_Atomic uint64_t *)(void *)(bytes + parts[3].offset_bytes);
    lane->ring = (struct shm_record *)(void *)(bytes + parts[4].offset_bytes);
    lane->lane_id = lane_id;
    lane->predecessor = predecessor;
    lane->size_bytes = size_bytes;
    lane->records = records;
    lane->dictionary_bytes = (uint32_t)parts[1].size_bytes;
    lane->n_cells = (uint32_t)(parts[2].size_bytes / SHM_CELL_BYTES);
    return SHM_ATTACH_OK;
}

/* Writes the identity of a new lane into zeroed memory of shm_lane_bytes(sizes) bytes. predecessor:
 * the id of the lane that it replaces; 0: none. */
static inline void shm_lane_format_after(void *base, uint64_t lane_id, uint64_t predecessor,
                                         const struct shm_lane_sizes *sizes)
{
    struct shm_header *header = base;
    struct shm_identity *identity = &header->identity;
    uint64_t at = SHM_HEADER_BYTES;
    struct shm_part *parts[5] = {&identity->calls, &identity->dictionary, &identity->cells,
                                 &identity->seen, &identity->ring};
    const uint64_t size[5] = {(uint64_t)sizes->calls * SHM_CALL_BYTES,
                              sizes->dictionary_bytes, (uint64_t)sizes->cells * SHM_CELL_BYTES,
                              (uint64_t)sizes->cells * SHM_CELL_BYTES,
                              (uint64_t)sizes->records * SHM_RECORD_BYTES};
    for (int i = 0; i < 5; i++) {
        parts[i]->offset_bytes = at;
        parts[i]->size_bytes = size[i];
        at += size[i];
    }
    identity->magic = SHM_LANE_MAGIC;
    identity->record_bytes = SHM_RECORD_BYTES;
    identity->lane_id = lane_id;
    identity->predecessor = predecessor;
    identity->lane_bytes = at;
    atomic_store_explicit(&header->producer.head, SHM_INDEX_START, memory_order_relaxed);
    atomic_store_explicit(&header->consumer.tail, SHM_INDEX_START, memory_order_relaxed);
    header->intent.head = SHM_INDEX_START - 1; /* no spill yet */
    /* Publish last; pairs with the acquire in shm_lane_attach. */
    atomic_store_explicit(&identity->version, SHM_LAYOUT_VERSION, memory_order_release);
}

/* Writes the identity of a new lane that replaces none. */
static inline void shm_lane_format(void *base, uint64_t lane_id,
                                   const struct shm_lane_sizes *sizes)
{
    shm_lane_format_after(base, lane_id, 0, sizes);
}

#endif
