/* SPDX-License-Identifier: Apache-2.0 */
/* An emitter killed after every single store with which what waited goes back into its lane, because there
 * is no larger one: the totals of each series come wholly or not at all, and the list of open calls is
 * that of what was counted. */
#include "pair.h"
#include "step.h"

#define LEAST_BYTES 496u
#define MOST_MADE 24u

static uint32_t made;
static struct node at_first; /* as a collector finds it if nothing was settled */
static struct node last;
static uint32_t waited;

static void settle(void *pair)
{
    (void)pair;
    if (node_producer.waiting)
        shm_settle(&node_producer, node_producer.waiting);
}

static void take_up(struct node *node, unsigned long step)
{
    struct shm_drain drain;
    struct shm_open_call_copy open[8];
    node_open(node, &drain, step);
    shm_recover_emitter(&drain);
    node_drain(node, &drain, step);
    const uint64_t *calls = node_row(node, NODE_CALLS);
    double running = (double)(calls[SHM_CELL_STARTS] - calls[SHM_CELL_ENDS]);
    node_expect(shm_drain_calls(&drain, open, 8), running, "open calls", step);
    shm_drain_close(&drain);
}

/* An observation of label 1 is 1, one of label 2 is 2, and both are in one bucket: count and sum tell how
 * many of each there are. */
static void check_histogram(struct node *copy, unsigned long step)
{
    const uint64_t *now = node_row(copy, NODE_HISTOGRAM);
    const uint64_t *old = node_row(&at_first, NODE_HISTOGRAM);
    double sum = shm_value(now[SHM_CELL_SUM]) - shm_value(old[SHM_CELL_SUM]);
    double n = (double)(node_bucket(now + SHM_HISTOGRAM_BUCKETS, 1) -
                        node_bucket(old + SHM_HISTOGRAM_BUCKETS, 1));
    if (sum - n < 0.0 || 2.0 * n - sum < 0.0)
        node_fail("a part of a histogram came", step);
}

static void check(void *context, unsigned long step)
{
    static struct node copy;
    memcpy(&copy, &((struct pair *)context)->node, sizeof copy);
    take_up(&copy, step);
    check_histogram(&copy, step);
    const uint64_t *calls = node_row(&copy, NODE_CALLS);
    const uint64_t *calls_before = node_row(&last, NODE_CALLS);
    node_expect((double)node_counted(calls + SHM_CALLS_BUCKETS), (double)calls[SHM_CELL_ENDS],
                "durations", step);
    if (*node_row(&copy, NODE_THROWN) != *node_row(&last, NODE_THROWN) &&
        calls[SHM_CELL_ENDS] == calls_before[SHM_CELL_ENDS])
        node_fail("exceptions came without their calls", step);
    memcpy(&last, &copy, sizeof last);
}

static unsigned long kill_everywhere(uint32_t records, uint32_t dictionary_bytes)
{
    struct pair *pair = pair_new(records, dictionary_bytes);
    for (uint32_t i = 0; i < made; i++)
        node_emit(i);
    waited += node_producer.waiting != NULL;
    memcpy(&at_first, &pair->node, sizeof at_first);
    take_up(&at_first, 0);
    memcpy(&last, &at_first, sizeof last);
    unsigned long changes = step_through(pair, sizeof *pair, pair, settle, check);
    if (node_events(&last, changes) != made)
        node_fail("not all events arrived", changes);
    munmap(pair, sizeof *pair);
    return changes;
}

int main(void)
{
    unsigned long changes = 0;
    for (uint32_t bytes = LEAST_BYTES; bytes <= NODE_ROOMY; bytes += 96)
        for (made = 0; made <= MOST_MADE; made += 1 + made / 8)
            changes += kill_everywhere(made % 2 ? 8 : 0, bytes);
    if (waited < 10)
        node_fail("nothing waited", changes);
    printf("exact after each of %lu changes\n", changes);
    return 0;
}
