/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans on their way out of the drain: copies of their records as they were in the ring, checked, in
 * memory of the collector. What has no room there is counted.
 */
#ifndef SHM_SPANS_H
#define SHM_SPANS_H

#include <stdbool.h>
#include <string.h>

#include "layout.h"

struct shm_spans {
    unsigned char *bytes;
    size_t size_bytes;
    size_t used_bytes; /* whole spans: a record, and as many slots of info as it says */
    uint64_t n;        /* of them */
    uint64_t lost;     /* spans for which there was no room */
};

/* Where slots for so many bytes would go; NULL: there is no room, which is counted. */
static inline unsigned char *shm_spans_room(struct shm_spans *spans, size_t n_bytes)
{
    if (spans->size_bytes - spans->used_bytes < n_bytes) {
        spans->lost++;
        return NULL;
    }
    return spans->bytes + spans->used_bytes;
}

#endif
