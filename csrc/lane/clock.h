/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks of an emitter, one for stamps, a cheaper one for "is it time to look?"; and the one
 * by which the collector tells people when something was. */
#ifndef SHM_CLOCK_H
#define SHM_CLOCK_H

#include <stdint.h>
#include <time.h>

#ifndef CLOCK_MONOTONIC_COARSE
#error "compile with -std=gnu11, or define _GNU_SOURCE before the first include"
#endif

static inline uint64_t shm_clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* CLOCK_MONOTONIC in nanoseconds: what stamps and durations are made of. */
static inline uint64_t shm_clock_ns(void)
{
    return shm_clock_read(CLOCK_MONOTONIC);
}

/* Unix time in nanoseconds: for whom the time is shown to. */
static inline uint64_t shm_clock_unix_ns(void)
{
    return shm_clock_read(CLOCK_REALTIME);
}

/* CLOCK_MONOTONIC as of the last kernel tick: a few ns to read, a few ms old. */
static inline uint64_t shm_clock_coarse_ns(void)
{
    return shm_clock_read(CLOCK_MONOTONIC_COARSE);
}

#endif
