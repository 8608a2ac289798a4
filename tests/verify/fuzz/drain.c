/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzing of the drain. The input is a program for two emitters and a collector: events, passes, looks,
 * kills of either side before any of its stores; and what an emitter without manners writes into its own
 * lane, between the passes or between any two reads of one.
 *
 * What must hold, whatever the program does:
 *   - every answer is one of those that drain.h names, and no memory is touched but the lane and the store
 *     (AddressSanitizer; the lane lies between two pages that fault);
 *   - folding a lane changes its own cells of the store, and of the lane the collector's parts only;
 *   - the neighbour, and a first emitter that kept the contract, are counted exactly;
 *   - of their spans each is taken as it was recorded and in their order, and all of them but for those
 *     that were dropped, found no room, or were in the hands of a collector that was killed.
 */
#define _GNU_SOURCE
#include "counted.h"
#include "emitter.h"
#include "drain/guard.h"
#include "held.h"
#include "mischief.h"
#include "taken.h"
#include "traced.h"

#include <setjmp.h>

enum { VICTIM, NEIGHBOUR, LANES };
enum actor { NOBODY, COLLECTOR, ENDING, EMITTER }; /* ENDING: the collector, of a dead process's lane */

#define TRAPS 4u

#define STORES_MAX 100000u /* of one piece of work: more, and it has no end */

/* At a read that is still to come what is about to be read changes; or the file is cut short, at a read
 * or a store. */
struct trap {
    uint32_t left;
    uint16_t offset;
    uint8_t pages; /* that a cut leaves */
    bool cuts;
    uint64_t value;
};

static struct node {
    struct store store;
    struct held lanes[LANES];
    struct emitter emitters[LANES];
    bool honest;   /* the victim has kept the contract so far */
    bool is_dead;  /* its process, or its file */
    bool in_doubt; /* it died in an event: counted wholly or not at all */
    bool is_restarted;
    bool is_torn;  /* the file of an emitter that had kept the contract, and not spilled, was cut */
    struct totals before[TYPES][2];
    struct taken spans[LANES];
} node;

static struct {
    enum actor actor;
    struct held *lane; /* that is being worked on */
    struct trap traps[TRAPS];
    uint32_t n_traps;
    struct program storm; /* what every read finds in place of what was there */
    uint32_t stores;
    uint32_t stores_left; /* until a kill; 0: none */
    jmp_buf killed;
} now;

/* ---- between the instructions of the core ------------------------------------------------ */

static void cut(size_t pages)
{
    struct shm_header *header = (struct shm_header *)(void *)node.lanes[VICTIM].memory.base;
    node.is_torn = node.honest && atomic_load(&header->producer.spilled) == 0;
    memory_cut(&node.lanes[VICTIM].memory, pages);
    node.is_dead = true;
    node.honest = false;
}

/* at: what is about to be read, or NULL at a store. */
static void spring(struct trap *trap, unsigned char *at, size_t n_bytes)
{
    if (trap->left == 0 || (!trap->cuts && !at) || --trap->left > 0)
        return;
    if (trap->cuts) {
        cut(trap->pages);
        return;
    }
    size_t from = n_bytes > 8 ? trap->offset % (n_bytes / 8) * 8 : 0;
    memcpy(at + from, &trap->value, n_bytes < 8 ? n_bytes : 8);
}

/* Whether the collector is at the victim's lane here. */
static bool is_watched(const unsigned char *at)
{
    const struct held *victim = &node.lanes[VICTIM];
    return (now.actor == COLLECTOR || now.actor == ENDING) && now.lane == victim &&
           memory_has(&victim->memory, at) && !victim->memory.is_cut;
}

static void spring_all(unsigned char *at, size_t n_bytes)
{
    for (uint32_t i = 0; i < now.n_traps && !node.lanes[VICTIM].memory.is_cut; i++)
        spring(&now.traps[i], at, n_bytes);
}

void on_load(unsigned char *at, size_t n_bytes)
{
    if (!is_watched(at))
        return;
    enum actor actor = now.actor;
    now.actor = NOBODY; /* what is done here is not the collector's doing */
    spring_all(at, n_bytes);
    if (!node.lanes[VICTIM].memory.is_cut && !program_ended(&now.storm))
        take_bytes(&now.storm, at, n_bytes);
    now.actor = actor;
}

/* Which parts of its lane a side may write to. */
static bool may_write(const struct held *held, const unsigned char *at)
{
    const struct shm_lane *lane = &held->drain.lane;
    size_t offset = (size_t)(at - held->memory.base);
    bool is_seen = at >= (unsigned char *)lane->seen && at < (unsigned char *)lane->ring;
    bool is_consumer = (offset >= offsetof(struct shm_header, consumer) &&
                        offset < offsetof(struct shm_header, intent));
    if (now.actor == EMITTER)
        return offset >= sizeof(struct shm_identity) && !is_consumer && !is_seen;
    if (now.actor == ENDING) /* an event is finished in the name of the dead */
        return offset >= sizeof(struct shm_identity) && at < (unsigned char *)lane->ring;
    return is_consumer || is_seen;
}

void on_store(unsigned char *at, size_t n_bytes)
{
    unsigned char *cells = (unsigned char *)node.store.cells;
    unsigned char *undo = (unsigned char *)&node.store.undo;
    bool shared = false;
    if (now.actor == NOBODY)
        return;
    for (int i = 0; i < LANES; i++)
        if (memory_has(&node.lanes[i].memory, at)) {
            shared = true;
            MUST(now.lane == &node.lanes[i], "somebody else's lane was written to");
            MUST(may_write(now.lane, at), "the other side's part of the lane was written to");
        }
    if (at >= cells && at < cells + sizeof node.store.cells) {
        shared = true;
        uint8_t owner = node.store.owner[(size_t)(at - cells) / sizeof(uint64_t)];
        MUST(now.actor != EMITTER && (owner == now.lane->number || owner == STORE_ALL),
             "somebody else's cell was written to");
    }
    shared |= at >= undo && at < undo + sizeof node.store.undo;
    for (int i = 0; i < LANES; i++) {
        unsigned char *ledger = (unsigned char *)&node.lanes[i].ledger;
        if (at >= ledger && at < ledger + sizeof node.lanes[i].ledger) {
            shared = true;
            MUST(now.actor != EMITTER && now.lane == &node.lanes[i],
                 "a ledger was written to by whom it does not belong to");
        }
    }
    MUST(++now.stores < STORES_MAX, "this has no end");
    if (is_watched(at))
        spring_all(NULL, n_bytes);
    if (shared && now.stores_left > 0 && --now.stores_left == 0)
        longjmp(now.killed, 1);
}

static void set_trap(struct program *program)
{
    struct trap *trap = &now.traps[now.n_traps++ % TRAPS];
    if (now.n_traps > TRAPS)
        now.n_traps = TRAPS;
    trap->left = 1 + take_below(program, 300);
    uint32_t pages = take_below(program, 6);
    trap->cuts = pages < 3;
    trap->pages = (uint8_t)(pages ? pages + 1 : 0); /* all of the header, which has two, or none */
    trap->offset = trap->cuts ? 0 : (uint16_t)take_below(program, 65535);
    trap->value = trap->cuts ? 0 : take_value(program, trap->offset / 8);
    node.honest &= trap->cuts;
}

/* ---- the collector ----------------------------------------------------------------------- */

static void begin_work(enum actor actor, int lane)
{
    now.actor = actor;
    now.lane = &node.lanes[lane];
    now.stores = 0;
}

static void drain_all(void)
{
    for (int i = 0; i < LANES; i++) {
        struct held *held = &node.lanes[i];
        uint64_t before = held->drain.ring.tail;
        begin_work(COLLECTOR, i);
        if (held->is_there)
            held_drain(held);
        MUST(held->drain.ring.tail - before <= held->drain.lane.records,
             "a pass was longer than the ring");
        now.actor = NOBODY;
        taken_check(&node.spans[i], &held->spans, node.emitters[i].spans,
                    i == NEIGHBOUR || node.honest);
    }
    now.actor = NOBODY;
}

static void look_all(void)
{
    struct shm_open_call_copy calls[16];
    for (int i = 0; i < LANES; i++) {
        begin_work(COLLECTOR, i);
        if (node.lanes[i].is_there)
            held_look(&node.lanes[i], calls, 16);
    }
    now.actor = NOBODY;
}

static void restart(void)
{
    node.is_restarted = true;
    for (int i = 0; i < LANES; i++) {
        held_close(&node.lanes[i]);
        begin_work(COLLECTOR, i);
        held_open(&node.lanes[i]);
    }
    now.actor = NOBODY;
}

/* What a kill leaves of a process is memory; guards are the process's own. */
static void forget_guards(void)
{
    struct shm_guard none = {.outer = NULL};
    shm_guard_leave(&none);
}

static void retire_victim(void)
{
    begin_work(ENDING, VICTIM);
    if (node.lanes[VICTIM].is_there)
        held_retire(&node.lanes[VICTIM]);
    now.actor = NOBODY;
}

/* Does it; the collector is killed before the n-th of its stores, unless n is 0. */
static void killed_at(uint32_t n, void (*work)(void))
{
    now.stores_left = n;
    if (setjmp(now.killed) != 0) {
        forget_guards();
        restart();
    } else {
        work();
    }
    now.stores_left = 0;
}

/* ---- the emitters ------------------------------------------------------------------------ */

static struct event take_event(struct program *program)
{
    uint8_t raw = 0;
    take_bytes(program, &raw, 1);
    struct event event = {raw & 3u, raw >> 2 & 1u, raw >> 3 & 3u, raw >> 5 & 1u, false};
    event.is_huge = raw >> 6 == 2 && event.value == 3;
    emitter_now_ns += UINT64_C(1) << (raw >> 6) * 10;
    return event;
}

static void emit(int lane, const struct event *event)
{
    begin_work(EMITTER, lane);
    emitter_expect(&node.emitters[lane], event);
    emitter_emit(&node.emitters[lane], event);
    now.actor = NOBODY;
}

static void emit_span(int lane)
{
    begin_work(EMITTER, lane);
    emitter_span(&node.emitters[lane]);
    now.actor = NOBODY;
}

static void emit_and_die(const struct event *event, uint32_t n)
{
    memcpy(node.before, node.emitters[VICTIM].totals, sizeof node.before);
    now.stores_left = n;
    if (setjmp(now.killed) == 0) {
        emit(VICTIM, event);
        memcpy(node.before, node.emitters[VICTIM].totals, sizeof node.before);
    } else {
        now.actor = NOBODY;
        node.in_doubt = true;
    }
    now.stores_left = 0;
    node.is_dead = true;
}

/* ---- what was counted -------------------------------------------------------------------- */

static bool is_lane_exact(int lane, struct totals (*totals)[2])
{
    return is_exact(&node.lanes[lane], &node.emitters[lane], totals);
}

/* A dead process's gauges and open calls. */
static void check_remains(struct totals (*totals)[2])
{
    const struct held *held = &node.lanes[VICTIM];
    double open = 0.0;
    for (int i = 0; i < 2; i++) {
        const struct shm_series *gauge = &node.emitters[VICTIM].series[GAUGE][i];
        const uint64_t *calls = totals[CALLS][i].cells;
        open += (double)(calls[SHM_CELL_STARTS] - calls[SHM_CELL_ENDS]);
        MUST(gauge->id == 0 || value_of(held, held->gauges[gauge->id]) == totals[GAUGE][i].value ||
                 value_of(held, held->gauges[gauge->id]) == node.before[GAUGE][i].value,
             "a dead process's gauge is wrong");
    }
    MUST(value_of(held, held->abandoned) == open, "the open calls of the dead are not exact");
}

/* Of a torn lane: every event in the store is one whose slot was given back, and the other way round.
 * Adds are sums, and do not say how many they were. */
static bool is_whole(void)
{
    const struct held *victim = &node.lanes[VICTIM];
    uint64_t events = 0;
    for (uint32_t id = 1; id < victim->drain.n_targets; id++) {
        const struct held_series *series = &victim->series[id];
        const uint64_t *cells = &node.store.cells[series->cell];
        if (series->cell && series->type == SHM_TYPE_CALLS)
            events += cells[SHM_CELL_STARTS] + cells[SHM_CELL_ENDS];
        bool observes = series->cell && series->type == SHM_TYPE_HISTOGRAM;
        for (uint32_t i = SHM_HISTOGRAM_BUCKETS; i < series->n_cells && observes; i++)
            events += cells[i];
    }
    return node.emitters[VICTIM].adds > 0 || node.emitters[VICTIM].spans > 0 ||
           events == victim->drain.ring.tail - SHM_INDEX_START;
}

/* How many records of these lanes were taken from their rings, and how many adds needed none. */
static double taken_from(int first, int end)
{
    double taken = 0.0;
    for (int i = first; i < end; i++) {
        const struct shm_drain *drain = &node.lanes[i].drain;
        taken += (double)(drain->ring.tail - SHM_INDEX_START);
        taken += (double)atomic_load(&drain->lane.header->producer.added);
    }
    return taken;
}

/* How many the tally has, if only as of no kind. */
static double tallied(void)
{
    double found = 0.0;
    for (uint32_t kind = 0; kind < SHM_KINDS; kind++)
        found += store_events(&node.store, kind);
    return found;
}

/* Every span was taken, or counted as dropped by its emitter. */
static bool are_spans_complete(int i)
{
    const struct shm_header *header = node.lanes[i].drain.lane.header;
    uint64_t dropped = atomic_load(&header->producer.dropped[SHM_DROP_SPAN]);
    return node.is_restarted || node.spans[i].n + dropped == node.emitters[i].spans;
}

static void check(void)
{
    store_check(&node.store);
    MUST(are_spans_complete(NEIGHBOUR), "spans of the neighbour are missing");
    MUST(is_lane_exact(NEIGHBOUR, node.emitters[NEIGHBOUR].totals), "the neighbour is not exact");
    MUST(tallied() >= taken_from(NEIGHBOUR, LANES), "the neighbour's events left the tally");
    MUST(!node.is_torn || node.is_restarted || is_whole(), "half an event was folded");
    if (!node.honest)
        return;
    bool done = is_lane_exact(VICTIM, node.emitters[VICTIM].totals);
    bool undone = node.in_doubt && is_lane_exact(VICTIM, node.before);
    MUST(node.lanes[VICTIM].is_open, "a lane that kept the contract was set aside");
    MUST(done || undone, "a lane that kept the contract is not exact");
    MUST(tallied() == taken_from(VICTIM, LANES), "the tally is not exact");
    MUST(are_spans_complete(VICTIM), "spans are missing");
    if (node.is_dead)
        check_remains(done ? node.emitters[VICTIM].totals : node.before);
}

/* ---- the program ------------------------------------------------------------------------- */

static void begin(struct program *program)
{
    static const uint32_t records[] = {8, 0, 4, 2, 16};
    uint8_t shape = 0;
    take_bytes(program, &shape, 1);
    struct shm_lane_sizes sizes[LANES] = {{records[shape % 5], 0, shape & 64 ? 9 : 40, 10},
                                          {4, 0, 40, 10}};
    now.actor = NOBODY;
    now.n_traps = 0;
    now.storm = (struct program){NULL, NULL};
    now.stores_left = 0;
    node.honest = !(shape & 64); /* or there are too few cells to be exact */
    node.is_dead = node.in_doubt = node.is_torn = node.is_restarted = false;
    memset(node.spans, 0, sizeof node.spans);
    store_begin(&node.store);
    for (int i = 0; i < LANES; i++) {
        struct held *held = &node.lanes[i];
        struct shm_lane lane;
        if (!held->memory.base) {
            memory_make(&held->memory, i == VICTIM ? 4 : 3);
            held->store = &node.store;
            held->number = (uint8_t)(i + 1);
        }
        memory_format(&held->memory, held->number, sizes[i], &lane);
        emitter_begin(&node.emitters[i], &lane);
        memset(&held->ledger, 0, sizeof held->ledger);
        memset(held->series, 0, sizeof held->series);
        memset(held->gauges, 0, sizeof held->gauges);
        held->abandoned = 0;
        held_open(held);
    }
}

#define SPANS_FROM 224u /* of 256 kinds of steps */

static void step(struct program *program)
{
    uint32_t raw = take_below(program, 256);
    uint32_t what = raw % 16;
    bool lives = !node.is_dead;
    uint32_t bytes;
    uint32_t left;
    struct event event;
    struct emitter *victim = &node.emitters[VICTIM];
    if (raw >= SPANS_FROM) {
        if (raw % 4 == 0)
            emit_span(NEIGHBOUR);
        else if (lives)
            emit_span(VICTIM);
        return;
    }
    node.honest &= what < 10 || what == 14;
    switch (what) {
    case 0:
    case 1:
    case 2:
        event = take_event(program);
        if (lives)
            emit(VICTIM, &event);
        break;
    case 3:
        event = take_event(program);
        emit(NEIGHBOUR, &event);
        break;
    case 4:
        drain_all();
        break;
    case 5:
        killed_at(take_below(program, 256), drain_all);
        break;
    case 6:
        look_all();
        break;
    case 7:
        killed_at(take_below(program, 64), restart);
        break;
    case 8:
        event = take_event(program);
        if (lives)
            emit_and_die(&event, 1 + take_below(program, 64));
        break;
    case 9: /* the same again, many times: a ring is soon full */
        event = take_event(program);
        for (uint32_t n = take_below(program, 32); n > 0 && lives; n--)
            emit(VICTIM, &event);
        break;
    case 10:
    case 11:
        if (lives)
            patch(program, victim, &node.lanes[VICTIM].memory);
        break;
    case 12:
        if (lives)
            publish_record(program, victim);
        break;
    case 13:
        if (lives)
            publish_entry(program, victim);
        break;
    case 14:
        set_trap(program);
        break;
    default: /* every read from now on finds something else, until this is used up */
        bytes = take_below(program, 128);
        left = (uint32_t)(program->end - program->at);
        now.storm.at = program->at;
        program->at += bytes < left ? bytes : left;
        now.storm.end = program->at;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct program program = {data, data + n_bytes};
    traced_stack = __builtin_frame_address(0);
    begin(&program);
    while (!program_ended(&program))
        step(&program);
    if (node.is_dead)
        killed_at(n_bytes % 32, retire_victim); /* and again, if that was its end */
    drain_all();
    if (node.is_dead)
        retire_victim();
    check();
    for (int i = 0; i < LANES; i++)
        held_close(&node.lanes[i]);
    return 0;
}
