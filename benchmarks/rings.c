/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why every process has a lane of its own: the cost of one 64-byte record for its producer,
 *
 *   lane    each producer has a ring, the one of csrc/lane/ring.h: fill, then one release store
 *   shared  all producers have one ring: claim a slot with fetch-add, fill, mark it committed
 *
 * rings lane|shared PRODUCERS EVENTS   prints the seconds that the slowest producer took for EVENTS.
 *
 * There is no consumer. A lane's producer stands in for it whenever it has to look where it is, so
 * that the ring never stays full; the shared ring is not even checked for being full.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane/clock.h"
#include "lane/ring.h"

#define RECORDS 4096u
#define MAX_PRODUCERS 64

struct shared_slot {
    struct shm_record record;
    _Alignas(64) _Atomic uint64_t committed; /* on a line of its own, as kind to it as can be */
};

struct shared_ring {
    _Alignas(128) _Atomic uint64_t claimed;
    _Alignas(128) struct shared_slot slots[RECORDS];
};

struct lane {
    _Alignas(128) struct shm_header header;
    struct shm_record slots[RECORDS];
};

struct producer {
    pthread_t thread;
    struct lane *lane; /* NULL: use the shared ring */
    uint64_t took_ns;
};

static struct shared_ring shared;
static pthread_barrier_t start;
static uint64_t events;

static void fill(struct shm_record *record, uint64_t i)
{
    record->kind = SHM_KIND_ADD;
    record->flags = 0;
    record->series = (uint32_t)(i & 7u) + 1;
    record->value = 1.0;
}

static void run_lane(struct lane *lane)
{
    struct shm_ring ring;
    shm_ring_open(&ring, lane->slots, RECORDS, &lane->header);
    for (uint64_t i = 0; i < events; i++) {
        while (!shm_ring_has_slot(&ring)) {
            atomic_store_explicit(ring.shared_tail, ring.head, memory_order_release);
            (void)shm_ring_refresh(&ring);
        }
        fill(shm_ring_next(&ring), i);
        shm_ring_publish(&ring);
    }
}

static void run_shared(void)
{
    for (uint64_t i = 0; i < events; i++) {
        uint64_t at = atomic_fetch_add_explicit(&shared.claimed, 1, memory_order_relaxed);
        struct shared_slot *slot = &shared.slots[at & (RECORDS - 1)];
        fill(&slot->record, i);
        atomic_store_explicit(&slot->committed, at + 1, memory_order_release);
    }
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    pthread_barrier_wait(&start);
    uint64_t begun_ns = shm_clock_ns();
    if (producer->lane)
        run_lane(producer->lane);
    else
        run_shared();
    producer->took_ns = shm_clock_ns() - begun_ns;
    return NULL;
}

int main(int argc, char **argv)
{
    static struct producer producers[MAX_PRODUCERS];
    int n = argc == 4 ? atoi(argv[2]) : 0;
    events = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
    if (n < 1 || n > MAX_PRODUCERS || events == 0) {
        fprintf(stderr, "usage: rings lane|shared PRODUCERS EVENTS\n");
        return 2;
    }
    int one_each = strcmp(argv[1], "lane") == 0;
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        if (one_each) {
            producers[i].lane = aligned_alloc(128, sizeof(struct lane));
            if (!producers[i].lane)
                return 1;
            memset(producers[i].lane, 0, sizeof(struct lane));
        }
        if (pthread_create(&producers[i].thread, NULL, produce, &producers[i]) != 0)
            return 1;
    }
    uint64_t slowest_ns = 0;
    for (int i = 0; i < n; i++) {
        pthread_join(producers[i].thread, NULL);
        if (producers[i].took_ns > slowest_ns)
            slowest_ns = producers[i].took_ns;
        free(producers[i].lane);
    }
    printf("%.9f\n", (double)slowest_ns / 1e9);
    return 0;
}
