/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that ended with an exception, on their way out of the drain: copies of the latest, in
 * memory of the collector. They are detail, gone with it; the totals have every one.
 */
#ifndef SHM_FAILURES_H
#define SHM_FAILURES_H

#include "../lane/layout.h"

#define SHM_MOST_FAILURES 256u /* between two looks: a power of two */

struct shm_failure {
    uint64_t lane;
    uint64_t stamp_ns; /* of its end; the emitter can write any, as it can any duration */
    uint64_t duration_ns;
    uint32_t series;
    uint32_t exception;
    struct shm_trace trace; /* zero: it belongs to none */
};

struct shm_failures {
    struct shm_failure kept[SHM_MOST_FAILURES];
    uint64_t n; /* since the last look; those beyond the room have displaced the first */
};

/* Keeps the end of a call, whose ids are those of a lane. */
static inline void shm_failures_put(struct shm_failures *failures, uint64_t lane,
                                    const struct shm_record *record)
{
    struct shm_failure *failure = &failures->kept[failures->n++ & (SHM_MOST_FAILURES - 1)];
    *failure = (struct shm_failure){.lane = lane,
                                    .stamp_ns = record->stamp_ns,
                                    .duration_ns = record->duration_ns,
                                    .series = record->series,
                                    .exception = record->exception};
    if (record->flags & SHM_FLAG_TRACE)
        failure->trace = record->trace;
}

#endif
