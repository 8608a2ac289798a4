/* SPDX-License-Identifier: Apache-2.0 */
/* An emitter killed after every single store: what it leaves must be whole events, in order, with
 * none counted in part, and every call that has begun either ended or open. */
#include "node.h"
#include "step.h"

#define RECORDS 8u
#define EVENTS 32u

static uint64_t events_before;
static uint64_t overflowed;

static void emit(void *node)
{
    (void)node;
    for (uint32_t i = 0; i < EVENTS; i++)
        node_emit(i);
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
    uint64_t events = node_events(&copy, step);
    uint64_t running = calls[SHM_CELL_STARTS] - calls[SHM_CELL_ENDS];
    node_expect(shm_drain_calls(&drain, open, 8), (double)running, "open calls", step);
    if (events < events_before || events > events_before + 1)
        node_fail("an event was lost or came twice", step);
    events_before = events;
    overflowed = drain.lane.header->producer.overflowed;
    shm_drain_close(&drain);
}

static unsigned long kill_everywhere(uint32_t dictionary_bytes)
{
    struct node *node = node_new(RECORDS, dictionary_bytes);
    events_before = 0;
    unsigned long changes = step_through(node, sizeof *node, node, emit, check);
    if (events_before != EVENTS)
        node_fail("not all events arrived", changes);
    if ((overflowed > 0) != (dictionary_bytes == NODE_TIGHT))
        node_fail("the lane has another size than was thought", changes);
    return changes;
}

int main(void)
{
    unsigned long changes = kill_everywhere(NODE_ROOMY) + kill_everywhere(NODE_TIGHT);
    printf("exact after each of %lu changes\n", changes);
    return 0;
}
