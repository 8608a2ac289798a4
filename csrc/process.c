/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "process.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct shm_process shm_process;

static const struct shm_lane_sizes private_sizes = {
    .records = 0,
    .dictionary_bytes = SHM_DEFAULT_DICTIONARY_BYTES,
    .cells = SHM_DEFAULT_CELLS,
    .calls = SHM_DEFAULT_CALLS,
};

static void close_descriptors(struct shm_process *self)
{
    if (self->producer.kick_fd >= 0)
        close(self->producer.kick_fd);
    if (self->connection_fd >= 0)
        close(self->connection_fd);
    self->producer.kick_fd = -1;
    self->connection_fd = -1;
}

/* Back to "no lane". All-zero indices make the next event take the slow path. */
static void forget(struct shm_process *self)
{
    close_descriptors(self);
    self->producer.ring = (struct shm_ring){0};
    self->producer.lane = (struct shm_lane){0};
    self->producer.generation = ++self->last_generation; /* no series has it */
    self->producer.unregistered = false;
    self->producer.attend_at_ns = 0;
    self->state = SHM_PROCESS_NONE;
    self->base = NULL;
    self->size_bytes = 0;
}

static bool open_private(struct shm_producer *producer)
{
    struct shm_process *self = &shm_process;
    uint64_t size_bytes = shm_lane_bytes(&private_sizes);
    void *base = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return false; /* no memory, no lane to count in; tried again at the next event */
    struct shm_lane lane;
    shm_lane_format(base, 0, &private_sizes);
    if (shm_lane_attach(base, size_bytes, &lane) != SHM_ATTACH_OK) {
        munmap(base, size_bytes);
        return false;
    }
    self->base = base;
    self->size_bytes = size_bytes;
    self->state = SHM_PROCESS_PRIVATE;
    producer->unregistered = true;
    shm_producer_begin(producer, &lane, ++self->last_generation);
    return true;
}

/* The child of a fork must never write to its parent's lane, nor hold its file open. What was
 * mapped there becomes private zero pages at the same address and not a hole: if the fork came out
 * of a signal handler, a record may be half written, and the rest of it has to go somewhere. */
static void after_fork_in_child(void)
{
    struct shm_process *self = &shm_process;
    if (self->base &&
        mmap(self->base, self->size_bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        self->producer.disabled = true; /* never the parent's lane */
    forget(self);
    self->producer.epoch++;
}

void shm_process_init(bool disabled)
{
    struct shm_process *self = &shm_process;
    if (self->producer.open)
        return;
    self->producer.open = open_private;
    self->producer.kick_fd = -1;
    self->connection_fd = -1;
    self->last_generation = 1; /* series begin with 0 */
    self->producer.generation = self->last_generation;
    self->producer.disabled = disabled;
    if (pthread_atfork(NULL, NULL, after_fork_in_child) != 0)
        self->producer.disabled = true; /* without it a child could write to its parent's lane */
}

enum shm_attach shm_process_attach(int lane_fd, int kick_fd, int connection_fd)
{
    struct shm_process *self = &shm_process;
    struct shm_producer *producer = &self->producer;
    struct stat file;
    if (fstat(lane_fd, &file) != 0 || file.st_size < (off_t)SHM_HEADER_BYTES ||
        (uint64_t)file.st_size > SHM_LANE_MAX_BYTES)
        return SHM_ATTACH_NOT_A_LANE;
    uint64_t size_bytes = (uint64_t)file.st_size;
    void *base = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                      lane_fd, 0);
    if (base == MAP_FAILED)
        return SHM_ATTACH_NOT_A_LANE;
    struct shm_lane lane;
    enum shm_attach found = shm_lane_attach(base, size_bytes, &lane);
    if (found != SHM_ATTACH_OK) {
        munmap(base, size_bytes);
        return found;
    }
    void *old_base = self->base;
    uint64_t old_size_bytes = self->size_bytes;
    close_descriptors(self);
    if (self->state != SHM_PROCESS_PRIVATE || !shm_producer_move(producer, &lane)) {
        uint64_t lost = 0;
        if (self->state == SHM_PROCESS_PRIVATE)
            lost = atomic_load_explicit(&producer->lane.header->producer.spilled,
                                        memory_order_relaxed);
        shm_producer_begin(producer, &lane, ++self->last_generation);
        shm_count_drop(producer, SHM_DROP_CELLS_FULL, lost);
    }
    producer->kick_fd = kick_fd;
    producer->unregistered = false;
    self->connection_fd = connection_fd;
    self->base = base;
    self->size_bytes = size_bytes;
    self->state = SHM_PROCESS_REGISTERED;
    if (old_base)
        munmap(old_base, old_size_bytes);
    close(lane_fd); /* the mapping keeps the open file description, and with it the lock */
    return SHM_ATTACH_OK;
}

void shm_process_detach(void)
{
    struct shm_process *self = &shm_process;
    if (self->base)
        munmap(self->base, self->size_bytes);
    forget(self);
}
