/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scale: the many bounds between which a family's values are counted in the store, and a way to
 * find a value's place among them at once.
 *
 *   bounds    fine upper bounds, inclusive, the classic ones among them; then one that is infinite
 *   a row     ... | a count per fine interval | a count per classic bucket: see coarse_at
 *
 * A lane's cells know the classic buckets only. Values from there are counted behind the fine
 * counts.
 *
 * Finding a place: the upper bits of a positive double, sign, exponent and the first of the
 * mantissa, rise with its value. They number a slot; a slot knows how many bounds lie below it. Of
 * exponential bounds, no slot has more than one, so that one comparison is left.
 */
#ifndef SHM_SCALE_H
#define SHM_SCALE_H

#include <stdint.h>
#include <string.h>

#include "../lane/buckets.h"

#define SHM_SCALE_SLOTS 1024u
#define SHM_SCALE_SHIFT 47u /* leaves five bits of the mantissa; more if slots are too many */
#define SHM_SCALE_BOUNDS 4096u /* more than anybody may have */

struct shm_scale {
    const double *bounds;  /* n_bounds, and an infinite one; not copied */
    const double *classic; /* n_classic of them; not copied */
    uint32_t n_bounds;
    uint32_t n_classic;
    uint32_t coarse_at; /* from the first fine count to the first coarse one; 0: none are coarse */
    uint32_t n_slots;
    uint32_t shift;
    int64_t below; /* number of slot 0: for all that is below the smallest positive bound's slot */
    uint64_t *coarse; /* a counter of the values that are counted coarsely, or NULL */
    uint16_t first[SHM_SCALE_SLOTS + 1]; /* by slot: the first bound that is not below it */
};

/* Prepares a scale. bounds: rising, finite, n_bounds <= SHM_SCALE_BOUNDS of them, then an infinite
 * one; classic: those of them that are classic. If all are, there is nothing coarse. Both must
 * outlive the scale. */
void shm_scale_init(struct shm_scale *scale, const double *bounds, uint32_t n_bounds,
                    const double *classic, uint32_t n_classic);

/* Returns how many counts a row has. */
static inline uint32_t shm_scale_counts(const struct shm_scale *scale)
{
    return scale->n_bounds + 1 + (scale->coarse_at ? scale->n_classic + 1 : 0);
}

/* Returns the index of the first bound >= value, or n_bounds. The value is no NaN. */
static inline uint32_t shm_scale_place(const struct shm_scale *scale, double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    /* A negative value has its highest bit set, and is in slot 0 therefore. */
    int64_t slot = (bits >> scale->shift) - scale->below;
    int64_t last = (int64_t)scale->n_slots - 1;
    slot = slot < 0 ? 0 : slot;
    slot = slot > last ? last : slot;
    uint32_t place = scale->first[slot];
    uint32_t end = scale->first[slot + 1];
    uint32_t left = end - place;
    place += scale->bounds[place] < value; /* 0 or 1: no branch */
    if (left > 1)
        place += shm_bucket(scale->bounds + place, end - place, value);
    return place;
}

/* Returns the index of the classic bucket that the value belongs to. */
static inline uint32_t shm_scale_classic(const struct shm_scale *scale, double value)
{
    return shm_bucket(scale->classic, scale->n_classic, value);
}

/* Adds to sums[k] the cells from ends[k - 1] to before ends[k]; from 0, for the first. */
void shm_sum_runs(const uint64_t *cells, const uint32_t *ends, uint32_t n, uint64_t *sums);

#endif
