/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans on their way out of the drain: copies of their records, checked, in memory of the
 * collector. The info that a span has in slots is one piece behind it. A span without room there is
 * counted.
 */
#ifndef SHM_SPANS_H
#define SHM_SPANS_H

#include <stdbool.h>
#include <string.h>

#include "../lane/layout.h"

/* A span as struct shm_span in the ring, but with the number of bytes of info behind it. */
struct shm_taken_span {
    uint8_t kind;
    uint8_t flags;
    uint16_t info_bytes;
    uint32_t series;
    uint64_t stamp_ns;
    uint8_t id[16];
    uint8_t trace[16];
    uint8_t parent[16];
};
static_assert(sizeof(struct shm_taken_span) == sizeof(struct shm_span), "taken_span");
static_assert(offsetof(struct shm_taken_span, flags) == offsetof(struct shm_span, flags),
              "taken_span.flags");
static_assert(offsetof(struct shm_taken_span, info_bytes) == offsetof(struct shm_span, n_info),
              "taken_span.info_bytes");
static_assert(offsetof(struct shm_taken_span, series) == offsetof(struct shm_span, series),
              "taken_span.series");
static_assert(offsetof(struct shm_taken_span, stamp_ns) == offsetof(struct shm_span, stamp_ns),
              "taken_span.stamp_ns");
static_assert(offsetof(struct shm_taken_span, id) == offsetof(struct shm_span, id),
              "taken_span.id");
static_assert(offsetof(struct shm_taken_span, trace) == offsetof(struct shm_span, trace),
              "taken_span.trace");
static_assert(offsetof(struct shm_taken_span, parent) == offsetof(struct shm_span, parent),
              "taken_span.parent");
static_assert(SHM_SPAN_INFO_SLOTS * SHM_SPAN_INFO_BYTES <= UINT16_MAX, "taken_span.info_bytes");

struct shm_spans {
    unsigned char *bytes;
    size_t size_bytes;
    size_t used_bytes; /* whole spans, without gaps: they begin anywhere */
    uint64_t n;        /* of them */
    uint64_t lost;     /* spans for which there was no room */
};

/* Returns where the info of the next span goes, which has n_info slots of it. Returns NULL, and
 * counts the span as lost, if there is no room. */
static inline unsigned char *shm_spans_room(struct shm_spans *spans, uint16_t n_info)
{
    size_t most_bytes = sizeof(struct shm_taken_span) + (size_t)n_info * SHM_SPAN_INFO_BYTES;
    if (spans->size_bytes - spans->used_bytes < most_bytes) {
        spans->lost++;
        return NULL;
    }
    return spans->bytes + spans->used_bytes + sizeof(struct shm_taken_span);
}

/* Puts the next span there; its info, of info_bytes, is there already. */
static inline void shm_spans_put(struct shm_spans *spans, const struct shm_span *span,
                                 uint16_t info_bytes)
{
    struct shm_taken_span taken;
    memcpy(&taken, span, sizeof taken);
    taken.info_bytes = info_bytes;
    memcpy(spans->bytes + spans->used_bytes, &taken, sizeof taken);
    spans->used_bytes += sizeof taken + info_bytes;
    spans->n++;
}

#endif
