/* SPDX-License-Identifier: Apache-2.0 */
/* Two lanes of one process and a store: the process moves from the first, which is full, into the second.
 * The collector's part does what shmetrics/lanes/lanes.py does, step by step. */
#ifndef PAIR_H
#define PAIR_H

#include "node.h"

#include "emit/move.h"

#define PAIR_GAUGE (NODE_CELLS - 1u) /* the store's cell for the gauge of a dead process */
#define PAIR_ABANDONED (NODE_CELLS - 2u)
#define PAIR_OLD_ID 3u
#define PAIR_NEW_ID 4u
static_assert(NODE_DROPPED + SHM_DROPS <= PAIR_ABANDONED, "cells for everything");

/* What survives a kill: the node's lane is the old one. */
struct pair {
    struct node node;
    struct shm_ledger ledger;
    bool old_is_gone, new_is_gone; /* their files */
    _Alignas(4096) unsigned char lane[16384];
};

static _Alignas(4096) unsigned char pair_memory[16384];
static struct shm_producer pair_waiting;
static struct shm_series *pair_by_id[2][64];
static struct shm_lane pair_granted;

static const uint32_t pair_gauge_text[] = {4, 0, 0, 0, 0};
static const uint32_t pair_no_labels[] = {0};
static struct shm_family pair_gauge_family;
static struct shm_series pair_gauge_series;

/* Begins with what waits: in private memory, on the other side of each family. */
static inline struct shm_producer *pair_wait(struct shm_producer *p)
{
    static const struct shm_lane_sizes sizes = {0, 2048, 160, 8};
    struct shm_lane lane;
    memset(pair_memory, 0, sizeof pair_memory);
    memset(&pair_waiting, 0, sizeof pair_waiting);
    shm_lane_format(pair_memory, 0, &sizes);
    shm_lane_attach(pair_memory, sizeof pair_memory, &lane);
    pair_waiting.side = 1 - p->side;
    pair_waiting.by_id = pair_by_id[pair_waiting.side];
    pair_waiting.n_by_id = 64;
    shm_producer_begin(&pair_waiting, &lane, p->lane_generation + 1);
    return &pair_waiting;
}

/* A process in its first lane, of such a size, and a second lane for it. */
static inline struct pair *pair_new(uint32_t records, uint32_t dictionary_bytes)
{
    const struct shm_lane_sizes small = {records, dictionary_bytes, 128, 8};
    const struct shm_lane_sizes large = {8, 2048, 160, 8};
    struct shm_lane lane;
    struct pair *pair =
        mmap(NULL, sizeof *pair, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pair == MAP_FAILED || shm_lane_bytes(&large) > sizeof pair->lane)
        node_fail("no memory", 0);
    shm_lane_format(pair->node.lane, PAIR_OLD_ID, &small);
    shm_lane_attach(pair->node.lane, sizeof pair->node.lane, &lane);
    memset(&node_producer, 0, sizeof node_producer);
    node_producer.wait = pair_wait;
    node_producer.by_id = pair_by_id[0];
    node_producer.n_by_id = 64;
    shm_producer_begin(&node_producer, &lane, 1);
    shm_lane_format_after(pair->lane, PAIR_NEW_ID, PAIR_OLD_ID, &large);
    shm_lane_attach(pair->lane, sizeof pair->lane, &pair_granted);
    node_define();
    pair_gauge_family = (struct shm_family){.type = SHM_TYPE_GAUGE,
                                            .text = (const unsigned char *)pair_gauge_text,
                                            .text_bytes = sizeof pair_gauge_text};
    pair_gauge_series = (struct shm_series){.type = SHM_TYPE_GAUGE,
                                            .family = &pair_gauge_family,
                                            .text = (const unsigned char *)pair_no_labels,
                                            .text_bytes = sizeof pair_no_labels};
    return pair;
}

static inline void pair_set_gauge(double value)
{
    shm_emit_gauge(&node_producer, &pair_gauge_series, value, false, true);
}

/* ---- the collector ---------------------------------------------------------------------- */

struct pair_collector {
    struct shm_drain old_drain, new_drain;
    uint64_t moved_to;
};

static inline void pair_open_lane(struct pair *pair, struct shm_drain *drain, bool is_new,
                           unsigned long step)
{
    void *lane = is_new ? pair->lane : pair->node.lane;
    size_t size_bytes = is_new ? sizeof pair->lane : sizeof pair->node.lane;
    node_open_lane(&pair->node, drain, lane, size_bytes,
                   is_new ? &pair->ledger : &pair->node.ledger, step);
}

/* Opens what is there. */
static inline void pair_open(struct pair *pair, struct pair_collector *here, unsigned long step)
{
    memset(here, 0, sizeof *here);
    if (!pair->old_is_gone)
        pair_open_lane(pair, &here->old_drain, false, step);
    if (!pair->new_is_gone)
        pair_open_lane(pair, &here->new_drain, true, step);
}

static inline void pair_close(struct pair_collector *here)
{
    shm_drain_close(&here->old_drain);
    shm_drain_close(&here->new_drain);
}

static inline bool pair_has_arrived(const struct pair *pair)
{
    return atomic_load_explicit(&pair->ledger.counts[SHM_REPORT_ARRIVED], memory_order_relaxed);
}

/* Tells whether anything in the new lane counts. */
static inline bool pair_has_begun(const struct pair *pair, const struct pair_collector *here)
{
#ifdef PAIR_DRAINS_ALWAYS
    (void)pair, (void)here;
    return true;
#else
    return pair_has_arrived(pair) || here->moved_to == PAIR_NEW_ID;
#endif
}

/* A tick: one look at the move, and a pass over each lane. */
static inline void pair_drain(struct pair *pair, struct pair_collector *here, unsigned long step)
{
    here->moved_to = pair->old_is_gone ? 0 : shm_drain_moved_to(&here->old_drain);
    if (!pair->old_is_gone)
        node_drain(&pair->node, &here->old_drain, step);
    if (!pair->new_is_gone && pair_has_begun(pair, here))
        node_drain(&pair->node, &here->new_drain, step);
}

/* The lane whose state counts, as of the last tick; NULL if both are gone. */
static inline struct shm_drain *pair_shown(const struct pair *pair, struct pair_collector *here)
{
    if (here->moved_to == PAIR_NEW_ID || pair_has_arrived(pair))
        return pair->new_is_gone ? NULL : &here->new_drain;
    return pair->old_is_gone ? NULL : &here->old_drain;
}

/* Takes what a dead process has left in a lane. */
static inline void pair_bury(struct shm_drain *drain)
{
    struct shm_open_call_copy open[8];
    struct shm_gauge_copy gauge;
    uint32_t n = shm_drain_calls(drain, open, 8);
    for (uint32_t i = 0; i < n; i++)
        shm_drain_abandon(drain, open[i].slot, PAIR_ABANDONED);
    if (shm_drain_gauges(drain, 1, &gauge, 1) == 1)
        shm_drain_take_gauge(drain, gauge.series, PAIR_GAUGE);
}

static inline void pair_retire_old(struct pair *pair, struct pair_collector *here, unsigned long step)
{
    uint64_t moved_to = shm_drain_moved_to(&here->old_drain);
    if (!moved_to)
        shm_recover_emitter(&here->old_drain);
    node_drain(&pair->node, &here->old_drain, step);
#ifdef PAIR_ARRIVES_LATE
    pair->old_is_gone = true;
#endif
    if (moved_to)
        shm_drain_report(&here->new_drain, SHM_REPORT_ARRIVED, 1, SHM_NO_CELL);
    else
        pair_bury(&here->old_drain);
    pair->old_is_gone = true;
}

static inline void pair_retire_new(struct pair *pair, struct pair_collector *here, unsigned long step)
{
    shm_recover_emitter(&here->new_drain);
    here->moved_to = 0;
    if (pair_has_begun(pair, here))
        node_drain(&pair->node, &here->new_drain, step);
    if (pair_has_arrived(pair))
        pair_bury(&here->new_drain);
    pair->new_is_gone = true;
}

#endif
