/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices: what a collector tells an emitter of its definitions, such as that one is refused. They
 * go the other way than all else in a lane. The collector appends them, the emitter copies them
 * out; each side checks what the other can write.
 */
#ifndef SHM_NOTICES_H
#define SHM_NOTICES_H

#include <stdbool.h>
#include <string.h>

#include "layout.h"

/* Returns how many bytes of notices there are; a wrong number counts as all. */
static inline uint32_t shm_notices_end(const struct shm_header *header)
{
    /* Pairs with the release in shm_notices_append: the notices are whole. */
    uint64_t end = atomic_load_explicit(&header->notices.end, memory_order_acquire);
    return end < SHM_NOTICES_BYTES ? (uint32_t)end : SHM_NOTICES_BYTES;
}

/* Appends a notice. Returns false if there is no room. */
static inline bool shm_notices_append(struct shm_header *header, const void *notice,
                                      uint32_t n_bytes)
{
    uint32_t end = shm_notices_end(header);
    if (n_bytes > SHM_NOTICES_BYTES - end)
        return false;
    memcpy(header->notices.bytes + end, notice, n_bytes);
    /* Pairs with the acquire in shm_notices_end. */
    atomic_store_explicit(&header->notices.end, (uint64_t)end + n_bytes, memory_order_release);
    return true;
}

/* Copies the notices behind the first `from` bytes into SHM_NOTICES_BYTES of memory. Returns their
 * size. */
static inline uint32_t shm_notices_copy(const struct shm_header *header, uint32_t from,
                                        unsigned char *to)
{
    uint32_t end = shm_notices_end(header);
    if (end <= from)
        return 0;
    memcpy(to, header->notices.bytes + from, end - from);
    return end - from;
}

#endif
