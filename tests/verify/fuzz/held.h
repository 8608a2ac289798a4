/* SPDX-License-Identifier: Apache-2.0 */
/* One lane as the collector holds it: what shmetrics/lanes/lane.py does, without names. */
#ifndef HELD_H
#define HELD_H

#include "drain/contained.h"
#include "memory.h"
#include "store.h"

#define HELD_IDS 1024u /* more than a dictionary has room for */
#define HELD_BOUNDS 2048u
#define HELD_FINE (2 * HELD_BOUNDS + HELD_IDS) /* and an infinite one behind each family's */

#define HELD_SPANS 12u /* slots that are taken before somebody has to look */

struct held_series {
    uint16_t type; /* SHM_TYPE_NONE: not bound yet */
    uint32_t n_bounds;
    uint32_t n_cells;
    uint32_t cell; /* the first of them in the store; 0: bound to nothing */
};

struct held_family {
    uint16_t type;
    bool is_shown;
    uint32_t n_bounds;
    struct shm_scale scale; /* of what is shown */
};

struct held {
    struct memory memory;
    struct store *store;
    uint8_t number; /* also the lane's id */
    bool is_there; /* it could be opened; if not, it is set aside */
    bool is_open;  /* and was not quarantined since */
    struct shm_drain drain;
    uint32_t n_families;
    struct held_family families[HELD_IDS];
    uint32_t n_bounds;
    double bounds[HELD_BOUNDS];
    uint32_t n_fine;
    double fine[HELD_FINE];
    struct shm_spans spans; /* taken, and not yet looked at */
    unsigned char span_bytes[HELD_SPANS * SHM_RECORD_BYTES];
    /* What a restart keeps, as the store's log does: */
    struct shm_ledger ledger;
    struct held_series series[HELD_IDS];
    uint32_t abandoned; /* cell of the store that counts calls that will never end */
    uint32_t gauges[HELD_IDS]; /* cells that take dead gauges' values */
};

/* A collector finds the lane. */
static inline void held_open(struct held *held)
{
    struct store *store = held->store;
    held->n_families = 0;
    held->n_bounds = 0;
    held->n_fine = 0;
    enum shm_attach found =
        shm_contained_open(&held->drain, held->memory.base, held->memory.size_bytes, &held->ledger,
                           &store->undo, store->cells, STORE_CELLS);
    MUST(found >= SHM_ATTACH_OK && found <= SHM_ATTACH_BAD_PARTS, "unknown answer of an open");
    held->is_there = found == SHM_ATTACH_OK && held->drain.lane.lane_id == held->number;
    held->is_open = held->is_there;
    held->drain.tally = store_tally(store);
    held->spans = (struct shm_spans){.bytes = held->span_bytes, .size_bytes = sizeof held->span_bytes};
    held->drain.spans = &held->spans;
    if (held->is_there)
        MUST(shm_contained_recover(&held->drain), "the undo entry is damaged");
}

static inline void held_close(struct held *held)
{
    shm_drain_close(&held->drain);
    held->is_there = held->is_open = false;
}

/* Counts finely as far as there are two bounds: once more between each of them. */
static inline void held_scale(struct held *held, struct shm_scale *scale, const double *bounds,
                              uint32_t n_bounds)
{
    double *fine = held->fine + held->n_fine;
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_bounds; i++) {
        double between = i > 0 ? bounds[i - 1] / 2.0 + bounds[i] / 2.0 : bounds[0];
        if (i > 0 && between > bounds[i - 1] && between < bounds[i])
            fine[n++] = between;
        fine[n++] = bounds[i];
    }
    fine[n] = INFINITY;
    held->n_fine += n + 1;
    shm_scale_init(scale, fine, n, bounds, n_bounds);
    scale->coarse = &held->store->cells[STORE_COARSE];
}

static inline void held_family(struct held *held, const struct shm_entry *entry,
                               const unsigned char *payload)
{
    double *bounds = held->bounds + held->n_bounds;
    bool is_shown = true;
    MUST(held->n_families < HELD_IDS && entry->of <= HELD_BOUNDS - held->n_bounds,
         "more definitions than a dictionary can hold");
    if (entry->of)
        memcpy(bounds, payload, entry->of * sizeof *bounds);
    for (uint32_t i = 0; i < entry->of; i++)
        is_shown &= isfinite(bounds[i]) && (i == 0 || bounds[i - 1] < bounds[i]);
    held->n_bounds += entry->of;
    struct held_family *family = &held->families[held->n_families++];
    family->type = entry->type;
    family->is_shown = is_shown;
    family->n_bounds = entry->of;
    if (is_shown)
        held_scale(held, &family->scale, bounds, entry->of);
}

/* How many cells of the store a series has. */
static inline uint32_t held_cells(const struct held_family *family)
{
    uint32_t n = shm_cells_of(family->type, 0);
    if (family->is_shown &&
        (family->type == SHM_TYPE_HISTOGRAM || family->type == SHM_TYPE_CALLS))
        n += shm_scale_counts(&family->scale) - 1;
    return n;
}

static inline void held_bind(struct held *held, const struct shm_entry *entry)
{
    static const struct held_family thrown = {.type = SHM_TYPE_EXCEPTION, .is_shown = true};
    const struct held_family *family = &thrown;
    bool is_shown = true;
    struct held_series *series = &held->series[entry->id];
    MUST(entry->id >= 1 && entry->id < HELD_IDS, "an id that nobody gave");
    if (entry->kind == SHM_ENTRY_SERIES) {
        MUST(entry->of >= 1 && entry->of <= held->n_families, "of a family that is not there");
        family = &held->families[entry->of - 1];
        is_shown = family->is_shown;
    } else {
        MUST(entry->of < entry->id && held->series[entry->of].type == SHM_TYPE_CALLS,
             "an exception of what is no calls");
        is_shown = held->series[entry->of].cell != 0;
    }
    if (series->type != family->type || series->n_bounds != family->n_bounds || !series->cell) {
        uint32_t n = held_cells(family);
        *series = (struct held_series){family->type, family->n_bounds, n, 0};
        if (is_shown && family->type != SHM_TYPE_GAUGE)
            series->cell = store_take(held->store, held->number, n);
    }
    MUST(shm_drain_bind(&held->drain, family->type, family->n_bounds, &family->scale,
                        series->cell ? &held->store->cells[series->cell] : NULL) == SHM_DRAINED,
         "no memory");
}

/* Whether there was another entry; false also at the end of what can be believed. */
static inline bool held_entry(struct held *held, enum shm_drained *found)
{
    static unsigned char buffer[SHM_ENTRY_MAX_BYTES];
    struct shm_entry entry;
    *found = shm_contained_entry(&held->drain, &entry, buffer);
    if (*found != SHM_DRAINED || entry.size_bytes == 0)
        return false;
    MUST(entry.size_bytes >= sizeof entry && entry.size_bytes <= sizeof buffer &&
             memcmp(buffer, &entry, sizeof entry) == 0,
         "the entry that was checked is not the one that was copied");
    if (entry.kind == SHM_ENTRY_FAMILY)
        held_family(held, &entry, buffer + sizeof entry);
    else if (entry.kind == SHM_ENTRY_REMOVED)
        *found = shm_contained_remove(&held->drain, entry.of);
    else if (entry.kind != SHM_ENTRY_CELLS)
        held_bind(held, &entry);
    return *found == SHM_DRAINED;
}

/* Folds everything published so far; a lane that breaks the contract is quarantined. */
static inline enum shm_drained held_drain(struct held *held)
{
    enum shm_drained found = SHM_DRAINED;
    if (!held->is_open)
        return found;
    do {
        found = shm_contained_pass(&held->drain);
        if (found != SHM_DRAIN_ENTRIES)
            break;
        while (held_entry(held, &found))
            ;
    } while (found == SHM_DRAINED);
    MUST(found == SHM_DRAINED || (found >= SHM_BROKEN_HEAD && found <= SHM_BROKEN_CUT_SHORT),
         "unknown answer of a drain");
    if (found != SHM_DRAINED) {
        held->is_open = false;
        shm_contained_give_up(&held->drain);
    }
    shm_contained_report_counts(&held->drain);
    return found;
}

/* What is read where it is, for a scrape. Returns the number of open calls. */
static inline uint32_t held_look(struct held *held, struct shm_open_call_copy *calls, uint32_t n)
{
    struct shm_gauge_copy gauges[4];
    struct shm_counts counts;
    uint32_t n_calls = shm_contained_calls(&held->drain, calls, n);
    MUST(n_calls <= n, "more calls than there is room for");
    for (uint32_t i = 0; i < n_calls; i++)
        MUST(calls[i].slot < held->drain.lane.n_calls && calls[i].series < held->drain.n_targets &&
                 held->series[calls[i].series].type == SHM_TYPE_CALLS,
             "an open call of nothing");
    uint32_t from = 1;
    uint32_t found;
    while ((found = shm_contained_gauges(&held->drain, from, gauges, 4)) > 0) {
        MUST(found <= 4, "more gauges than there is room for");
        for (uint32_t i = 0; i < found; i++) {
            MUST(gauges[i].series >= from && held->series[gauges[i].series].type == SHM_TYPE_GAUGE,
                 "a gauge that is none");
            from = gauges[i].series + 1;
        }
    }
    struct shm_observed_copy totals[4];
    from = 1;
    while ((found = shm_contained_observed(&held->drain, from, totals, 4)) > 0) {
        MUST(found <= 4, "more totals than there is room for");
        for (uint32_t i = 0; i < found; i++) {
            MUST(totals[i].series >= from &&
                     held->series[totals[i].series].type == SHM_TYPE_OBSERVED,
                 "a total of what is not observed");
            MUST(isfinite(totals[i].total) && totals[i].total >= 0.0 &&
                     totals[i].start_ns != SHM_START_NONE,
                 "a total that no counter has");
            from = totals[i].series + 1;
        }
    }
    shm_contained_counts(&held->drain, &counts);
    return n_calls;
}

/* A dead process's gauge is added to the store, if it is a number that others can be added to. */
static inline void held_take_gauge(struct held *held, uint32_t id)
{
    struct shm_gauge_copy gauge;
    uint64_t *kept = &held->store->cells[held->gauges[id]];
    if (shm_contained_gauges(&held->drain, id, &gauge, 1) == 1 && gauge.series == id &&
        isfinite(gauge.value))
        shm_contained_take_gauge(&held->drain, id, held->gauges[id]);
    MUST(isfinite(shm_value(*kept)), "what a dead process leaves is no number");
}

/* The process is dead: whatever it leaves is taken, and its lane with it. */
static inline void held_retire(struct held *held)
{
    struct shm_open_call_copy calls[64];
    struct store *store = held->store;
    shm_contained_finish(&held->drain);
    held_drain(held);
    if (!held->is_open)
        return;
    uint32_t n = held_look(held, calls, 64);
    if (!held->abandoned)
        held->abandoned = store_take(store, held->number, 1);
    for (uint32_t i = 0; i < n && held->abandoned; i++)
        shm_contained_abandon(&held->drain, calls[i].slot, held->abandoned);
    for (uint32_t id = 1; id < held->drain.n_targets; id++) {
        if (held->series[id].type != SHM_TYPE_GAUGE)
            continue;
        if (!held->gauges[id])
            held->gauges[id] = store_take(store, held->number, 1);
        if (held->gauges[id])
            held_take_gauge(held, id);
    }
}

#endif
