/* SPDX-License-Identifier: Apache-2.0 */
/* A lane and a store in shared memory, with an emitter of four kinds of events and a collector. */
#ifndef NODE_H
#define NODE_H

#include "drain/drain.h"
#include "emit/emit.h"
#include "drain/recovery.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define NODE_BOUNDS 2u
#define NODE_FINE 4u
#define NODE_ROW 12u /* cells of the store for each kind */
#define NODE_CELLS 80u
#define NODE_LABELS 3u /* label sets of each kind */
#define NODE_ROOMY 1024u /* bytes of dictionary: enough for all of them */
#define NODE_TIGHT 480u  /* for one of a kind, and no exception: the rest overflows */

enum { NODE_COUNTER, NODE_HISTOGRAM, NODE_CALLS, NODE_THROWN, NODE_SERIES };

/* Where the collector counts events, by kind; then those spilled; then those dropped, by cause. */
#define NODE_EVENTS (NODE_ROW * NODE_SERIES)
#define NODE_SPILLED (NODE_EVENTS + SHM_KINDS)
#define NODE_OVERFLOWED (NODE_SPILLED + 1u)
#define NODE_COARSE (NODE_OVERFLOWED + 1u) /* observations that were spilled */
#define NODE_DROPPED (NODE_COARSE + 1u)
static_assert(NODE_DROPPED + SHM_DROPS <= NODE_CELLS, "cells for everything");

/* What survives a kill. All series of kind i have the store's cells from node_row() on: what
 * overflows counts there with what does not. */
struct node {
    struct shm_undo undo;
    uint64_t cells[NODE_CELLS];
    struct shm_ledger ledger;
    _Alignas(4096) unsigned char lane[36864];
};

static const double node_bounds[NODE_BOUNDS] = {0.5, 2.0};
static const double node_fine[NODE_FINE + 1] = {0.25, 0.5, 1.0, 2.0, INFINITY};
static struct shm_scale node_scale;
/* Bounds, and five empty strings: the last is the name of the one label. */
static const struct {
    double bounds[NODE_BOUNDS];
    uint32_t strings[6];
} node_text = {{0.5, 2.0}, {5, 0, 0, 0, 0, 0}};
static const uint32_t node_labels[NODE_LABELS][3] = {{1, 4, 'a'}, {1, 4, 'b'}, {1, 4, 'c'}};
static const uint16_t node_types[NODE_SERIES] = {SHM_TYPE_COUNTER, SHM_TYPE_HISTOGRAM,
                                                 SHM_TYPE_CALLS, SHM_TYPE_EXCEPTION};
static struct shm_family node_families[NODE_SERIES];
static struct shm_series node_series[NODE_SERIES][NODE_LABELS];
#ifndef NODE_PRODUCER /* what node_emit records with */
static struct shm_producer node_producer;
#define NODE_PRODUCER (&node_producer)
#endif

static inline void node_fail(const char *what, unsigned long step)
{
    fprintf(stderr, "after change %lu: %s\n", step, what);
    exit(1);
}

static inline uint32_t node_bounds_of(uint16_t type)
{
    return type == SHM_TYPE_HISTOGRAM || type == SHM_TYPE_CALLS ? NODE_BOUNDS : 0;
}

static inline uint64_t *node_row(struct node *node, int kind)
{
    return node->cells + (size_t)kind * NODE_ROW;
}

/* What a row of such a kind counts between two of node_bounds: finely, and in its coarse cell. */
static inline uint64_t node_bucket(const uint64_t *counts, uint32_t bucket)
{
    static const uint32_t ends[NODE_BOUNDS + 1] = {2, 4, NODE_FINE + 1};
    uint64_t sums[NODE_BOUNDS + 1] = {0};
    shm_sum_runs(counts, ends, NODE_BOUNDS + 1, sums);
    return sums[bucket] + counts[node_scale.coarse_at + bucket];
}

static inline uint64_t node_counted(const uint64_t *counts)
{
    return node_bucket(counts, 0) + node_bucket(counts, 1) + node_bucket(counts, 2);
}

static inline void node_define(void)
{
    shm_scale_init(&node_scale, node_fine, NODE_FINE, node_bounds, NODE_BOUNDS);
    for (int i = 0; i < NODE_SERIES; i++) {
        uint32_t n_bounds = node_bounds_of(node_types[i]);
        node_families[i] = (struct shm_family){.type = node_types[i],
                                               .n_bounds = n_bounds,
                                               .bounds = node_bounds,
                                               .text = (const unsigned char *)&node_text,
                                               .text_bytes = sizeof node_text};
        if (n_bounds == 0) {
            node_families[i].text = (const unsigned char *)node_text.strings;
            node_families[i].text_bytes = sizeof node_text.strings;
        }
        for (uint32_t j = 0; j < NODE_LABELS; j++)
            node_series[i][j] =
                (struct shm_series){.type = node_types[i],
                                    .n_bounds = n_bounds,
                                    .bounds = node_bounds,
                                    .family = i == NODE_THROWN ? NULL : &node_families[i],
                                    .parent = i == NODE_THROWN ? &node_series[NODE_CALLS][j] : NULL,
                                    .text = (const unsigned char *)node_labels[j],
                                    .text_bytes = sizeof node_labels[j]};
    }
}

/* A node whose lane has a ring of so many records. */
static inline struct node *node_new(uint32_t records, uint32_t dictionary_bytes)
{
    struct shm_lane_sizes sizes = {records, dictionary_bytes, 64, 8};
    struct shm_lane lane;
    struct node *node =
        mmap(NULL, sizeof *node, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (node == MAP_FAILED || shm_lane_bytes(&sizes) > sizeof node->lane)
        node_fail("no memory", 0);
    shm_lane_format(node->lane, 3, &sizes);
    shm_lane_attach(node->lane, sizeof node->lane, &lane);
    shm_producer_begin(NODE_PRODUCER, &lane, 1);
    node_define();
    return node;
}

/* Event number i of an endless sequence: add, observe, start, end; every other end has thrown. Two adds
 * go straight to their cell, two are records. Every four events have the next label. */
static inline void node_emit(uint32_t i)
{
    static struct shm_call call;
    bool throws = i / 4 % 2;
    uint32_t label = i / 4 % NODE_LABELS;
    switch (i % 4) {
    case 0:
        if (i / 8 % 2)
            shm_emit_add_traced(NODE_PRODUCER, &node_series[NODE_COUNTER][label], 0.5, NULL);
        else
            shm_emit_add(NODE_PRODUCER, &node_series[NODE_COUNTER][label], 0.5);
        break;
    case 1:
        shm_emit_observe(NODE_PRODUCER, &node_series[NODE_HISTOGRAM][label], (double)(i / 4 % 3));
        break;
    case 2:
        shm_emit_call_start(NODE_PRODUCER, &node_series[NODE_CALLS][label], &call);
        break;
    default:
        shm_emit_call_end(NODE_PRODUCER, &node_series[NODE_CALLS][label], &call,
                          throws ? &node_series[NODE_THROWN][label] : NULL);
    }
}

/* A collector begins: what it does with every lane that it finds. */
static inline void node_open_lane(struct node *node, struct shm_drain *drain, void *lane,
                                  size_t size_bytes, struct shm_ledger *ledger,
                                  unsigned long step)
{
    if (shm_drain_open(drain, lane, size_bytes, ledger, &node->undo, node->cells, NODE_CELLS) !=
        SHM_ATTACH_OK)
        node_fail("no lane", step);
    for (uint32_t kind = 0; kind < SHM_KINDS; kind++)
        drain->tally.events[kind] = node->cells + NODE_EVENTS + kind;
    drain->tally.spilled = node->cells + NODE_SPILLED;
    drain->tally.overflowed = node->cells + NODE_OVERFLOWED;
    node_scale.coarse = node->cells + NODE_COARSE;
    for (uint32_t cause = 0; cause < SHM_DROPS; cause++)
        drain->tally.dropped[cause] = node->cells + NODE_DROPPED + cause;
    if (!shm_recover(drain))
        node_fail("the undo entry is damaged", step);
}

static inline void node_open(struct node *node, struct shm_drain *drain, unsigned long step)
{
    node_open_lane(node, drain, node->lane, sizeof node->lane, &node->ledger, step);
}

/* One pass, with whatever binding it takes. */
static inline void node_drain(struct node *node, struct shm_drain *drain, unsigned long step)
{
    static unsigned char buffer[SHM_ENTRY_MAX_BYTES];
    static uint16_t types_of[8][8]; /* of two lanes, drained in turn */
    uint16_t *types = types_of[drain->lane.lane_id % 8];
    struct shm_entry entry;
    enum shm_drained found;
    while ((found = shm_drain_pass(drain)) == SHM_DRAIN_ENTRIES) {
        while (shm_drain_entry(drain, &entry, buffer) == SHM_DRAINED && entry.size_bytes) {
            uint16_t type = SHM_TYPE_EXCEPTION;
            if (entry.kind == SHM_ENTRY_CELLS)
                continue;
            if (entry.kind == SHM_ENTRY_FAMILY) {
                types[entry.id] = entry.type;
                continue;
            }
            if (entry.kind == SHM_ENTRY_SERIES)
                type = types[entry.of];
            if (type == SHM_TYPE_GAUGE)
                shm_drain_bind(drain, type, 0, NULL, NULL);
            for (int i = 0; i < NODE_SERIES; i++)
                if (node_types[i] == type)
                    shm_drain_bind(drain, type, node_bounds_of(type), &node_scale,
                                   node_row(node, i));
        }
    }
    if (found != SHM_DRAINED)
        node_fail("the lane broke", step);
    shm_drain_report_counts(drain);
}

static inline void node_expect(double found, double wanted, const char *what, unsigned long step)
{
    if (found != wanted) {
        fprintf(stderr, "%g, not %g: ", found, wanted);
        node_fail(what, step);
    }
}

/* Returns how many events of node_emit's sequence the store holds. They have to be the first ones, each
 * of them whole. */
static inline uint64_t node_events(struct node *node, unsigned long step)
{
    const uint64_t *histogram = node_row(node, NODE_HISTOGRAM);
    const uint64_t *calls = node_row(node, NODE_CALLS);
    uint64_t adds = (uint64_t)(shm_value(*node_row(node, NODE_COUNTER)) * 2.0);
    uint64_t observed = node_counted(histogram + SHM_HISTOGRAM_BUCKETS);
    uint64_t starts = calls[SHM_CELL_STARTS];
    uint64_t ends = calls[SHM_CELL_ENDS];
    uint64_t events = adds + observed + starts + ends;

    /* Of this many events, how many of each kind there must be. */
    double sum = 0.0;
    uint64_t small = 0; /* how many are not above the first bound; none is above the last */
    for (uint64_t i = 0; i < (events + 2) / 4; i++) {
        sum += (double)(i % 3);
        small += i % 3 == 0;
    }
    const uint64_t *buckets = histogram + SHM_HISTOGRAM_BUCKETS;
    node_expect((double)adds, (double)((events + 3) / 4), "adds", step);
    node_expect((double)observed, (double)((events + 2) / 4), "observations", step);
    node_expect(shm_value(histogram[SHM_CELL_SUM]), sum, "sum", step);
    node_expect((double)node_bucket(buckets, 0), (double)small, "bucket", step);
    node_expect((double)node_bucket(buckets, 2), 0.0, "last bucket", step);
    node_expect((double)starts, (double)((events + 1) / 4), "starts", step);
    node_expect((double)ends, (double)(events / 4), "ends", step);
    node_expect((double)node_counted(calls + SHM_CALLS_BUCKETS), (double)ends, "durations", step);
    node_expect(shm_value(*node_row(node, NODE_THROWN)), (double)(events / 8), "exceptions", step);
    return events;
}

#endif
