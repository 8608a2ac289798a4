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

static void expect(double found, double wanted, const char *what, unsigned long step)
{
    if (found != wanted) {
        fprintf(stderr, "%g, not %g: ", found, wanted);
        node_fail(what, step);
    }
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

    const uint64_t *histogram = node_row(&copy, NODE_HISTOGRAM);
    const uint64_t *calls = node_row(&copy, NODE_CALLS);
    uint64_t adds = (uint64_t)(shm_value(*node_row(&copy, NODE_COUNTER)) * 2.0);
    uint64_t observed = node_counted(histogram + SHM_HISTOGRAM_BUCKETS);
    uint64_t starts = calls[SHM_CELL_STARTS];
    uint64_t ends = calls[SHM_CELL_ENDS];
    uint64_t events = adds + observed + starts + ends;

    /* Of this many events, how many of each kind there must be. */
    double sum = 0.0;
    uint64_t small = 0; /* how many are not above the first bound; none is above the last */
    for (uint64_t i = 0; i < (events + 2) / 4; i++) {
        sum += (double)(i % 3);
        small += i % 3 == 0;
    }
    expect((double)adds, (double)((events + 3) / 4), "adds", step);
    expect((double)observed, (double)((events + 2) / 4), "observations", step);
    expect(shm_value(histogram[SHM_CELL_SUM]), sum, "sum", step);
    expect((double)node_bucket(histogram + SHM_HISTOGRAM_BUCKETS, 0), (double)small, "bucket", step);
    expect((double)node_bucket(histogram + SHM_HISTOGRAM_BUCKETS, 2), 0.0, "last bucket", step);
    expect((double)starts, (double)((events + 1) / 4), "starts", step);
    expect((double)ends, (double)(events / 4), "ends", step);
    expect((double)(node_counted(calls + SHM_CALLS_BUCKETS)), (double)ends, "durations", step);
    expect(shm_value(*node_row(&copy, NODE_THROWN)), (double)(events / 8), "exceptions", step);
    expect(shm_drain_calls(&drain, open, 8), (double)(starts - ends), "open calls", step);
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
