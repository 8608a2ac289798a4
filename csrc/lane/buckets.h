/* SPDX-License-Identifier: Apache-2.0 */
/* Value to bucket, over a table of sorted, finite upper bounds. Upper bounds are inclusive, as in
 * Prometheus; the bucket after the last bound is the one up to infinity. */
#ifndef SHM_BUCKETS_H
#define SHM_BUCKETS_H

#include <stdint.h>

/* Returns the index of the first bound >= value, or n_bounds. A NaN is greater than every bound. */
static inline uint32_t shm_bucket(const double *bounds, uint32_t n_bounds, double value)
{
    uint32_t low = 0;
    uint32_t left = n_bounds;
    while (left > 0) {
        uint32_t half = left / 2;
        if (!(value <= bounds[low + half])) {
            low += half + 1;
            left -= half + 1;
        } else {
            left = half;
        }
    }
    return low;
}

/* Converts nanoseconds to seconds. */
static inline double shm_seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

#endif
