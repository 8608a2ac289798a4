/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests call through cffi: the core's own inline functions, over a lane in plain memory. */
#include "shim.h"

#include <stdlib.h>

struct shim *shim_new(uint32_t records, uint32_t dictionary_bytes, uint32_t cells, uint32_t calls)
{
    struct shm_lane_sizes sizes = {records, dictionary_bytes, cells, calls};
    struct shim *shim = calloc(1, sizeof *shim);
    shim->size_bytes = shm_lane_bytes(&sizes);
    shim->memory = aligned_alloc(4096, (shim->size_bytes + 4095) & ~UINT64_C(4095));
    memset(shim->memory, 0, shim->size_bytes);
    shm_lane_format(shim->memory, 7, &sizes);
    struct shm_lane lane;
    shm_lane_attach(shim->memory, shim->size_bytes, &lane);
    shim->producer.kick_fd = -1;
    shm_producer_begin(&shim->producer, &lane, 1);
    shim->cells = calloc(SHIM_CELLS, sizeof *shim->cells);
    shm_drain_open(&shim->drain, shim->memory, shim->size_bytes, &shim->undo, shim->cells,
                   SHIM_CELLS);
    return shim;
}

void shim_free(struct shim *shim)
{
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
    struct shm_record *slot = shm_ring_slot(ring);
    *kicked = 0;
    if (!slot) {
        enum shm_refresh found = shm_ring_refresh(ring);
        *kicked = found == SHM_REFRESH_KICK;
        if (found == SHM_REFRESH_FULL)
            return false;
        slot = shm_ring_slot(ring);
    }
    slot->stamp_ns = value;
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
