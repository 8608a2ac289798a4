/* SPDX-License-Identifier: Apache-2.0 */
/* A store in which each cell knows whose it is, and a canary stands beside every series' cells. */
#ifndef STORE_H
#define STORE_H

#include "drain/drain.h"
#include "program.h"

#define STORE_CELLS 1024u
#define STORE_NOBODY 0u
#define STORE_ALL 255u
#define STORE_TALLY 1u /* first cell of what is counted for all lanes together */
#define STORE_COARSE (STORE_TALLY + SHM_KINDS + 3u + SHM_DROPS) /* the last one */

struct store {
    struct shm_undo undo;
    uint64_t cells[STORE_CELLS];
    uint8_t owner[STORE_CELLS]; /* number of a lane, STORE_NOBODY or STORE_ALL */
    uint32_t used;
};

static inline uint64_t store_canary(uint32_t cell)
{
    return UINT64_C(0x5afe5afe00000000) + cell;
}

/* First of n cells for a lane, all zero; 0 if the store is full. */
static inline uint32_t store_take(struct store *store, uint8_t owner, uint32_t n)
{
    if (n >= STORE_CELLS - store->used)
        return 0;
    uint32_t first = store->used;
    memset(&store->owner[first], owner, n);
    memset(&store->cells[first], 0, n * sizeof store->cells[0]);
    store->used += n + 1; /* and a canary */
    return first;
}

static inline void store_begin(struct store *store)
{
    memset(&store->undo, 0, sizeof store->undo);
    memset(store->owner, STORE_NOBODY, sizeof store->owner);
    for (uint32_t cell = 0; cell < STORE_CELLS; cell++)
        store->cells[cell] = store_canary(cell);
    store->used = STORE_TALLY;
    store_take(store, STORE_ALL, STORE_COARSE + 1 - STORE_TALLY);
}

/* The tally is the same for all lanes. */
static inline struct shm_tally store_tally(struct store *store)
{
    uint64_t *cell = &store->cells[STORE_TALLY];
    struct shm_tally tally = {.unbound = cell + SHM_KINDS,
                              .spilled = cell + SHM_KINDS + 1,
                              .overflowed = cell + SHM_KINDS + 2};
    for (uint32_t kind = 0; kind < SHM_KINDS; kind++)
        tally.events[kind] = cell + kind;
    for (uint32_t cause = 0; cause < SHM_DROPS; cause++)
        tally.dropped[cause] = cell + SHM_KINDS + 3 + cause;
    return tally;
}

static inline double store_events(const struct store *store, uint32_t kind)
{
    return shm_value(store->cells[STORE_TALLY + kind]);
}

static inline void store_check(const struct store *store)
{
    for (uint32_t cell = 0; cell < STORE_CELLS; cell++)
        MUST(store->owner[cell] != STORE_NOBODY || store->cells[cell] == store_canary(cell),
             "a cell was written that is nobody's");
}

#endif
