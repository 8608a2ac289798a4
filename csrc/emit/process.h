/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's own producer: one per process, left behind by a forked child.
 *
 *   none --first event--> private --shm_process_attach--> registered --┐
 *     ^                      |                                | ^      | shm_process_attach:
 *     +------- fork (child) -+--------------------------------+ └------┘ a larger lane, see move.h
 *
 * private: anonymous memory with a lane's layout and no ring; every event goes to its cells, and
 * at registration they are copied into the lane before anything else is published there. It has
 * room for more than any lane: pages that nobody touches cost nothing.
 *
 * A fork may come out of a signal handler that has interrupted a record, and the child may return
 * into that record. It finds everything as it was, on a producer and on pages that nobody uses any
 * more, while the child records with another producer: the event is its parent's.
 */
#ifndef SHM_PROCESS_H
#define SHM_PROCESS_H

#include "descriptor.h"
#include "../lane/counts.h"
#include "../lane/notices.h"
#include "move.h"

enum shm_process_state {
    SHM_PROCESS_NONE = 0,
    SHM_PROCESS_PRIVATE = 1,
    SHM_PROCESS_REGISTERED = 2,
};

struct shm_mapping {
    void *base; /* NULL: none */
    uint64_t size_bytes;
};

/* A granted lane, mapped and not used yet: its pages come, some at each event. */
struct shm_arriving {
    struct shm_mapping mapping;
    uint64_t size_bytes; /* of the lane */
    struct shm_lane lane;
    uint64_t dictionary_bytes; /* of its dictionary and its cells, whose pages came */
    uint64_t cells_bytes;
};

#define SHM_NOTHING_ARRIVES ((struct shm_arriving){.mapping = {NULL, 0}})

/* The lane that a process needs: what its hello asks for. */
struct shm_wanted {
    uint64_t dictionary_bytes;
    uint64_t cells;
    uint64_t predecessor; /* the lane that it replaces; 0: none */
};

struct shm_process {
    struct shm_producer *_Atomic producer; /* the one of this process, which is not its parent's */
    enum shm_process_state state;
    struct shm_mapping lane;
    struct shm_arriving arriving;
    struct shm_mapping waiting; /* what waits for a larger lane */
    struct shm_producer *spare; /* the producer of that, once there was any */
    struct shm_series **tables[2]; /* the series by their ids, of each side */
    bool squeezes; /* it takes a lane that is too small for what the private one holds */
    uint32_t last_generation;
    uint32_t heard; /* bytes of notices in the lane that were read */
    struct shm_counts before; /* what this process has counted in the lanes before this one */
};

extern struct shm_process shm_process __attribute__((visibility("hidden")));

/* Returns the producer to record with. Ask at every event: a fork changes it. */
static inline struct shm_producer *shm_process_producer(void)
{
    return atomic_load_explicit(&shm_process.producer, memory_order_relaxed);
}

/* Prepares the process; called once, before the first event. */
void shm_process_init(bool disabled);

/* Maps a granted lane and goes on in it, with all that the private one holds; in a lane that
 * replaces the one of this process, as move.h says. Then closes the lane's descriptor, the last one
 * of ours. Returns SHM_ATTACH_OK; SHM_ATTACH_LATER if pages of a large lane are still to come, and the
 * next event calls attention, which attaches the same descriptor again; on anything else nothing
 * changed. epoch: the producer's when the lane was asked for. A child that was forked since does not
 * get it. */
enum shm_attach shm_process_attach(uint32_t epoch, struct shm_descriptor *lane);

/* Leaves the lane, with what waits for a larger one. The next event starts a private one, if nothing
 * waits. */
void shm_process_detach(void);

/* Fills in the sizes of the lane to ask for: twice what is in use, at least the default. */
void shm_process_wanted(struct shm_wanted *wanted);

/* Gives up a larger lane for now: records in this one what waits, and asks for no other before
 * retry_ns are over. A private lane will go into the next one that is granted, whatever its size. */
void shm_process_settle(uint64_t retry_ns);

/* Adds up what this process has counted, in this lane and those before it. Returns false if it has
 * no lane. */
bool shm_process_counts(struct shm_counts *counts);

/* Copies the notices that were not read yet into SHM_NOTICES_BYTES of memory, and tells the
 * collector that they are heard. Returns their size. */
uint32_t shm_process_notices(unsigned char *to);

/* Forgets a series, or a family whose series are forgotten, that is about to be freed. */
void shm_process_forget_series(const struct shm_series *s);
void shm_process_forget_family(const struct shm_family *f);

#endif
