/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzing of moves. The input is a program for one emitter, which goes from lane to lane, and a collector:
 * events, of which some wait for a larger lane; moves, refusals, and lanes that are lost on their way;
 * passes, looks, restarts; kills of either side before any of its stores; and what an emitter without
 * manners writes into its lanes, and names there.
 *
 * What must hold, whatever the program does:
 *   - no memory is touched but the lanes and the store, and of these only what is one's own to write;
 *   - a look finds one lane, at most, whose state counts.
 * And for an emitter that kept the contract:
 *   - at each look the open calls are those of the twin;
 *   - in the end each total is the twin's. If its process was killed, the event in hand and what waited of
 *     each series came wholly or not at all;
 *   - every call that began and did not end is counted as abandoned, once.
 */
#define _GNU_SOURCE
#include "emitter.h"
#include "emit/move.h"
#include "drain/guard.h"
#include "held.h"
#include "mischief.h"
#include "traced.h"

#include <setjmp.h>

#define LANES 4u
#define NO_LANE LANES
#define IDS 64u
#define STORES_MAX 100000u

enum actor { NOBODY, COLLECTOR, EMITTER };

static struct {
    struct store store;
    struct held lanes[LANES];
    uint32_t before[LANES]; /* the lane that one replaces, or NO_LANE: the collector's own note */
    uint64_t moved_to[LANES]; /* as of the last pass */
    bool is_gone[LANES];
    bool is_held[LANES];    /* by the emitter */
    uint32_t made;
    uint32_t at; /* the emitter's lane */
    struct emitter emitter;
    struct shm_producer waiting;
    struct memory private;
    struct shm_series *by_id[2][IDS];
    uint32_t generation;
    bool honest, is_dead;
    /* The twin: emitter.totals is all that was counted; of it this waits, and this is in doubt. */
    struct totals waits[TYPES][2], doubtful[TYPES][2];
    bool is_settling; /* it died in that: of what waits each series may have come */
} node;

static struct {
    enum actor actor;
    uint32_t stores, stores_left; /* until a kill; 0: none */
    jmp_buf killed;
} now;

/* ---- between the instructions of the core ------------------------------------------------ */

void on_load(unsigned char *at, size_t n_bytes)
{
    (void)at;
    (void)n_bytes;
}

void on_store(unsigned char *at, size_t n_bytes)
{
    const unsigned char *store = (const unsigned char *)&node.store;
    bool shared = at >= store && at < store + sizeof node.store;
    (void)n_bytes;
    if (now.actor == NOBODY)
        return;
    MUST(!shared || now.actor == COLLECTOR, "an emitter wrote into the store");
    for (uint32_t i = 0; i < node.made; i++) {
        const unsigned char *ledger = (const unsigned char *)&node.lanes[i].ledger;
        bool is_ledger = at >= ledger && at < ledger + sizeof node.lanes[i].ledger;
        bool is_lane = memory_has(&node.lanes[i].memory, at);
        MUST(!is_ledger || now.actor == COLLECTOR, "an emitter wrote into a ledger");
        MUST(!is_lane || now.actor == COLLECTOR || node.is_held[i],
             "an emitter wrote into a lane that it has left, or never had");
        shared |= is_ledger || is_lane;
    }
    MUST(++now.stores < STORES_MAX, "this has no end");
    if (shared && now.stores_left > 0 && --now.stores_left == 0)
        longjmp(now.killed, 1);
}

/* What a kill leaves of a process is memory; guards are the process's own. */
static void forget_guards(void)
{
    struct shm_guard none = {.outer = NULL};
    shm_guard_leave(&none);
}

/* ---- the collector ----------------------------------------------------------------------- */

static bool is_there(uint32_t i)
{
    return i < node.made && !node.is_gone[i] && node.lanes[i].is_there;
}

static bool names(uint32_t before, uint32_t i)
{
    return is_there(before) &&
           shm_contained_moved_to(&node.lanes[before].drain) == node.lanes[i].number;
}

static bool has_arrived(uint32_t i)
{
    return node.before[i] == NO_LANE ||
           atomic_load(&node.lanes[i].ledger.counts[SHM_REPORT_ARRIVED]) != 0;
}

static bool has_begun(uint32_t i)
{
    return has_arrived(i) || names(node.before[i], i);
}

static void drain(uint32_t i)
{
    if (is_there(i) && has_begun(i))
        held_drain(&node.lanes[i]);
}

static void drain_all(void)
{
    for (uint32_t i = 0; i < node.made; i++)
        node.moved_to[i] = is_there(i) ? shm_contained_moved_to(&node.lanes[i].drain) : 0;
    for (uint32_t i = 0; i < node.made; i++)
        drain(i);
}

/* Whether the state of a lane counts, as of the last pass. */
static bool has_state(uint32_t i)
{
    uint32_t before = node.before[i];
    if (!is_there(i) || !node.lanes[i].is_open || node.moved_to[i] != 0)
        return false;
    return has_arrived(i) ||
           (is_there(before) && node.moved_to[before] == node.lanes[i].number);
}

static void retire(uint32_t i)
{
    uint32_t before = node.before[i];
    if (before != NO_LANE && names(before, i))
        retire(before);
    uint64_t moved_to = shm_contained_moved_to(&node.lanes[i].drain);
    if (moved_to == 0) {
        if (has_arrived(i))
            held_retire(&node.lanes[i]);
    } else {
        drain(i);
        for (uint32_t to = 0; to < node.made; to++)
            if (is_there(to) && node.before[to] == i && node.lanes[to].number == moved_to) {
                drain(to);
                shm_contained_report(&node.lanes[to].drain, SHM_REPORT_ARRIVED, 1, SHM_NO_CELL);
            }
    }
    node.is_gone[i] = true;
}

/* A tick: a pass, then what is nobody's. */
static void tick(void)
{
    drain_all();
    for (uint32_t i = 0; i < node.made; i++)
        if (is_there(i) &&
            (shm_contained_moved_to(&node.lanes[i].drain) != 0 || !node.is_held[i]))
            retire(i);
}

static void restart(void)
{
    for (uint32_t i = 0; i < node.made; i++) {
        held_close(&node.lanes[i]);
        node.moved_to[i] = 0;
        if (!node.is_gone[i])
            held_open(&node.lanes[i]);
    }
    drain_all();
}

static void collect(void (*work)(void), uint32_t n)
{
    now.actor = COLLECTOR;
    now.stores = 0;
    now.stores_left = n;
    if (setjmp(now.killed) != 0) {
        forget_guards();
        now.stores_left = 0;
        restart();
    } else {
        work();
    }
    now.stores_left = 0;
    now.actor = NOBODY;
}

/* ---- the twin ---------------------------------------------------------------------------- */

static void add(struct totals *into, const struct totals *one, double sign)
{
    into->value += sign * one->value;
    for (size_t i = 0; i < sizeof one->cells / sizeof one->cells[0]; i++)
        into->cells[i] += sign > 0.0 ? one->cells[i] : -one->cells[i];
}

static void add_all(struct totals (*into)[2], struct totals (*one)[2], double sign)
{
    for (int type = 0; type < TYPES; type++)
        for (int i = 0; i < 2 && type != GAUGE; i++)
            add(&into[type][i], &one[type][i], sign);
}

/* What the store has of one type, over all lanes and series. */
static struct totals stored(int type)
{
    static const uint16_t types[TYPES] = {SHM_TYPE_COUNTER, SHM_TYPE_GAUGE, SHM_TYPE_HISTOGRAM,
                                          SHM_TYPE_CALLS, SHM_TYPE_EXCEPTION};
    struct totals found = {0};
    for (uint32_t i = 0; i < node.made; i++)
        for (uint32_t id = 1; id < HELD_IDS; id++) {
            const struct held_series *series = &node.lanes[i].series[id];
            const uint64_t *cells = &node.store.cells[series->cell];
            if (series->type != types[type] || series->cell == 0)
                continue;
            uint32_t first = type == CALLS ? SHM_CALLS_BUCKETS : SHM_HISTOGRAM_BUCKETS;
            const uint64_t *fine = cells + first, *coarse = fine + EMITTER_BOUNDS + 2;
            if (type != CALLS)
                found.value += shm_value(cells[0]);
            for (uint32_t cell = 0; type == CALLS && cell < first; cell++)
                found.cells[cell] += cells[cell];
            if (type != CALLS && type != HISTOGRAM)
                continue;
            found.cells[first] += fine[0] + coarse[0];
            found.cells[first + 1] += fine[1] + fine[2] + coarse[1];
            found.cells[first + 2] += fine[3] + coarse[2];
        }
    return found;
}

/* What is sure of one type, with what is in doubt or without. */
static struct totals wanted(int type, bool with_doubtful)
{
    struct totals sum = {0};
    for (int i = 0; i < 2; i++) {
        add(&sum, &node.emitter.totals[type][i], 1.0);
        add(&sum, &node.waits[type][i], -1.0);
        if (!with_doubtful)
            add(&sum, &node.doubtful[type][i], -1.0);
    }
    return sum;
}

static bool is_same(struct totals one, struct totals other)
{
    return one.value == other.value && memcmp(one.cells, other.cells, sizeof one.cells) == 0;
}

static bool is_exact(bool with_doubtful)
{
    bool exact = true;
    for (int type = 0; type < TYPES; type++)
        exact &= type == GAUGE || is_same(stored(type), wanted(type, with_doubtful));
    return exact;
}

/* After a kill in the middle of settling: of each series that waited all has come or nothing, but for
 * starts of open calls, which come one by one. */
static bool is_settled_in_part(void)
{
    for (int type = 0; type < TYPES; type++) {
        bool found = type == GAUGE;
        for (uint32_t came = 0; came < 4 && !found; came++) {
            struct totals sum = wanted(type, true), has = stored(type);
            for (int i = 0; i < 2; i++)
                if (came >> i & 1u)
                    add(&sum, &node.waits[type][i], 1.0);
            if (type == CALLS)
                sum.cells[SHM_CELL_STARTS] = has.cells[SHM_CELL_STARTS];
            found = is_same(has, sum);
        }
        if (!found)
            return false;
    }
    return true;
}

/* ---- the emitter ------------------------------------------------------------------------- */

static struct shm_producer *begin_waiting(struct shm_producer *p)
{
    static const struct shm_lane_sizes sizes = {0, 4096, 256, 10};
    struct shm_lane lane;
    memset(node.private.base, 0, node.private.size_bytes);
    shm_lane_format(node.private.base, 0, &sizes);
    MUST(shm_lane_attach(node.private.base, node.private.size_bytes, &lane) == SHM_ATTACH_OK,
         "no private memory");
    memset(&node.waiting, 0, sizeof node.waiting);
    node.waiting.side = 1 - p->side;
    node.waiting.by_id = node.by_id[node.waiting.side];
    node.waiting.n_by_id = IDS;
    memset(node.waiting.by_id, 0, sizeof node.by_id[0]);
    shm_producer_begin(&node.waiting, &lane, ++node.generation);
    return &node.waiting;
}

static void die(void)
{
    node.is_dead = true;
    memset(node.is_held, 0, sizeof node.is_held);
}

/* How many events wait. */
static uint64_t waiting_events(void)
{
    const struct shm_producer *waiting = node.emitter.producer.waiting;
    if (!waiting)
        return 0;
    return atomic_load(&waiting->lane.header->producer.spilled) +
           atomic_load(&waiting->lane.header->producer.added);
}

static void emit(struct program *program, uint32_t n)
{
    uint8_t raw = 0;
    static struct totals at_first[TYPES][2];
    take_bytes(program, &raw, 1);
    struct event event = {raw & 3u, raw >> 2 & 1u, raw >> 3 & 3u, raw >> 5 & 1u, false};
    uint64_t waited = waiting_events();
    memcpy(at_first, node.emitter.totals, sizeof at_first);
    emitter_now_ns += UINT64_C(1) << (raw >> 6) * 10;
    emitter_expect(&node.emitter, &event);
    memset(node.doubtful, 0, sizeof node.doubtful);
    add_all(node.doubtful, node.emitter.totals, 1.0);
    add_all(node.doubtful, at_first, -1.0);
    now.actor = EMITTER;
    now.stores = 0;
    now.stores_left = n;
    if (setjmp(now.killed) == 0) {
        emitter_emit(&node.emitter, &event);
        if (waiting_events() != waited)
            add_all(node.waits, node.doubtful, 1.0);
        memset(node.doubtful, 0, sizeof node.doubtful);
    }
    if (n > 0)
        die();
    now.stores_left = 0;
    now.actor = NOBODY;
}

/* Makes a lane, of a size of the program's choosing. */
static uint32_t make(struct program *program)
{
    uint32_t i = node.made;
    uint32_t shape = take_below(program, 256);
    struct shm_lane_sizes sizes = {shape & 3 ? 4 : 0, 320 + shape / 16 * 64 * (i + 1),
                                   24 + shape / 4 % 4 * 24 + 40 * i, 10};
    struct held *held = &node.lanes[i];
    if (!held->memory.base)
        memory_make(&held->memory, 5);
    memset(held->memory.base, 0, held->memory.size_bytes);
    node.before[i] = i == 0 ? NO_LANE : node.at;
    shm_lane_format_after(held->memory.base, i + 1, i == 0 ? 0 : node.at + 1, &sizes);
    held->store = &node.store;
    held->number = (uint8_t)(i + 1);
    memset(&held->ledger, 0, sizeof held->ledger);
    memset(held->series, 0, sizeof held->series);
    memset(held->gauges, 0, sizeof held->gauges);
    held->abandoned = 0;
    node.is_gone[i] = false;
    node.moved_to[i] = 0;
    node.made++;
    held_open(held);
    return i;
}

/* Goes on in another lane; killed before the n-th store of that, unless n is 0. */
static void move(struct program *program, uint32_t n)
{
    struct shm_producer *p = &node.emitter.producer;
    struct shm_lane to;
    uint32_t i = make(program);
    MUST(shm_lane_attach(node.lanes[i].memory.base, node.lanes[i].memory.size_bytes, &to) ==
             SHM_ATTACH_OK,
         "no lane");
    node.is_held[i] = true;
    now.actor = EMITTER;
    now.stores = 0;
    now.stores_left = n;
    uint32_t from = node.at;
    if (setjmp(now.killed) == 0) {
        p->waiting = p->waiting ? p->waiting : begin_waiting(p);
        if (shm_producer_replace(p, p->waiting, &to)) {
            node.is_held[node.at] = false;
            node.at = i;
        } else {
            node.is_held[i] = false; /* too small */
        }
    }
    now.stores_left = 0;
    now.actor = NOBODY;
    if (names(from, i))
        memset(node.waits, 0, sizeof node.waits);
    if (n > 0)
        die();
}

/* There is no larger lane; killed as above. */
static void settle(uint32_t n)
{
    struct shm_producer *p = &node.emitter.producer;
    if (!p->waiting)
        return;
    now.actor = EMITTER;
    now.stores = 0;
    now.stores_left = n;
    node.is_settling = true;
    if (setjmp(now.killed) == 0) {
        shm_settle(p, p->waiting);
        p->waiting = NULL;
        shm_be_content(p);
        memset(node.waits, 0, sizeof node.waits);
        node.is_settling = false;
    }
    now.stores_left = 0;
    now.actor = NOBODY;
    if (n > 0)
        die();
}

/* ---- what was counted -------------------------------------------------------------------- */

/* Whether a lane had no room, not even for overflow series: that is counted, and the twin is of no use. */
static bool has_dropped(void)
{
    uint64_t dropped = 0;
    for (uint32_t i = 0; i < node.made; i++) {
        struct shm_header *header = (struct shm_header *)(void *)node.lanes[i].memory.base;
        dropped += atomic_load(&header->producer.dropped[SHM_DROP_LANE_FULL]);
    }
    return dropped > 0;
}

static void look(void)
{
    struct shm_open_call_copy calls[16];
    struct totals sure = wanted(CALLS, false);
    uint32_t n = 0, shown = 0;
    drain_all();
    for (uint32_t i = 0; i < node.made; i++)
        if (has_state(i)) {
            shown++;
            n += held_look(&node.lanes[i], calls, 16);
        }
    MUST(shown <= 1 || !node.honest, "the state of two lanes counts");
    if (!node.honest || node.is_dead || has_dropped())
        return;
    MUST(shown == 1, "the state of no lane counts");
    MUST(n == sure.cells[SHM_CELL_STARTS] - sure.cells[SHM_CELL_ENDS],
         "the open calls are not those of the twin");
}

static void check(void)
{
    store_check(&node.store);
    if (!node.honest || has_dropped())
        return;
    for (uint32_t i = 0; i < node.made; i++)
        MUST(node.is_gone[i], "a lane of a dead process is still there");
    MUST(is_exact(true) || is_exact(false) || (node.is_settling && is_settled_in_part()),
         "a process that kept the contract is not exact");
    struct totals calls = stored(CALLS);
    double abandoned = 0.0;
    for (uint32_t i = 0; i < node.made; i++)
        if (node.lanes[i].abandoned)
            abandoned += shm_value(node.store.cells[node.lanes[i].abandoned]);
    MUST(abandoned == (double)(calls.cells[SHM_CELL_STARTS] - calls.cells[SHM_CELL_ENDS]),
         "the calls that never ended are not those that were given up");
}

/* ---- the program ------------------------------------------------------------------------- */

static void begin(struct program *program)
{
    struct shm_lane lane;
    now.actor = NOBODY;
    now.stores_left = 0;
    if (!node.private.base)
        memory_make(&node.private, 5);
    store_begin(&node.store);
    memset(node.waits, 0, sizeof node.waits);
    memset(node.doubtful, 0, sizeof node.doubtful);
    memset(node.is_held, 0, sizeof node.is_held);
    memset(node.by_id, 0, sizeof node.by_id);
    node.made = node.at = 0;
    node.generation = 1;
    node.honest = true;
    node.is_dead = node.is_settling = false;
    make(program);
    node.is_held[0] = true;
    MUST(shm_lane_attach(node.lanes[0].memory.base, node.lanes[0].memory.size_bytes, &lane) ==
             SHM_ATTACH_OK,
         "no lane");
    memset(&node.emitter.producer, 0, sizeof node.emitter.producer);
    node.emitter.producer.wait = begin_waiting;
    node.emitter.producer.by_id = node.by_id[0];
    node.emitter.producer.n_by_id = IDS;
    emitter_begin(&node.emitter, &lane);
}

static void step(struct program *program)
{
    uint32_t what = take_below(program, 16);
    uint32_t n = what >= 8 && what < 12 ? 1 + take_below(program, 256) : 0;
    bool lives = !node.is_dead;
    switch (what) {
    case 4:
        collect(tick, 0);
        return;
    case 5:
        collect(tick, 1 + take_below(program, 256));
        return;
    case 6:
        collect(look, 0);
        return;
    case 7:
        collect(restart, take_below(program, 64));
        return;
    case 8:
        if (lives)
            emit(program, n);
        return;
    case 9:
        if (lives)
            settle(n > 128 ? n - 128 : 0);
        return;
    case 10:
    case 11:
        if (lives && node.made < LANES)
            move(program, n > 128 ? n - 128 : 0);
        return;
    case 12:
        if (node.made < LANES && lives)
            make(program); /* and it is lost on its way */
        return;
    case 13:
        if (lives && take_below(program, 4) == 0) {
            node.honest = false;
            patch(program, &node.emitter, &node.lanes[node.at].memory);
        }
        return;
    case 14:
        if (lives && take_below(program, 4) == 0) {
            struct shm_header *header = (void *)node.lanes[take_below(program, 4) % node.made].memory.base;
            node.honest = false;
            atomic_store(&header->producer.moved_to, take_value(program, node.made));
        }
        return;
    default:
        if (lives)
            emit(program, 0);
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
    die();
    collect(tick, n_bytes % 64);
    collect(tick, 0);
    check();
    for (uint32_t i = 0; i < node.made; i++)
        held_close(&node.lanes[i]);
    return 0;
}
