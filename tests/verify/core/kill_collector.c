/* SPDX-License-Identifier: Apache-2.0 */
/* A collector killed after every single store: a new one takes up what is left, and must reach
 * exactly the totals of one that was not killed. */
#include "node.h"
#include "step.h"

#define RECORDS 16u
#define EVENTS 24u /* more than the ring holds: the rest is spilled */
#define ADDED 4u   /* of them, straight to a cell */
#define DROPPED 3u

static uint64_t wanted[NODE_CELLS];
static struct shm_drain drain;

static double counted(const uint64_t *cells, uint32_t first, uint32_t n)
{
    double sum = 0.0;
    for (uint32_t i = first; i < first + n; i++)
        sum += shm_value(cells[i]);
    return sum;
}

static void pass(void *node)
{
    node_drain(node, &drain, 0);
}

static void check(void *node, unsigned long step)
{
    static struct node copy;
    struct shm_drain next;
    memcpy(&copy, node, sizeof copy);
    node_open(&copy, &next, step);
    node_drain(&copy, &next, step);
    if (counted(copy.cells, NODE_EVENTS, SHM_KINDS) != RECORDS + ADDED)
        node_fail("the count of events is not exact", step);
    memcpy(copy.cells + NODE_EVENTS, wanted + NODE_EVENTS, SHM_KINDS * sizeof wanted[0]);
    if (memcmp(copy.cells, wanted, sizeof wanted) != 0)
        node_fail("totals are not exact", step);
    shm_drain_close(&next);
}

int main(void)
{
    static struct node unharmed;
    struct node *node = node_new(RECORDS, NODE_TIGHT);
    for (uint32_t i = 0; i < EVENTS; i++)
        node_emit(i);
    for (uint32_t i = 0; i < DROPPED; i++)
        shm_emit_add(&node_producer, &node_series[NODE_COUNTER][0], -1.0);
    memcpy(&unharmed, node, sizeof unharmed);
    node_open(&unharmed, &drain, 0);
    node_drain(&unharmed, &drain, 0);
    memcpy(wanted, unharmed.cells, sizeof wanted);
    shm_drain_close(&drain);
    if (counted(wanted, NODE_EVENTS, SHM_KINDS) != RECORDS + ADDED ||
        counted(wanted, NODE_SPILLED, 1) != EVENTS - RECORDS - ADDED ||
        counted(wanted, NODE_DROPPED, SHM_DROPS) != DROPPED)
        node_fail("the counts of a collector that nobody killed are wrong", 0);

    node_open(node, &drain, 0);
    printf("exact after each of %lu changes\n",
           step_through(node, sizeof *node, node, pass, check));
    return 0;
}
