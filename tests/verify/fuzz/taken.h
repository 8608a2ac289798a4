/* SPDX-License-Identifier: Apache-2.0 */
/* The twin of the spans that a drain takes from one lane. */
#ifndef TAKEN_H
#define TAKEN_H

#include "emitter.h"
#include "program.h"
#include "drain/spans.h"

struct taken {
    uint32_t last; /* number of the last span */
    uint64_t n;    /* taken, or lost for want of room */
};

/* One that the emitter recorded, after the last one, with all that was said about it, or nothing. */
static inline void taken_check_honest(struct taken *taken, const struct shm_taken_span *span,
                                      const unsigned char *said, uint32_t emitted)
{
    static unsigned char info[EMITTER_INFO_SLOTS * SHM_SPAN_INFO_BYTES];
    struct shm_span made;
    uint32_t number;
    uint32_t info_bytes;
    memcpy(&number, span->trace, sizeof number);
    MUST(number > taken->last && number <= emitted, "a span that nobody recorded, or twice");
    emitter_make_span(number, &made, info, &info_bytes);
    MUST(span->kind == made.kind && memcmp(span->id, made.id, sizeof made.id) == 0,
         "a span that was changed");
    bool is_cut = (span->flags & SHM_FLAG_CUT) != 0;
    MUST(span->info_bytes == (is_cut ? 0 : info_bytes) && (!is_cut || info_bytes > 0),
         "a span that says too much or too little");
    MUST(memcmp(said, info, span->info_bytes) == 0, "what is said of a span was changed");
    taken->last = number;
}

/* Looks at what was taken, and makes room. emitted: the number of the emitter's last span. Of an
 * emitter that is not honest each must still be whole, and as large as it says. */
static inline void taken_check(struct taken *taken, struct shm_spans *spans, uint32_t emitted,
                               bool honest)
{
    const unsigned char *at = spans->bytes;
    const unsigned char *end = at + spans->used_bytes;
    uint64_t n = 0;
    MUST(spans->used_bytes <= spans->size_bytes, "more spans than there is room for");
    for (; at < end; n++) {
        struct shm_taken_span span;
        memcpy(&span, at, sizeof span);
        at += sizeof span;
        MUST(span.kind == SHM_KIND_SPAN_START || span.kind == SHM_KIND_SPAN_STOP, "not a span");
        MUST(span.info_bytes <= (size_t)(end - at), "a span that says more than there is");
        if (honest)
            taken_check_honest(taken, &span, at, emitted);
        at += span.info_bytes;
    }
    MUST(n == spans->n, "another number of spans");
    taken->n += n + spans->lost;
    spans->used_bytes = 0;
    spans->n = spans->lost = 0;
}

#endif
