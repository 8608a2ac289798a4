/* SPDX-License-Identifier: Apache-2.0 */
#include "scale.h"

/* Returns the number of the slot that a value is in. */
static int64_t slot_of(double value, uint32_t shift)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> shift;
}

/* Returns the smallest value in a slot. */
static double start_of(int64_t slot, uint32_t shift)
{
    double value;
    int64_t bits = (int64_t)((uint64_t)slot << shift);
    memcpy(&value, &bits, sizeof value);
    return value;
}

void shm_scale_init(struct shm_scale *scale, const double *bounds, uint32_t n_bounds,
                    const double *classic, uint32_t n_classic)
{
    *scale = (struct shm_scale){
        .bounds = bounds,
        .classic = classic,
        .n_bounds = n_bounds,
        .n_classic = n_classic,
        .coarse_at = n_classic == n_bounds ? 0 : n_bounds + 1,
        .n_slots = 1,
        .shift = SHM_SCALE_SHIFT,
    };
    uint32_t positive = 0;
    while (positive < n_bounds && !(bounds[positive] > 0.0))
        positive++;
    if (positive < n_bounds) {
        const double *least = &bounds[positive], *most = &bounds[n_bounds - 1];
        while (slot_of(*most, scale->shift) - slot_of(*least, scale->shift) + 2 > SHM_SCALE_SLOTS)
            scale->shift++;
        scale->below = slot_of(*least, scale->shift) - 1;
        scale->n_slots = (uint32_t)(slot_of(*most, scale->shift) - scale->below + 1);
    }
    uint32_t place = 0;
    for (uint32_t slot = 1; slot < scale->n_slots; slot++) {
        double start = start_of(scale->below + slot, scale->shift);
        while (place < n_bounds && bounds[place] < start)
            place++;
        scale->first[slot] = (uint16_t)place;
    }
    scale->first[scale->n_slots] = (uint16_t)n_bounds;
}

void shm_sum_runs(const uint64_t *cells, const uint32_t *ends, uint32_t n, uint64_t *sums)
{
    uint32_t i = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint64_t sum = 0;
        for (; i < ends[k]; i++)
            sum += cells[i];
        sums[k] += sum;
    }
}
