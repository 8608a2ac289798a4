/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a store has what an emitter has counted in its twin. */
#ifndef COUNTED_H
#define COUNTED_H

#include "emitter.h"
#include "held.h"

static double value_of(const struct held *held, uint32_t cell)
{
    return cell ? shm_value(held->store->cells[cell]) : 0.0;
}

/* A row of the emitter's bounds, one more between them: see held_scale. */
static bool is_filled(const uint64_t *counts, const uint64_t *wanted)
{
    const uint64_t *coarse = counts + EMITTER_BOUNDS + 2;
    return counts[0] + coarse[0] == wanted[0] && counts[1] + counts[2] + coarse[1] == wanted[1] &&
           counts[3] + coarse[2] == wanted[2];
}

/* Of what doubles cannot say, only that it is what such an event makes of a total. */
static bool is_total(int type, double value, const struct totals *totals)
{
    if (!totals->is_huge)
        return value == totals->value;
    return type == HISTOGRAM ? !isnan(value) : value >= 1e308 && value <= DBL_MAX;
}

static bool is_counted(const struct held *held, const struct shm_series *series, int type,
                       const struct totals *totals)
{
    const struct held_series *bound = &held->series[series->id];
    const uint64_t *cells = &held->store->cells[bound->cell];
    if (series->id == 0 || bound->cell == 0) /* nothing of it has been seen yet */
        return totals->value == 0.0 && totals->cells[SHM_CELL_STARTS] == 0 &&
               totals->cells[SHM_HISTOGRAM_BUCKETS] == 0;
    if (type == COUNTER || type == THROWN)
        return is_total(type, value_of(held, bound->cell), totals);
    if (type == HISTOGRAM)
        return is_total(type, value_of(held, bound->cell), totals) &&
               is_filled(cells + SHM_HISTOGRAM_BUCKETS, totals->cells + SHM_HISTOGRAM_BUCKETS);
    return memcmp(cells, totals->cells, SHM_CALLS_BUCKETS * 8) == 0 &&
           is_filled(cells + SHM_CALLS_BUCKETS, totals->cells + SHM_CALLS_BUCKETS);
}

/* Whether the store has these totals of the emitter's. */
static bool is_exact(const struct held *held, const struct emitter *emitter,
                     struct totals (*totals)[2])
{
    bool exact = true;
    for (int type = 0; type < TYPES; type++)
        for (int i = 0; i < 2; i++)
            if (type != GAUGE)
                exact &= is_counted(held, &emitter->series[type][i], type, &totals[type][i]);
    return exact;
}

#endif
