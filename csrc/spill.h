/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cells: running totals that live in the lane itself. A gauge is kept here and nowhere else. What
 * finds the ring full is spilled here: detail is lost, totals are not.
 *
 * Producer's cells only ever grow (gauges apart), so nothing has to be cleared by two hands: the
 * consumer keeps, in the seen part, what it has already taken, and takes the difference.
 *
 * Which cells belong to which series is never written down: both sides hand them out in the order
 * of the dictionary's entries, with shm_cells_take.
 */
#ifndef SHM_SPILL_H
#define SHM_SPILL_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "buckets.h"
#include "layout.h"

#define SHM_NO_CELLS UINT32_MAX

/* How many cells a series of this type has. */
static inline uint32_t shm_cells_of(uint16_t type, uint32_t n_bounds)
{
    switch (type) {
    case SHM_TYPE_COUNTER:
    case SHM_TYPE_EXCEPTION:
        return 1;
    case SHM_TYPE_GAUGE:
        return 2;
    case SHM_TYPE_HISTOGRAM:
        return SHM_HISTOGRAM_BUCKETS + n_bounds + 1;
    case SHM_TYPE_CALLS:
        return SHM_CALLS_BUCKETS + n_bounds + 1;
    default:
        return 0;
    }
}

/* First of n cells for the next series, or SHM_NO_CELLS; moves *used. */
static inline uint32_t shm_cells_take(uint32_t *used, uint32_t n_cells, uint32_t n)
{
    if (n == 0 || n > n_cells || *used > n_cells - n)
        return SHM_NO_CELLS;
    uint32_t first = *used;
    *used += n;
    return first;
}

static inline uint64_t shm_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline double shm_value(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One writer per cell, so a load and a store are enough. Relaxed: the consumer learns of the
 * change through the release of producer.spilled. */
static inline void shm_cell_count(_Atomic uint64_t *cell, uint64_t n)
{
    uint64_t now = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, now + n, memory_order_relaxed);
}

static inline void shm_cell_add(_Atomic uint64_t *cell, double value)
{
    double now = shm_value(atomic_load_explicit(cell, memory_order_relaxed));
    atomic_store_explicit(cell, shm_bits(now + value), memory_order_relaxed);
}

static inline void shm_spill_observe(_Atomic uint64_t *cells, const double *bounds,
                                     uint32_t n_bounds, double value)
{
    shm_cell_add(&cells[SHM_CELL_SUM], value);
    shm_cell_count(&cells[SHM_HISTOGRAM_BUCKETS + shm_bucket(bounds, n_bounds, value)], 1);
}

static inline void shm_spill_call_end(_Atomic uint64_t *cells, const double *bounds,
                                      uint32_t n_bounds, uint64_t duration_ns)
{
    uint32_t bucket = shm_bucket(bounds, n_bounds, shm_seconds(duration_ns));
    shm_cell_count(&cells[SHM_CELL_ENDS], 1);
    shm_cell_count(&cells[SHM_CELL_DURATION], duration_ns);
    shm_cell_count(&cells[SHM_CALLS_BUCKETS + bucket], 1);
}

#endif
