/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's own producer: one per process, left behind by a forked child.
 *
 *   none --first event--> private --shm_process_attach--> registered
 *     ^                      |                                |
 *     +------- fork (child) -+--------------------------------+
 *
 * private: anonymous memory with a lane's layout and no ring; every event goes to its cells, and
 * at registration they are copied into the lane before anything else is published there.
 *
 * A fork may come out of a signal handler that has interrupted a record, and the child may return
 * into that record. It finds everything as it was, on a producer and on pages that nobody uses any
 * more, while the child records with another producer: the event is its parent's.
 */
#ifndef SHM_PROCESS_H
#define SHM_PROCESS_H

#include "descriptor.h"
#include "producer.h"

enum shm_process_state {
    SHM_PROCESS_NONE = 0,
    SHM_PROCESS_PRIVATE = 1,
    SHM_PROCESS_REGISTERED = 2,
};

struct shm_process {
    struct shm_producer *_Atomic producer; /* the one of this process, which is not its parent's */
    enum shm_process_state state;
    void *base; /* of the current lane's mapping */
    uint64_t mapped_bytes;
    uint32_t last_generation;
};

extern struct shm_process shm_process __attribute__((visibility("hidden")));

/* Returns the producer to record with. Ask at every event: a fork changes it. */
static inline struct shm_producer *shm_process_producer(void)
{
    return atomic_load_explicit(&shm_process.producer, memory_order_relaxed);
}

/* Prepares the process; called once, before the first event. */
void shm_process_init(bool disabled);

/* Maps a granted lane and goes on in it, with all that the private one holds; then closes the
 * lane's descriptor, the last one of ours. Returns SHM_ATTACH_OK; on anything else nothing
 * changed. epoch: the producer's when the lane was asked for. A child that was forked since does
 * not get it. */
enum shm_attach shm_process_attach(uint32_t epoch, struct shm_descriptor *lane);

/* Leaves the lane. The next event starts a private one. */
void shm_process_detach(void);

#endif
