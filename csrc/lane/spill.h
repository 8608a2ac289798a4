/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cells: running totals that live in the lane itself. A gauge, and a total that is observed, is
 * kept here and nowhere else. An event that finds the ring full is spilled here: its detail is lost,
 * its totals are not.
 *
 * Producer's cells only ever grow (gauges and sums apart), so nothing has to be cleared by two
 * hands: the consumer keeps in the seen part the totals that it has already taken, and takes the
 * difference.
 *
 * Nothing in the lane says which cells belong to which series: both sides hand them out in the order
 * of the dictionary's entries, with shm_cells_take. A counter, state and an exception have theirs
 * with their own entry. Those of a histogram and of calls come late, with an entry SHM_ENTRY_CELLS,
 * when an event first needs them: most never do, because the ring takes their events.
 */
#ifndef SHM_SPILL_H
#define SHM_SPILL_H

#include <float.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "buckets.h"
#include "ring.h"

#define SHM_NO_CELLS UINT32_MAX

/* Returns how many cells a series of this type has. */
static inline uint32_t shm_cells_of(uint16_t type, uint32_t n_bounds)
{
    switch (type) {
    case SHM_TYPE_COUNTER:
    case SHM_TYPE_EXCEPTION:
        return 1;
    case SHM_TYPE_GAUGE:
    case SHM_TYPE_OBSERVED:
        return 2;
    case SHM_TYPE_HISTOGRAM:
        return SHM_HISTOGRAM_BUCKETS + n_bounds + 1;
    case SHM_TYPE_CALLS:
        return SHM_CALLS_BUCKETS + n_bounds + 1;
    default:
        return 0;
    }
}

/* Tells whether a series of this type is state: its cells show what is now, and are read where they
 * are. Nobody takes a gain out of them. */
static inline bool shm_is_state(uint16_t type)
{
    return type == SHM_TYPE_GAUGE || type == SHM_TYPE_OBSERVED;
}

/* Tells whether the cells of a series of this type come late. */
static inline bool shm_has_late_cells(uint16_t type)
{
    return type == SHM_TYPE_HISTOGRAM || type == SHM_TYPE_CALLS;
}

/* Returns how many cells come with the entry of a series of this type. */
static inline uint32_t shm_first_cells_of(uint16_t type, uint32_t n_bounds)
{
    return shm_has_late_cells(type) ? 0 : shm_cells_of(type, n_bounds);
}

/* Returns the first of n cells for the next series, or SHM_NO_CELLS; moves *used. */
static inline uint32_t shm_cells_take(uint32_t *used, uint32_t n_cells, uint32_t n)
{
    if (n == 0 || n > n_cells || *used > n_cells - n)
        return SHM_NO_CELLS;
    uint32_t first = *used;
    *used += n;
    return first;
}

/* Returns a double as the bits that a cell keeps. */
static inline uint64_t shm_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Returns the double that a cell keeps as bits. */
static inline double shm_value(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Adds to a counter's total, which is kept as its bits. The total stops at the largest finite
 * number: nobody can take a rate of an infinite one. */
static inline uint64_t shm_plus(uint64_t bits, double value)
{
    double total = shm_value(bits) + value;
    if (total > DBL_MAX)
        total = DBL_MAX;
    return shm_bits(total < -DBL_MAX ? -DBL_MAX : total);
}

/* Adds to a histogram's sum, which is kept as its bits and may become infinite. value must be
 * finite: so an infinite sum stays as it is, and no sum becomes NaN. */
static inline uint64_t shm_sum(uint64_t bits, double value)
{
    return shm_bits(shm_value(bits) + value);
}

/* Adds n to a count. A cell has one writer, so a load and a store are enough. Relaxed: a release
 * that comes after it tells the consumer of the change. */
static inline void shm_cell_count(_Atomic uint64_t *cell, uint64_t n)
{
    uint64_t now = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, now + n, memory_order_relaxed);
}

/* Adds value to a double, in the same way. */
static inline void shm_cell_add(_Atomic uint64_t *cell, double value)
{
    double now = shm_value(atomic_load_explicit(cell, memory_order_relaxed));
    atomic_store_explicit(cell, shm_bits(now + value), memory_order_relaxed);
}

/* Sets the start of an observed total's generation; its total, or 0, is there before it. */
static inline void shm_cell_start(_Atomic uint64_t *cells, uint64_t start_ns)
{
    /* Pairs with the acquire of the start in read_observed. */
    atomic_store_explicit(&cells[SHM_CELL_START], start_ns, memory_order_release);
}

/* ---- one event, several cells ----------------------------------------------------------- */

/* The lane's cells and its intent. A spilling event is built up here and then done at once. How many
 * changes it has is usually known when this is compiled. */
struct shm_spill {
    _Atomic uint64_t *cells;
    struct shm_intent *intent;
    _Atomic uint64_t *spilled;
    uint32_t n;
};

/* Begins the intent of an event, with no changes. */
SHM_HOT struct shm_spill shm_spill_begin(struct shm_header *header, _Atomic uint64_t *cells)
{
    struct shm_spill spill = {cells, &header->intent, &header->producer.spilled, 0};
    /* Neither under way nor just done: what is built up now does not count yet. */
    atomic_store_explicit(&spill.intent->spilled, SHM_INTENT_NONE, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    spill.intent->head = atomic_load_explicit(&header->producer.head, memory_order_relaxed);
    spill.intent->kind = 0;
    return spill;
}

/* Adds a change to the intent: the cell will hold value. */
SHM_HOT void shm_spill_set(struct shm_spill *spill, uint32_t cell, uint64_t value)
{
    spill->intent->changes[spill->n++] = (struct shm_cell_change){value, cell, 0};
}

/* Adds a change: a count of n more. */
SHM_HOT void shm_spill_count(struct shm_spill *spill, uint32_t cell, uint64_t n)
{
    shm_spill_set(spill, cell, atomic_load_explicit(&spill->cells[cell], memory_order_relaxed) + n);
}

/* Adds a change: a counter's total of value more. */
SHM_HOT void shm_spill_add(struct shm_spill *spill, uint32_t cell, double value)
{
    uint64_t now = atomic_load_explicit(&spill->cells[cell], memory_order_relaxed);
    shm_spill_set(spill, cell, shm_plus(now, value));
}

/* Adds a change: a histogram's sum of value more. */
SHM_HOT void shm_spill_sum(struct shm_spill *spill, uint32_t cell, double value)
{
    uint64_t now = atomic_load_explicit(&spill->cells[cell], memory_order_relaxed);
    shm_spill_set(spill, cell, shm_sum(now, value));
}

/* Notes that the event is the start or the end of this call. */
SHM_HOT void shm_spill_call(const struct shm_spill *spill, uint32_t kind, uint32_t series,
                                  uint64_t start_ns)
{
    spill->intent->kind = kind;
    spill->intent->series = series;
    spill->intent->start_ns = start_ns;
}

/* Makes the changes. A kill before the first store here means that the event never happened; a kill
 * after it leaves an intent that shm_recover_emitter carries out. */
SHM_HOT void shm_spill_commit(const struct shm_spill *spill)
{
    uint64_t spilled = atomic_load_explicit(spill->spilled, memory_order_relaxed);
    spill->intent->n = spill->n;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&spill->intent->spilled, spilled, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    for (uint32_t i = 0; i < spill->n; i++)
        atomic_store_explicit(&spill->cells[spill->intent->changes[i].cell],
                              spill->intent->changes[i].value, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    /* Pairs with the acquire of spilled in shm_drain_pass: the cells are written. */
    atomic_store_explicit(spill->spilled, spilled + 1, memory_order_release);
}

/* Adds the changes of a histogram that takes value. */
SHM_HOT void shm_spill_observe(struct shm_spill *spill, uint32_t cell,
                                     const double *bounds, uint32_t n_bounds, double value)
{
    shm_spill_sum(spill, cell + SHM_CELL_SUM, value);
    shm_spill_count(spill, cell + SHM_HISTOGRAM_BUCKETS + shm_bucket(bounds, n_bounds, value), 1);
}

/* Adds the changes of a call that ends after duration_ns. */
SHM_HOT void shm_spill_call_end(struct shm_spill *spill, uint32_t cell,
                                      const double *bounds, uint32_t n_bounds,
                                      uint64_t duration_ns)
{
    uint32_t bucket = shm_bucket(bounds, n_bounds, shm_seconds(duration_ns));
    shm_spill_count(spill, cell + SHM_CELL_ENDS, 1);
    shm_spill_count(spill, cell + SHM_CELL_DURATION, duration_ns);
    shm_spill_count(spill, cell + SHM_CALLS_BUCKETS + bucket, 1);
}

#endif
