/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The undo entry makes folding an event atomic to a kill between any two instructions.
 *
 * It is in the store's file, and remembers the cells that are about to change. It is not cleared
 * between events: whether it still counts follows from the lane, whose tail (or whose seen total)
 * moves last.
 *
 *   note the old values -> name the event -> change the cells -> move the lane's tail
 *                          ^ from here on it counts              ^ until here
 *
 * One process writes and, after it was killed, another one reads: the order of its stores is all
 * that matters, so compiler fences are enough.
 */
#ifndef SHM_UNDO_H
#define SHM_UNDO_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHM_UNDO_CHANGES 8u

enum shm_undo_kind {
    SHM_UNDO_NONE = 0,
    SHM_UNDO_RECORD = 1, /* counts while the lane's tail is index */
    SHM_UNDO_CELL = 2,   /* counts while the lane's seen[index] is seen */
    SHM_UNDO_CALL = 3,   /* counts while the lane's calls[index] is of series seen */
    SHM_UNDO_REPORT = 4, /* counts while the lane's ledger says seen at index */
};

struct shm_change {
    uint64_t cell; /* of the store */
    uint64_t old;
};

struct shm_undo {
    uint64_t kind;
    uint64_t lane_id;
    uint64_t index;
    uint64_t seen;
    uint64_t n;
    uint64_t zero;
    struct shm_change changes[SHM_UNDO_CHANGES];
};
static_assert(sizeof(struct shm_undo) == 176, "undo entry");

/* The changes of an event: computed and checked before anything is touched. */
struct shm_plan {
    uint32_t n;
    uint64_t *cell[SHM_UNDO_CHANGES];
    uint64_t value[SHM_UNDO_CHANGES];
};

/* Adds a change to the plan. */
static inline void shm_plan_set(struct shm_plan *plan, uint64_t *cell, uint64_t value)
{
    plan->cell[plan->n] = cell;
    plan->value[plan->n] = value;
    plan->n++;
}

/* Orders the stores before it and those behind it, as a kill shows them. */
static inline void shm_fence(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/* Begins the records of a lane: index is no record's until one is named. The entry forgets the
 * cells of another lane: an emitter can move its tail back to that index. */
static inline void shm_undo_begin(struct shm_undo *undo, uint64_t lane_id, uint64_t tail)
{
    undo->kind = SHM_UNDO_NONE;
    shm_fence();
    undo->lane_id = lane_id;
    undo->index = tail - 1;
    undo->n = 0;
    shm_fence();
    undo->kind = SHM_UNDO_RECORD;
    shm_fence();
}

/* Notes the old values of the cells in the plan. */
static inline void shm_undo_note(struct shm_undo *undo, const uint64_t *cells,
                                 const struct shm_plan *plan)
{
    for (uint32_t i = 0; i < plan->n; i++)
        undo->changes[i] = (struct shm_change){(uint64_t)(plan->cell[i] - cells), *plan->cell[i]};
    undo->n = plan->n;
}

/* Writes the new values. */
static inline void shm_plan_apply(const struct shm_plan *plan)
{
    for (uint32_t i = 0; i < plan->n; i++)
        *plan->cell[i] = plan->value[i];
}

/* Changes the cells for the record at tail. The caller moves the tail next. */
static inline void shm_undo_record(struct shm_undo *undo, const uint64_t *cells,
                                   const struct shm_plan *plan, uint64_t tail)
{
    shm_undo_note(undo, cells, plan);
    shm_fence();
    undo->index = tail;
    shm_fence();
    shm_plan_apply(plan);
    shm_fence();
}

/* Changes cells along with a state of the lane, which is `seen` now. The caller changes that state
 * next, and then calls shm_undo_done(). */
static inline void shm_undo_state(struct shm_undo *undo, const uint64_t *cells,
                                  const struct shm_plan *plan, enum shm_undo_kind kind,
                                  uint64_t lane_id, uint64_t index, uint64_t seen)
{
    undo->kind = SHM_UNDO_NONE;
    shm_fence();
    shm_undo_note(undo, cells, plan);
    undo->lane_id = lane_id;
    undo->index = index;
    undo->seen = seen;
    shm_fence();
    undo->kind = kind;
    shm_fence();
    shm_plan_apply(plan);
    shm_fence();
}

/* Ends the entry: nothing is to be undone. */
static inline void shm_undo_done(struct shm_undo *undo)
{
    shm_fence();
    undo->kind = SHM_UNDO_NONE;
}

/* Puts the old values back. Returns false if the entry is damaged. */
static inline bool shm_undo_restore(struct shm_undo *undo, uint64_t *cells, uint64_t n_cells)
{
    bool sound = undo->n <= SHM_UNDO_CHANGES;
    for (uint64_t i = 0; sound && i < undo->n; i++)
        sound = undo->changes[i].cell < n_cells;
    for (uint64_t i = 0; sound && i < undo->n; i++)
        cells[undo->changes[i].cell] = undo->changes[i].old;
    shm_fence();
    undo->kind = SHM_UNDO_NONE;
    return sound;
}

#endif
