/* SPDX-License-Identifier: Apache-2.0 */
/* An emitter killed after every single store of its move from the private lane into the one that it
 * was given: the collector finds nothing of what the private lane held, or all of it. */
#include "node.h"
#include "step.h"

#define MAX_EVENTS 7u /* ends with a call that is open */

static _Alignas(4096) unsigned char private_memory[36864];
static struct shm_lane granted;
static uint64_t made;
static bool arrived;

static void move(void *node)
{
    (void)node;
    if (!shm_producer_move(&node_producer, &granted))
        node_fail("it does not fit", 0);
}

static void check(void *node, unsigned long step)
{
    static struct node copy;
    struct shm_drain drain;
    struct shm_open_call_copy open[8];
    memcpy(&copy, node, sizeof copy);
    node_open(&copy, &drain, step);
    shm_recover_emitter(&drain);
    node_drain(&copy, &drain, step);

    const uint64_t *calls = node_row(&copy, NODE_CALLS);
    const uint64_t *histogram = node_row(&copy, NODE_HISTOGRAM);
    uint64_t events = (uint64_t)(shm_value(*node_row(&copy, NODE_COUNTER)) * 2.0) +
                      node_counted(histogram + SHM_HISTOGRAM_BUCKETS) + calls[SHM_CELL_STARTS] +
                      calls[SHM_CELL_ENDS];
    if (events != (arrived ? made : 0) && events != made)
        node_fail("a part of it came, or it went again", step);
    if (shm_drain_calls(&drain, open, 8) != calls[SHM_CELL_STARTS] - calls[SHM_CELL_ENDS])
        node_fail("the list of open calls is not that of what was counted", step);
    arrived = events == made;
    shm_drain_close(&drain);
}

static unsigned long kill_everywhere(void)
{
    const struct shm_lane_sizes sizes = {0, NODE_TIGHT, 64, 8};
    struct shm_lane private_lane;
    struct node *node = node_new(8, NODE_TIGHT);
    shm_lane_attach(node->lane, sizeof node->lane, &granted);
    memset(private_memory, 0, sizeof private_memory);
    shm_lane_format(private_memory, 0, &sizes);
    shm_lane_attach(private_memory, sizeof private_memory, &private_lane);
    shm_producer_begin(&node_producer, &private_lane, 2);
    for (uint32_t i = 0; i < made; i++)
        node_emit(i);
    arrived = false;
    unsigned long changes = step_through(node, sizeof *node, node, move, check);
    if (!arrived)
        node_fail("it did not arrive", changes);
    munmap(node, sizeof *node);
    return changes;
}

int main(void)
{
    unsigned long changes = 0;
    for (made = 1; made <= MAX_EVENTS; made++) /* from one add, with nothing spilled */
        changes += kill_everywhere();
    printf("exact after each of %lu changes\n", changes);
    return 0;
}
