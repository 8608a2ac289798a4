/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "process.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct shm_producer first;
struct shm_process shm_process = {.producer = &first};

/* Changes of lane are whole: no fork comes in between, neither of another thread, which waits for
 * the lock, nor out of a signal handler of this one. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

/* Blocks signals and takes the lock. */
static void begin_change(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    pthread_mutex_lock(&changing);
}

static void end_change(const sigset_t *before)
{
    pthread_mutex_unlock(&changing);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static const struct shm_lane_sizes private_sizes = {
    .records = 0,
    .dictionary_bytes = SHM_DEFAULT_DICTIONARY_BYTES,
    .cells = SHM_DEFAULT_CELLS,
    .calls = SHM_DEFAULT_CALLS,
};

static void no_lane(struct shm_process *self)
{
    self->state = SHM_PROCESS_NONE;
    self->base = NULL;
    self->mapped_bytes = 0;
}

static bool map_private(struct shm_process *self, struct shm_producer *producer)
{
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
    self->mapped_bytes = size_bytes;
    self->state = SHM_PROCESS_PRIVATE;
    atomic_store_explicit(&lane.header->consumer.state, SHM_LANE_PRIVATE, memory_order_relaxed);
    shm_producer_begin(producer, &lane, ++self->last_generation);
    return true;
}

static bool open_private(struct shm_producer *producer)
{
    sigset_t before;
    begin_change(&before);
    /* Another one: a record of the parent's that we were forked out of. */
    bool done = producer == shm_process_producer() && map_private(&shm_process, producer);
    end_change(&before);
    return done;
}

static void before_fork(void)
{
    pthread_mutex_lock(&changing);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&changing);
}

/* Makes a producer like another, without its lane. It is never given back: a child that returns
 * into an interrupted record uses the old one once more, and nobody can tell. 13 KiB per
 * generation. */
static struct shm_producer *new_producer(struct shm_process *self, const struct shm_producer *old)
{
    struct shm_producer *fresh = mmap(NULL, sizeof *fresh, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        return NULL;
    fresh->open = old->open;
    fresh->disabled = old->disabled;
    fresh->epoch = old->epoch + 1;
    fresh->generation = ++self->last_generation; /* no series has it */
    return fresh;
}

/* Leaves the parent's lane, to which the child of a fork must never write, and whose file it
 * must not hold open. The mapping becomes private zero pages at the same address and not a hole,
 * and the producer stays as it was: a record may be half written, and the rest of it has to go
 * somewhere. */
static void after_fork_in_child(void)
{
    struct shm_process *self = &shm_process;
    struct shm_producer *old = shm_process_producer();
    bool kept = self->base &&
                mmap(self->base, self->mapped_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED;
    old->kicks = NULL;
    no_lane(self);
    struct shm_producer *fresh = kept ? NULL : new_producer(self, old);
    if (fresh)
        atomic_store_explicit(&self->producer, fresh, memory_order_relaxed);
    old->disabled = true; /* without a fresh one the child records nothing */
    after_fork();
}

void shm_process_init(bool disabled)
{
    struct shm_process *self = &shm_process;
    struct shm_producer *producer = shm_process_producer();
    if (producer->open)
        return;
    producer->open = open_private;
    self->last_generation = 1; /* series begin with 0 */
    producer->generation = self->last_generation;
    producer->disabled = disabled;
    if (pthread_atfork(before_fork, after_fork, after_fork_in_child) != 0)
        producer->disabled = true; /* without it a child could write to its parent's lane */
}

static enum shm_attach attach(struct shm_process *self, struct shm_descriptor *granted)
{
    struct shm_producer *producer = shm_process_producer();
    struct stat file;
    if (!shm_descriptor_is_ours(granted) || fstat(granted->fd, &file) != 0 ||
        file.st_size < (off_t)SHM_HEADER_BYTES || (uint64_t)file.st_size > SHM_LANE_MAX_BYTES)
        return SHM_ATTACH_NOT_A_LANE;
    uint64_t size_bytes = (uint64_t)file.st_size;
    uint64_t mapped_bytes = shm_mapping_bytes(size_bytes);
    void *base = shm_map_lane(granted->fd, size_bytes);
    if (base == MAP_FAILED)
        return SHM_ATTACH_NOT_A_LANE;
    struct shm_lane lane;
    enum shm_attach found = shm_lane_attach(base, size_bytes, &lane);
    if (found != SHM_ATTACH_OK) {
        munmap(base, mapped_bytes);
        return found;
    }
    void *old_base = self->base;
    uint64_t old_mapped_bytes = self->mapped_bytes;
    if (self->state != SHM_PROCESS_PRIVATE) {
        shm_producer_begin(producer, &lane, ++self->last_generation);
    } else if (!shm_producer_move(producer, &lane)) {
        munmap(base, mapped_bytes);
        return SHM_ATTACH_TOO_SMALL;
    }
    producer->kicks = (unsigned char *)base + shm_kick_offset(size_bytes);
    self->base = base;
    self->mapped_bytes = mapped_bytes;
    self->state = SHM_PROCESS_REGISTERED;
    if (old_base)
        munmap(old_base, old_mapped_bytes);
    shm_descriptor_close(granted); /* the mapping is all that is needed, and all that is kept */
    return SHM_ATTACH_OK;
}

enum shm_attach shm_process_attach(uint32_t epoch, struct shm_descriptor *lane)
{
    sigset_t before;
    begin_change(&before);
    enum shm_attach found = epoch == shm_process_producer()->epoch
                                ? attach(&shm_process, lane)
                                : SHM_ATTACH_FOREIGN;
    end_change(&before);
    return found;
}

/* Leaves indices of zero, which make the next event take the slow path. */
void shm_process_detach(void)
{
    struct shm_process *self = &shm_process;
    struct shm_producer *producer = shm_process_producer();
    sigset_t before;
    begin_change(&before);
    if (self->base)
        munmap(self->base, self->mapped_bytes);
    producer->kicks = NULL;
    no_lane(self);
    producer->ring = (struct shm_ring){0};
    producer->lane = (struct shm_lane){0};
    producer->generation = ++self->last_generation; /* no series has it */
    producer->attend_at_ns = 0;
    end_change(&before);
}
