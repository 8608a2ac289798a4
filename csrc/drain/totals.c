/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE 1 /* as C++ compilers have it: the models are in C++ */
#include "totals.h"

#include <math.h>

enum gain {
    GAIN_COUNT, /* a whole number, into a whole number */
    GAIN_ADDED, /* a whole number, into a double */
    GAIN_TOTAL, /* a double that never falls */
    GAIN_SUM,   /* a double that may, and that may be infinite: then it stays so */
    GAIN_STATE, /* a double that may be anything */
};

/* Tells whether an honest emitter can have changed such a cell from seen to now. */
static bool may_become(enum gain gain, uint64_t seen, uint64_t now)
{
    if (gain == GAIN_TOTAL) /* finite, as shm_emit_add and shm_plus keep it */
        return shm_value(now) >= shm_value(seen) && shm_value(now) <= DBL_MAX;
    if (gain == GAIN_SUM)
        return isfinite(shm_value(seen)) && !isnan(shm_value(now));
    return gain == GAIN_STATE || now >= seen;
}

/* Returns a sum of the store once a lane's sum has become `now`. Of opposite infinities the first
 * stays: nobody knows what both have lost. */
static uint64_t shift_sum(uint64_t sum, double seen, double now)
{
    double gained = now - seen;
    if (isinf(now))
        return isfinite(shm_value(sum)) ? shm_bits(now) : sum;
    if (isfinite(gained))
        return shm_sum(sum, gained);
    double half = now / 2.0 - seen / 2.0; /* two that lie further apart than a double can say */
    return shm_sum(shm_sum(sum, half), half);
}

/* Returns a cell of the store with the gain of one of the lane. */
static uint64_t gained(enum gain gain, uint64_t into, uint64_t seen, uint64_t now)
{
    if (gain == GAIN_COUNT)
        return into + (now - seen);
    if (gain == GAIN_ADDED)
        return shm_plus(into, (double)(now - seen));
    if (gain == GAIN_TOTAL)
        return shm_plus(into, shm_value(now) - shm_value(seen));
    if (gain == GAIN_STATE)
        return shm_plus(into, isfinite(shm_value(now)) ? shm_value(now) : 1.0);
    return shift_sum(into, shm_value(seen), shm_value(now));
}

/* Takes the gain of one cell of the lane into a cell of the store, or nowhere. tally: NULL, or a
 * counter of the store that gets the gain as well; only for whole numbers. Returns false if the
 * total cannot have become what it is. */
static bool take_told(struct shm_drain *drain, enum gain gain, uint32_t cell, uint64_t *into,
                      uint64_t *tally)
{
    _Atomic uint64_t *seen_cell = &drain->lane.seen[cell];
    uint64_t now = atomic_load_explicit(&drain->lane.cells[cell], memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(seen_cell, memory_order_relaxed);
    if (now == seen)
        return true;
    if (!may_become(gain, seen, now))
        return false;
    if (into) {
        struct shm_plan plan = {.n = 0};
        shm_plan_set(&plan, into, gained(gain, *into, seen, now));
        if (tally)
            shm_plan_set(&plan, tally, gained(GAIN_ADDED, *tally, seen, now));
        shm_undo_state(drain->undo, drain->cells, &plan, SHM_UNDO_CELL, drain->lane.lane_id, cell,
                       seen);
    }
    atomic_store_explicit(seen_cell, now, memory_order_relaxed);
    shm_undo_done(drain->undo);
    return true;
}

static bool take(struct shm_drain *drain, enum gain gain, uint32_t cell, uint64_t *into)
{
    return take_told(drain, gain, cell, into, NULL);
}

static bool take_counts(struct shm_drain *drain, uint32_t cell, uint64_t *into, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!take(drain, GAIN_COUNT, cell + i, into ? into + i : NULL))
            return false;
    return true;
}

/* Counts as lost the gains of a series that is bound to nothing. A counter's events cannot be told
 * from their amounts; a call's buckets and exceptions come with its end. */
static bool fold_unbound(struct shm_drain *drain, const struct shm_target *target)
{
    uint32_t cell = target->lane_cell;
    uint64_t *into = drain->tally.unbound;
    uint32_t n = shm_cells_of(target->type, target->n_bounds);
    switch (target->type) {
    case SHM_TYPE_COUNTER:
        return take(drain, GAIN_TOTAL, cell, into);
    case SHM_TYPE_EXCEPTION:
        return take(drain, GAIN_ADDED, cell, NULL);
    case SHM_TYPE_HISTOGRAM:
        if (!take(drain, GAIN_SUM, cell + SHM_CELL_SUM, NULL))
            return false;
        for (uint32_t i = SHM_HISTOGRAM_BUCKETS; i < n; i++)
            if (!take(drain, GAIN_ADDED, cell + i, into))
                return false;
        return true;
    case SHM_TYPE_CALLS:
        return take(drain, GAIN_ADDED, cell + SHM_CELL_STARTS, into) &&
               take(drain, GAIN_ADDED, cell + SHM_CELL_ENDS, into) &&
               take_counts(drain, cell + SHM_CELL_DURATION, NULL, n - SHM_CELL_DURATION);
    default:
        return true;
    }
}

/* Takes spilled values into the coarse counts: only their classic buckets are known. */
static bool fold_buckets(struct shm_drain *drain, const struct shm_scale *scale, uint32_t cell,
                         uint64_t *counts)
{
    for (uint32_t i = 0; i <= scale->n_classic; i++)
        if (!take_told(drain, GAIN_COUNT, cell + i, counts + scale->coarse_at + i, scale->coarse))
            return false;
    return true;
}

static bool fold_cells(struct shm_drain *drain, const struct shm_target *target)
{
    uint32_t cell = target->lane_cell;
    uint64_t *into = target->cells;
    switch (target->type) {
    case SHM_TYPE_COUNTER:
        return take(drain, GAIN_TOTAL, cell, into);
    case SHM_TYPE_EXCEPTION:
        return take(drain, GAIN_ADDED, cell, into);
    case SHM_TYPE_HISTOGRAM:
        return take(drain, GAIN_SUM, cell + SHM_CELL_SUM, into) &&
               fold_buckets(drain, target->scale, cell + SHM_HISTOGRAM_BUCKETS,
                            into + SHM_HISTOGRAM_BUCKETS);
    case SHM_TYPE_CALLS:
        return take_counts(drain, cell, into, SHM_CALLS_BUCKETS) &&
               fold_buckets(drain, target->scale, cell + SHM_CALLS_BUCKETS,
                            into + SHM_CALLS_BUCKETS);
    default: /* gauges are read where they are */
        return true;
    }
}

static bool fold(struct shm_drain *drain, const struct shm_target *target)
{
    if (target->lane_cell == SHM_NO_CELLS)
        return true;
    return target->cells ? fold_cells(drain, target) : fold_unbound(drain, target);
}

enum shm_drained shm_take_series(struct shm_drain *drain, const struct shm_target *target)
{
    return fold(drain, target) ? SHM_DRAINED : SHM_BROKEN_CELLS;
}

enum shm_drained shm_take_totals(struct shm_drain *drain)
{
    for (uint32_t i = 1; i < drain->n_targets; i++)
        if (!fold(drain, &drain->targets[i]))
            return SHM_BROKEN_CELLS;
    return SHM_DRAINED;
}

enum shm_drained shm_take_counters(struct shm_drain *drain)
{
    for (uint32_t i = drain->first_counter; i > 0; i = drain->targets[i].next_counter)
        if (!fold(drain, &drain->targets[i]))
            return SHM_BROKEN_CELLS;
    return SHM_DRAINED;
}

/* ---- counts that the lane keeps about itself ---------------------------------------------- */

static bool report(struct shm_drain *drain, uint32_t what, uint64_t now, uint64_t *into)
{
    _Atomic uint64_t *reported = &drain->ledger->counts[what];
    uint64_t seen = atomic_load_explicit(reported, memory_order_relaxed);
    if (now <= seen) /* an emitter that turns its counts back gains nothing */
        return false;
    if (into && now - seen <= SHM_REPORT_MOST) {
        struct shm_plan plan = {.n = 0};
        shm_plan_set(&plan, into, shm_plus(*into, (double)(now - seen)));
        shm_undo_state(drain->undo, drain->cells, &plan, SHM_UNDO_REPORT, drain->lane.lane_id,
                       what, seen);
    }
    atomic_store_explicit(reported, now, memory_order_relaxed);
    shm_undo_done(drain->undo);
    return true;
}

bool shm_drain_report(struct shm_drain *drain, uint32_t what, uint64_t now, uint64_t cell)
{
    if (what >= SHM_REPORTS || (cell != SHM_NO_CELL && cell >= drain->n_cells))
        return false;
    return report(drain, what, now, cell == SHM_NO_CELL ? NULL : &drain->cells[cell]);
}

uint64_t shm_drain_reported(const struct shm_drain *drain, uint32_t what)
{
    return atomic_load_explicit(&drain->ledger->counts[what], memory_order_relaxed);
}

void shm_drain_report_counts(struct shm_drain *drain)
{
    const struct shm_producer_line *producer = &drain->lane.header->producer;
    report(drain, SHM_REPORT_ADDED, atomic_load_explicit(&producer->added, memory_order_relaxed),
           drain->tally.events[SHM_KIND_ADD]);
    report(drain, SHM_REPORT_SPILLED,
           atomic_load_explicit(&producer->spilled, memory_order_relaxed), drain->tally.spilled);
    report(drain, SHM_REPORT_OVERFLOWED,
           atomic_load_explicit(&producer->overflowed, memory_order_relaxed),
           drain->tally.overflowed);
    for (uint32_t i = 0; i < SHM_DROPS; i++)
        report(drain, SHM_REPORT_DROPPED + i,
               atomic_load_explicit(&producer->dropped[i], memory_order_relaxed),
               drain->tally.dropped[i]);
}

/* ---- a lane's last words ----------------------------------------------------------------- */

bool shm_drain_take_gauge(struct shm_drain *drain, uint32_t series, uint64_t cell)
{
    if (series >= drain->n_targets || cell >= drain->n_cells)
        return false;
    const struct shm_target *target = &drain->targets[series];
    if (target->type != SHM_TYPE_GAUGE || target->lane_cell == SHM_NO_CELLS)
        return false;
    return take(drain, GAIN_STATE, target->lane_cell + SHM_CELL_VALUE, &drain->cells[cell]);
}

bool shm_drain_abandon(struct shm_drain *drain, uint32_t slot, uint64_t cell)
{
    if (slot >= drain->lane.n_calls || cell >= drain->n_cells)
        return false;
    _Atomic uint32_t *open = &drain->lane.calls[slot].series;
    uint32_t series = atomic_load_explicit(open, memory_order_relaxed);
    if (series == 0)
        return false;
    struct shm_plan plan = {.n = 0};
    shm_plan_set(&plan, &drain->cells[cell], shm_plus(drain->cells[cell], 1.0));
    shm_undo_state(drain->undo, drain->cells, &plan, SHM_UNDO_CALL, drain->lane.lane_id, slot,
                   series);
    atomic_store_explicit(open, 0, memory_order_relaxed);
    shm_undo_done(drain->undo);
    return true;
}
