/* SPDX-License-Identifier: Apache-2.0 */
/* A real emitter with two series of each type, and beside it the totals that a collector must reach. */
#ifndef EMITTER_H
#define EMITTER_H

#include "emit/emit_span.h"

#define EMITTER_BOUNDS 2u
#define EMITTER_CALLS 4u /* of each series, open at a time */
#define EMITTER_INFO_SLOTS 4u /* at most, of what is said about a span */

enum { COUNTER, GAUGE, HISTOGRAM, CALLS, THROWN, TYPES };

/* What was emitted into one series, as cells of the store would show it. A gauge: its value. */
struct totals {
    double value;   /* a counter's or an exception's total, a gauge's value, a histogram's sum */
    bool is_huge;   /* doubles cannot say it: it depends on what was added up first */
    uint64_t cells[SHM_CALLS_BUCKETS + EMITTER_BOUNDS + 1]; /* counts, where its type has them */
};

struct emitter {
    struct shm_producer producer;
    struct shm_family families[THROWN];
    struct shm_series series[TYPES][2];
    struct shm_call calls[2][EMITTER_CALLS];
    struct totals totals[TYPES][2];
    uint64_t adds;
    struct shm_family span_family;
    struct shm_series span_series;
    uint32_t spans; /* emitted, recorded or dropped: the last one's number */
};

struct event {
    uint8_t type; /* not THROWN */
    uint8_t series;
    uint8_t value; /* which of a few; a call: which */
    uint8_t throws;
    bool is_huge; /* and not one of these: of a counter or a histogram */
};

extern uint64_t emitter_now_ns;
extern const double emitter_bounds[EMITTER_BOUNDS];

void emitter_begin(struct emitter *emitter, const struct shm_lane *lane);

/* Emits one event through csrc/emit/emit.h. */
void emitter_emit(struct emitter *emitter, const struct event *event);

/* Counts it in the twin: before or after, and not at all if it must not count. */
void emitter_expect(struct emitter *emitter, const struct event *event);

/* The next span, by its number: what it says, and the bytes of info, are made of that. */
void emitter_span(struct emitter *emitter);
void emitter_make_span(uint32_t number, struct shm_span *span, unsigned char *info,
                       uint32_t *info_bytes);

/* What an emitter without manners publishes. */
void emitter_record(struct emitter *emitter, const struct shm_record *record);
void emitter_entry(struct emitter *emitter, const struct shm_entry *entry,
                   const unsigned char *text, uint32_t text_bytes);

#endif
