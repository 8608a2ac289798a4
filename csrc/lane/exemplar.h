/* SPDX-License-Identifier: Apache-2.0 */
/* An exemplar: one event that belonged to a trace, and stands for its bucket. The drain keeps them,
 * and an exposition shows them. */
#ifndef SHM_EXEMPLAR_H
#define SHM_EXEMPLAR_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "layout.h"

struct shm_exemplar {
    uint64_t series;   /* the store's first cell of it; in a table, its row */
    uint64_t bucket;   /* 0 for a counter */
    double value;
    uint64_t stamp_ns; /* Unix time */
    struct shm_trace trace;
};
static_assert(sizeof(struct shm_exemplar) == 56, "exemplar");
static_assert(offsetof(struct shm_exemplar, bucket) == 8, "exemplar.bucket");
static_assert(offsetof(struct shm_exemplar, value) == 16, "exemplar.value");
static_assert(offsetof(struct shm_exemplar, stamp_ns) == 24, "exemplar.stamp_ns");
static_assert(offsetof(struct shm_exemplar, trace) == 32, "exemplar.trace");

/* Tells whether the exemplar names a span in its trace. */
static inline bool shm_exemplar_has_span(const struct shm_exemplar *exemplar)
{
    static const uint8_t none[sizeof exemplar->trace.span];
    return memcmp(exemplar->trace.span, none, sizeof none) != 0;
}

#endif
