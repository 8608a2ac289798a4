/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why stamps are CLOCK_MONOTONIC: what reading it costs beside the processor's time stamp counter,
 *
 *   monotonic  clock_gettime, as in csrc/lane/clock.h
 *   ordered    the counter after a fence: it is read when all that comes before it is done
 *   free       the counter alone, which the processor may read before that
 *
 * clocks WAY READINGS   prints the seconds that so many readings took.
 *
 * The counter is not even scaled to nanoseconds here, which is in its favour.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane/clock.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define SPEND(readings, clock)                       \
    do {                                             \
        for (uint64_t i = 0; i < (readings); i++)    \
            sink = (clock);                          \
    } while (0)

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    volatile uint64_t sink = 0;
    uint64_t readings = strtoull(argv[2], NULL, 10);
    uint64_t begun_ns = shm_clock_ns();
    if (!strcmp(argv[1], "monotonic"))
        SPEND(readings, shm_clock_ns());
#if defined(__x86_64__)
    else if (!strcmp(argv[1], "ordered"))
        SPEND(readings, (_mm_lfence(), __rdtsc()));
    else if (!strcmp(argv[1], "free"))
        SPEND(readings, __rdtsc());
#endif
    else
        return 2;
    printf("%.9f\n", (double)(shm_clock_ns() - begun_ns) * 1e-9);
    return (int)(sink & 0);
}
