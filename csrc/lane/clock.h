/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks: an emitter has two, one for stamps and a cheaper one for deadlines; the collector shows
 * people the time of a third. */
#ifndef SHM_CLOCK_H
#define SHM_CLOCK_H

#include <stdint.h>
#include <time.h>

#ifndef CLOCK_MONOTONIC_COARSE
#error "compile with -std=gnu11, or define _GNU_SOURCE before the first include"
#endif

/* Reads a clock, in nanoseconds. */
static inline uint64_t shm_clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Reads CLOCK_MONOTONIC, in nanoseconds: stamps and durations are made of it. */
static inline uint64_t shm_clock_ns(void)
{
    return shm_clock_read(CLOCK_MONOTONIC);
}

/* Reads Unix time, in nanoseconds: for times that people see. */
static inline uint64_t shm_clock_unix_ns(void)
{
    return shm_clock_read(CLOCK_REALTIME);
}

/* Reads CLOCK_MONOTONIC as of the last kernel tick: a few ns to read, a few ms old. */
static inline uint64_t shm_clock_coarse_ns(void)
{
    return shm_clock_read(CLOCK_MONOTONIC_COARSE);
}

#endif
