/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests call through cffi: the core's own inline functions, over a lane in plain memory. */
#include "shim.h"

#include <stdlib.h>

static unsigned char *new_lane(const struct shm_lane_sizes *sizes, struct shm_lane *lane)
{
    uint64_t size_bytes = shm_lane_bytes(sizes);
    unsigned char *memory = aligned_alloc(4096, (size_bytes + 4095) & ~UINT64_C(4095));
    memset(memory, 0, size_bytes);
    shm_lane_format(memory, 7, sizes);
    shm_lane_attach(memory, size_bytes, lane);
    return memory;
}

static void open_drain(struct shim *shim, unsigned char *memory, uint64_t size_bytes)
{
    shim->memory = memory;
    shim->size_bytes = size_bytes;
    shm_drain_open(&shim->drain, memory, size_bytes, &shim->ledger, &shim->undo, shim->cells,
                   SHIM_CELLS);
}

struct shim *shim_new(uint32_t records, uint32_t dictionary_bytes, uint32_t cells, uint32_t calls)
{
    struct shm_lane_sizes sizes = {records, dictionary_bytes, cells, calls};
    struct shm_lane lane;
    struct shim *shim = calloc(1, sizeof *shim);
    unsigned char *memory = new_lane(&sizes, &lane);
    shm_producer_begin(&shim->producer, &lane, 1);
    shim->cells = calloc(SHIM_CELLS, sizeof *shim->cells);
    open_drain(shim, memory, lane.size_bytes);
    return shim;
}

bool shim_move(struct shim *shim, uint32_t records, uint32_t dictionary_bytes, uint32_t cells,
               uint32_t calls)
{
    struct shm_lane_sizes sizes = {records, dictionary_bytes, cells, calls};
    struct shm_lane lane;
    unsigned char *memory = new_lane(&sizes, &lane);
    if (!shm_producer_move(&shim->producer, &lane)) {
        free(memory);
        return false;
    }
    shm_drain_close(&shim->drain);
    free(shim->memory);
    open_drain(shim, memory, lane.size_bytes);
    return true;
}

#define SHIM_IDS 4096u

static void forget_waiting(struct shim *shim)
{
    if (shim->waiting) {
        free(shim->waiting->lane.header);
        free(shim->waiting);
    }
    shim->waiting = NULL;
}

static struct shm_producer *begin_waiting(struct shm_producer *producer)
{
    static const struct shm_lane_sizes sizes = {0, 1u << 20, 1u << 16, SHM_MAX_OPEN_CALLS};
    struct shim *shim =
        (struct shim *)(void *)((unsigned char *)producer - offsetof(struct shim, producer));
    struct shm_lane lane;
    forget_waiting(shim);
    new_lane(&sizes, &lane);
    shim->waiting = calloc(1, sizeof *shim->waiting);
    shim->waiting->side = 1 - producer->side;
    shim->waiting->by_id = calloc(SHIM_IDS, sizeof *shim->waiting->by_id);
    shim->waiting->n_by_id = SHIM_IDS;
    shm_producer_begin(shim->waiting, &lane, ++shim->generation);
    return shim->waiting;
}

void shim_may_grow(struct shim *shim)
{
    shim->generation = 1;
    shim->producer.by_id = calloc(SHIM_IDS, sizeof *shim->producer.by_id);
    shim->producer.n_by_id = SHIM_IDS;
    shim->producer.wait = begin_waiting;
}

struct shim *shim_grow(struct shim *shim, uint32_t records, uint32_t dictionary_bytes,
                       uint32_t cells, uint32_t calls)
{
    struct shm_lane_sizes sizes = {records, dictionary_bytes, cells, calls};
    struct shm_producer *producer = &shim->producer;
    struct shm_series **by_id = producer->by_id;
    struct shm_lane lane;
    unsigned char *memory = new_lane(&sizes, &lane);
    ((struct shm_header *)(void *)memory)->identity.predecessor = 7;
    struct shm_producer *waiting =
        producer->waiting ? producer->waiting : begin_waiting(producer);
    producer->waiting = waiting;
    if (!shm_producer_replace(producer, waiting, &lane)) {
        free(memory);
        return NULL;
    }
    forget_waiting(shim);
    free(by_id);
    struct shim *old = calloc(1, sizeof *old);
    *old = *shim;
    old->cells = calloc(SHIM_CELLS, sizeof *old->cells);
    open_drain(old, shim->memory, shim->size_bytes);
    shm_drain_close(&shim->drain);
    open_drain(shim, memory, lane.size_bytes);
    return old;
}

void shim_settle(struct shim *shim)
{
    struct shm_producer *producer = &shim->producer;
    if (producer->waiting) {
        shm_settle(producer, producer->waiting);
        free(producer->waiting->by_id);
    }
    producer->waiting = NULL;
    forget_waiting(shim);
    producer->grow_after_ns = UINT64_MAX;
    shm_be_content(producer);
}

uint64_t shim_moved_to(struct shim *shim)
{
    return shm_drain_moved_to(&shim->drain);
}

void shim_free(struct shim *shim)
{
    forget_waiting(shim);
    shm_drain_close(&shim->drain);
    free(shim->cells);
    free(shim->memory);
    free(shim);
}

void shim_counts(struct shim *shim, struct shm_counts *counts)
{
    shm_counts_read(shim->drain.lane.header, counts);
}

bool shim_push(struct shim *shim, uint64_t value, int *kicked)
{
    struct shm_ring *ring = &shim->producer.ring;
    *kicked = 0;
    if (!shm_ring_has_slot(ring)) {
        enum shm_refresh found = shm_ring_refresh(ring);
        *kicked = found == SHM_REFRESH_KICK;
        if (found == SHM_REFRESH_FULL)
            return false;
    }
    shm_ring_next(ring)->stamp_ns = value;
    shm_ring_publish(ring);
    return true;
}

uint64_t shim_waiting(struct shim *shim)
{
    return shm_ring_waiting(&shim->drain.ring);
}

uint64_t shim_pop(struct shim *shim)
{
    struct shm_record record;
    shm_ring_read(&shim->drain.ring, &record);
    shm_ring_release(&shim->drain.ring);
    return record.stamp_ns;
}
