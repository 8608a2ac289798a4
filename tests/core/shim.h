/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHIM_H
#define SHIM_H

#include "lane/counts.h"
#include "drain/drain.h"
#include "emit/emit.h"
#include "emit/move.h"

struct shim {
    unsigned char *memory;
    uint64_t size_bytes;
    struct shm_producer producer;
    struct shm_drain drain;
    struct shm_undo undo;
    struct shm_ledger ledger;
    uint64_t *cells;
    struct shm_producer *waiting; /* in memory of its own */
    uint32_t generation;
};

/* A lane in memory with a producer and a drain on it. */
#define SHIM_CELLS 4096u

struct shim *shim_new(uint32_t records, uint32_t dictionary_bytes, uint32_t cells, uint32_t calls);
void shim_free(struct shim *shim);

/* Goes on in another lane, of which nothing was drained yet. False: it is too small. */
bool shim_move(struct shim *shim, uint32_t records, uint32_t dictionary_bytes, uint32_t cells,
               uint32_t calls);

/* Lets the producer wait for a larger lane where this one has no room. */
void shim_may_grow(struct shim *shim);

/* Goes on in a larger lane. Returns the old one, which is still to be drained; NULL: too small. */
struct shim *shim_grow(struct shim *shim, uint32_t records, uint32_t dictionary_bytes,
                       uint32_t cells, uint32_t calls);

/* Gives a larger lane up. */
void shim_settle(struct shim *shim);

uint64_t shim_moved_to(struct shim *shim);

void shim_counts(struct shim *shim, struct shm_counts *counts);

/* The bare ring: a number in, a number out. */
bool shim_push(struct shim *shim, uint64_t value, int *kicked);
uint64_t shim_waiting(struct shim *shim);
uint64_t shim_pop(struct shim *shim);

#endif
