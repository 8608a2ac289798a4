/* SPDX-License-Identifier: Apache-2.0 */
/* A collector killed after every single store of retiring a dead emitter's lane: the next one takes
 * over, and every call that never ended is counted as abandoned once. */
#include "node.h"
#include "step.h"

#define ABANDONED (NODE_CELLS - 1u) /* the store's cell for them */
#define MAX_EVENTS 12u

static struct shm_drain drain;
static double wanted;

static void retire(struct node *node, struct shm_drain *with, unsigned long step)
{
    struct shm_open_call_copy open[8];
    shm_recover_emitter(with);
    node_drain(node, with, step);
    uint32_t n = shm_drain_calls(with, open, 8);
    for (uint32_t i = 0; i < n; i++)
        shm_drain_abandon(with, open[i].slot, ABANDONED);
}

static void work(void *node)
{
    retire(node, &drain, 0);
}

static void check(void *node, unsigned long step)
{
    static struct node copy;
    struct shm_drain next;
    memcpy(&copy, node, sizeof copy);
    node_open(&copy, &next, step);
    node_drain(&copy, &next, step); /* a collector's first tick, before it retires the dead */
    retire(&copy, &next, step);
    const uint64_t *calls = node_row(&copy, NODE_CALLS);
    double abandoned = shm_value(copy.cells[ABANDONED]);
    if (abandoned != wanted ||
        (double)(calls[SHM_CELL_STARTS] - calls[SHM_CELL_ENDS]) != abandoned) {
        fprintf(stderr, "%g abandoned, not %g: ", abandoned, wanted);
        node_fail("calls without an end", step);
    }
    shm_drain_close(&next);
}

int main(void)
{
    unsigned long changes = 0;
    for (uint32_t records = 0; records <= 16; records += 8) /* all spilled, the last ones, none */
        for (uint32_t events = 0; events <= MAX_EVENTS; events++) {
            struct node *node = node_new(records, NODE_TIGHT);
            for (uint32_t i = 0; i < events; i++)
                node_emit(i);
            wanted = events % 4 == 3 ? 1.0 : 0.0; /* the last event but the call's end */
            node_open(node, &drain, 0);
            changes += step_through(node, sizeof *node, node, work, check);
            shm_drain_close(&drain);
            munmap(node, sizeof *node);
        }
    printf("exact after each of %lu changes\n", changes);
    return 0;
}
