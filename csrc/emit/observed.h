/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Observed totals, which are kept elsewhere, as the kernel's counters are. Each has two cells: the
 * total, and the start of its generation. A total never falls within a generation. The collector
 * reads both cells while they may change, and never shows a total of one generation with the start
 * of another: the total of a new one with the start of the old one would look as if the old total
 * had grown.
 *
 * The first total is two stores: the total, then the start (unknown). Without a start there is
 * nothing to show. A new generation is three:
 *
 *     total = 0          the old start still: a counter that was reset, a moment too early
 *     start = now        release: who sees this start sees that 0, or what came after it
 *     total = value      release: who sees this total sees that start, or a later one
 *
 * Between any two of them the cells hold something true, so a kill there leaves something true.
 * read_observed in csrc/drain/state.c takes the start, the total, and the start again, until the
 * start was the same twice. Then both were in the cells at one time: had the total been of a later
 * generation, the second look would have found a later start; of an earlier one it cannot be, as
 * the first look found the start that came after it. No two starts of a series are equal.
 */
#ifndef SHM_OBSERVED_H
#define SHM_OBSERVED_H

#include <float.h>
#include <math.h>

#include "place.h"

/* Tells whether a total can be a counter's. */
static inline bool shm_is_total(double value)
{
    return value >= 0.0 && value <= DBL_MAX;
}

SHM_HOT enum shm_emit shm_put_total(struct shm_producer *p, struct shm_series *s, double value)
{
    _Atomic uint64_t *cells = &p->lane.cells[s->cell];
    double total = shm_value(atomic_load_explicit(&cells[SHM_CELL_TOTAL], memory_order_relaxed));
    if (SHM_UNLIKELY(!(value >= total && value <= DBL_MAX))) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    /* Pairs with the acquire of the total in read_observed. 0.0: -0.0 would be shown as it is. */
    atomic_store_explicit(&cells[SHM_CELL_TOTAL], shm_bits(value + 0.0), memory_order_release);
    if (SHM_UNLIKELY(atomic_load_explicit(&cells[SHM_CELL_START], memory_order_relaxed) ==
                     SHM_START_NONE))
        shm_cell_start(cells, SHM_START_UNKNOWN);
    return shm_attend(p);
}

static SHM_COLD enum shm_emit shm_find_total(struct shm_producer *p, struct shm_series *s,
                                             double value)
{
    if (!shm_is_total(value)) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    struct shm_place place = shm_place_of(p, s);
    if (!place.series)
        return shm_attend_slow(p, SHM_EMITTED);
    return shm_attend_slow(p, shm_put_total(place.producer, place.series, value));
}

/* Sets an observed total. A value that is lower than the total, negative or not finite is dropped
 * and counted. */
static inline enum shm_emit shm_emit_total(struct shm_producer *p, struct shm_series *s,
                                           double value)
{
    if (SHM_UNLIKELY(s->generation != p->generation))
        return shm_find_total(p, s, value);
    return shm_put_total(p, s, value);
}

/* Sets n observed totals. A total whose value is NaN, or whose series is NULL, stays as it is. */
static inline enum shm_emit shm_emit_totals(struct shm_producer *p,
                                            struct shm_series *const *series,
                                            const double *values, uint32_t n)
{
    enum shm_emit result = SHM_EMITTED;
    for (uint32_t i = 0; i < n; i++)
        if (series[i] && !isnan(values[i]) &&
            shm_emit_total(p, series[i], values[i]) != SHM_EMITTED)
            result = SHM_ATTENTION;
    return result;
}

static inline enum shm_emit shm_put_generation(struct shm_producer *p, const struct shm_series *s,
                                               double value)
{
    _Atomic uint64_t *cells = &p->lane.cells[s->cell];
    uint64_t start_ns = shm_clock_ns();
    uint64_t before_ns = atomic_load_explicit(&cells[SHM_CELL_START], memory_order_relaxed);
    if (start_ns <= before_ns)
        start_ns = before_ns + 1;
    atomic_store_explicit(&cells[SHM_CELL_TOTAL], shm_bits(0.0), memory_order_relaxed);
    shm_cell_start(cells, start_ns);
    /* Pairs with the acquire of the total in read_observed. */
    atomic_store_explicit(&cells[SHM_CELL_TOTAL], shm_bits(value + 0.0), memory_order_release);
    return shm_attend(p);
}

/* Begins a new generation of an observed total now, with a value, often 0: a counter was reset. A
 * negative or infinite value, or NaN, is dropped and counted, and begins none. */
static inline enum shm_emit shm_emit_generation(struct shm_producer *p, struct shm_series *s,
                                                double value)
{
    if (!shm_is_total(value)) {
        return shm_drop_of(p, s->family, SHM_DROP_BAD_VALUE);
    }
    struct shm_place place = shm_place_of(p, s);
    if (!place.series)
        return shm_attend_slow(p, SHM_EMITTED);
    return shm_attend_slow(p, shm_put_generation(place.producer, place.series, value));
}

#endif
