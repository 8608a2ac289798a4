/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads on one lane: one records as fast as it can, one drains. The ring is small, so that
 * it is full, empty and half full all the time. Ends with exact totals or a message and status 1.
 * To be run under ThreadSanitizer, which then exits with its own status if it saw a race.
 */
#include "shim.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define EVENTS 60000u
#define N_BOUNDS 3u

static const double bounds[N_BOUNDS] = {0.25, 1.0, 4.0};
static const double fine[] = {0.25, 1.0, 2.0, 4.0, INFINITY};
#define N_FINE 4u
static struct shm_scale scale;
static const unsigned char no_text[16];

struct kind {
    struct shm_family family;
    struct shm_series series;
    uint64_t *cells;
};

static struct shim *shim;
static struct kind counter = {{.type = SHM_TYPE_COUNTER}, {0}, NULL};
static struct kind histogram = {
    {.type = SHM_TYPE_HISTOGRAM, .n_bounds = N_BOUNDS, .bounds = bounds}, {0}, NULL};
static struct kind calls = {
    {.type = SHM_TYPE_CALLS, .n_bounds = N_BOUNDS, .bounds = bounds}, {0}, NULL};
static struct kind gauge = {{.type = SHM_TYPE_GAUGE}, {0}, NULL};
static struct kind *const kinds[] = {&counter, &histogram, &calls, &gauge};
static atomic_bool finished;

static void prepare(struct kind *kind)
{
    kind->family.text = (const unsigned char *)bounds;
    kind->family.text_bytes = kind->family.n_bounds * (uint32_t)sizeof bounds[0];
    kind->series.type = kind->family.type;
    kind->series.n_bounds = kind->family.n_bounds;
    kind->series.bounds = kind->family.bounds;
    kind->series.family = &kind->family;
    kind->series.text = no_text;
    kind->series.text_bytes = sizeof no_text;
}

static void *produce(void *unused)
{
    (void)unused;
    struct shm_producer *producer = &shim->producer;
    for (uint32_t i = 0; i < EVENTS; i++) {
        struct shm_call call;
        shm_emit_add(producer, &counter.series, 0.5);
        shm_emit_call_start(producer, &calls.series, &call);
        shm_emit_observe(producer, &histogram.series, (double)(i % 8));
        shm_emit_gauge(producer, &gauge.series, (double)i, false, false);
        shm_emit_call_end(producer, &calls.series, &call, NULL);
    }
    atomic_store(&finished, true);
    return NULL;
}

static void bind(uint16_t *family_type)
{
    struct shm_entry entry;
    static unsigned char buffer[SHM_ENTRY_MAX_BYTES];
    while (shm_drain_entry(&shim->drain, &entry, buffer) == SHM_DRAINED && entry.size_bytes) {
        if (entry.kind == SHM_ENTRY_FAMILY) {
            *family_type = entry.type;
            continue;
        }
        if (entry.kind == SHM_ENTRY_CELLS)
            continue;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            if (kinds[i]->family.type == *family_type)
                shm_drain_bind(&shim->drain, *family_type, kinds[i]->family.n_bounds, &scale,
                               kinds[i]->cells);
    }
}

static void drain(uint16_t *family_type)
{
    enum shm_drained found;
    while ((found = shm_drain_pass(&shim->drain)) == SHM_DRAIN_ENTRIES)
        bind(family_type);
    if (found != SHM_DRAINED) {
        fprintf(stderr, "the lane broke: %d\n", (int)found);
        exit(1);
    }
    struct shm_open_call_copy open[4];
    struct shm_gauge_copy gauges[4];
    shm_drain_calls(&shim->drain, open, 4);
    shm_drain_gauges(&shim->drain, 1, gauges, 4);
}

static void expect(const char *what, double found, double wanted)
{
    if (found != wanted) {
        fprintf(stderr, "%s: %g, not %g\n", what, found, wanted);
        exit(1);
    }
}

int main(void)
{
    shm_scale_init(&scale, fine, N_FINE, bounds, N_BOUNDS);
    for (uint32_t records = 2; records <= 128; records *= 8) {
        uint16_t family_type = 0;
        pthread_t thread;
        shim = shim_new(records, 4096, 64, 4);
        atomic_store(&finished, false);
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            kinds[i]->family.defined[0].generation = kinds[i]->series.generation = 0;
            kinds[i]->cells = shim->cells + 16 * i;
            prepare(kinds[i]);
        }
        pthread_create(&thread, NULL, produce, NULL);
        while (!atomic_load(&finished))
            drain(&family_type);
        pthread_join(thread, NULL);
        drain(&family_type);
        uint64_t observed = 0;
        for (uint32_t i = 0; i < shm_scale_counts(&scale); i++)
            observed += histogram.cells[SHM_HISTOGRAM_BUCKETS + i];
        expect("counter", shm_value(counter.cells[0]), EVENTS * 0.5);
        expect("observations", (double)observed, EVENTS);
        expect("sum", shm_value(histogram.cells[SHM_CELL_SUM]), EVENTS / 8 * 28.0);
        expect("starts", (double)calls.cells[SHM_CELL_STARTS], EVENTS);
        expect("ends", (double)calls.cells[SHM_CELL_ENDS], EVENTS);
        shim_free(shim);
    }
    puts("exact");
    return 0;
}
