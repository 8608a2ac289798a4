/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the core does for one event, on either side of a lane, without Python:
 *
 *   emit    an event into a ring that has room; an add into its cell
 *   spill   the same event into totals, because the ring is full
 *   drain   the event's records, checked, with undo entry, into the store's cells; of adds, their totals
 *
 * core add|observe|call EVENTS   prints the nanoseconds per event of emit, drain and (but for an add,
 * which finds no ring full) spill. A call is two records, start and end. Each side has a function of its
 * own, by whose name callgrind counts.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane/clock.h"
#include "drain/drain.h"
#include "emit/emit.h"
#include "drain/recovery.h"

#define RECORDS 4096u
#define BURST 1024u  /* two records each, at most: less than half a ring, so nobody is woken */
#define SERIES 64u   /* label sets in turn: not always the same cells */
#define BOUNDS 23u
#define NATIVE 225u /* bounds of native buckets: see shmetrics/store/exponential.py */
#define CELLS_PER_SERIES 280u
#define MEASURED __attribute__((noinline, noclone))

static struct shm_producer producer;
static struct shm_family family;
static struct shm_series series[SERIES];
static struct shm_undo undo;
static struct shm_ledger ledger;
static uint64_t cells[(SERIES + 1) * CELLS_PER_SERIES]; /* the last ones: the collector's own */
static double bounds[BOUNDS];
static double fine[BOUNDS + NATIVE + 1];
static struct shm_scale scale;
static uint16_t type;

static void record(uint32_t i)
{
    struct shm_call call;
    struct shm_series *s = &series[i % SERIES];
    switch (type) {
    case SHM_TYPE_COUNTER:
        shm_emit_add(&producer, s, 1.0);
        break;
    case SHM_TYPE_HISTOGRAM:
        shm_emit_observe(&producer, s, bounds[i % BOUNDS]);
        break;
    default:
        shm_emit_call_start(&producer, s, &call);
        shm_emit_call_end(&producer, s, &call, NULL);
    }
}

MEASURED void measured_emit(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        record(i);
}

MEASURED void measured_spill(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        record(i);
}

MEASURED enum shm_drained measured_drain(struct shm_drain *drain)
{
    return shm_drain_pass(drain);
}

static void fail(const char *what)
{
    fprintf(stderr, "core: %s\n", what);
    exit(1);
}

/* One pass, with whatever binding it takes. */
static void drain_all(struct shm_drain *drain)
{
    static unsigned char buffer[SHM_ENTRY_MAX_BYTES];
    struct shm_entry entry;
    enum shm_drained found;
    while ((found = shm_drain_pass(drain)) == SHM_DRAIN_ENTRIES)
        while (shm_drain_entry(drain, &entry, buffer) == SHM_DRAINED && entry.size_bytes)
            if (entry.kind == SHM_ENTRY_SERIES)
                shm_drain_bind(drain, type, family.n_bounds, &scale,
                               &cells[(entry.id - 1) * CELLS_PER_SERIES]);
    if (found != SHM_DRAINED)
        fail("the lane broke");
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* As the collector has them: eight bounds to a doubling, and the family's own. */
static void make_scale(void)
{
    for (int i = 0; i < (int)NATIVE; i++)
        fine[i] = exp2(i / 8.0 - 18.0);
    memcpy(fine + NATIVE, bounds, sizeof bounds);
    qsort(fine, NATIVE + BOUNDS, sizeof fine[0], by_size);
    fine[NATIVE + BOUNDS] = INFINITY;
    shm_scale_init(&scale, fine, NATIVE + BOUNDS, bounds, BOUNDS);
}

static void open_node(struct shm_drain *drain)
{
    static const struct shm_lane_sizes sizes = {RECORDS, 65536, 8192, 64};
    static const unsigned char text[8];
    static struct {
        double bounds[BOUNDS];
        uint32_t strings[6]; /* five of them, empty: the last one names a label */
    } family_text = {.strings = {5}};
    struct shm_lane lane;
    size_t lane_bytes = shm_lane_bytes(&sizes);
    void *memory = aligned_alloc(4096, (lane_bytes + 4095) & ~(size_t)4095);
    if (!memory)
        fail("no memory");
    memset(memory, 0, lane_bytes);
    shm_lane_format(memory, 3, &sizes);
    if (shm_lane_attach(memory, lane_bytes, &lane) != SHM_ATTACH_OK)
        fail("no lane");
    shm_producer_begin(&producer, &lane, 1);
    for (uint32_t i = 0; i < BOUNDS; i++)
        bounds[i] = 0.0001 * (double)(1u << i);
    make_scale();
    family = (struct shm_family){
        .type = type, .n_bounds = type == SHM_TYPE_COUNTER ? 0 : BOUNDS, .bounds = bounds};
    memcpy(family_text.bounds, bounds, sizeof bounds);
    uint32_t bounds_bytes = family.n_bounds * (uint32_t)sizeof bounds[0];
    family.text = (const unsigned char *)family_text.strings - bounds_bytes;
    family.text_bytes = bounds_bytes + (uint32_t)sizeof family_text.strings;
    for (uint32_t i = 0; i < SERIES; i++)
        series[i] = (struct shm_series){.type = type,
                                        .n_bounds = family.n_bounds,
                                        .bounds = bounds,
                                        .family = &family,
                                        .text = text,
                                        .text_bytes = sizeof text};
    if (shm_drain_open(drain, memory, lane_bytes, &ledger, &undo, cells,
                       sizeof cells / sizeof cells[0]) != SHM_ATTACH_OK ||
        !shm_recover(drain))
        fail("no lane to drain");
    for (uint32_t kind = 0; kind < SHM_KINDS; kind++)
        drain->tally.events[kind] = &cells[SERIES * CELLS_PER_SERIES + kind];
    measured_emit(0);
    for (uint32_t i = 0; i < SERIES; i++) /* first use: every series gets its id */
        record(i);
    drain_all(drain);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint16_t type;
    } operations[] = {
        {"add", SHM_TYPE_COUNTER}, {"observe", SHM_TYPE_HISTOGRAM}, {"call", SHM_TYPE_CALLS}};
    uint64_t events = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    for (size_t i = 0; argc == 3 && i < sizeof operations / sizeof operations[0]; i++)
        if (strcmp(argv[1], operations[i].name) == 0)
            type = operations[i].type;
    if (type == SHM_TYPE_NONE || events < BURST || events % BURST != 0) {
        fprintf(stderr, "usage: core add|observe|call EVENTS, a multiple of %u\n", BURST);
        return 2;
    }

    struct shm_drain drain;
    open_node(&drain);
    uint64_t emit_ns = 0, drain_ns = 0;
    for (uint64_t done = 0; done < events; done += BURST) {
        uint64_t begun_ns = shm_clock_ns();
        measured_emit(BURST);
        uint64_t emitted_ns = shm_clock_ns();
        if (measured_drain(&drain) != SHM_DRAINED)
            fail("the lane broke");
        drain_ns += shm_clock_ns() - emitted_ns;
        emit_ns += emitted_ns - begun_ns;
    }
    double n = (double)events;
    printf("%.3f %.3f", (double)emit_ns / n, (double)drain_ns / n);
    if (type == SHM_TYPE_COUNTER)
        return 0;
    while (shm_has_slot(&producer)) /* fill the ring */
        record(0);
    uint64_t begun_ns = shm_clock_ns();
    for (uint64_t done = 0; done < events; done += BURST)
        measured_spill(BURST);
    uint64_t spill_ns = shm_clock_ns() - begun_ns;
    drain_all(&drain);
    printf(" %.3f", (double)spill_ns / n);
    return 0;
}
