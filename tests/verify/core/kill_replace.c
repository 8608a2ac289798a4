/* SPDX-License-Identifier: Apache-2.0 */
/* An emitter killed after every single store of its move from one lane into the next, and of some events
 * there: the collector finds what the old lane holds or, once that names the new one, all there is; and
 * open calls and a gauge in one of the two. */
#include "pair.h"
#include "step.h"

#define MOST_MADE 24u
#define LEAST_BYTES 496u /* of dictionary: what the smallest set of series needs */
#define MORE 5u /* events in the new lane */

static uint32_t made;
static uint64_t cells_before[NODE_EVENTS]; /* the store, if nothing of the move came */
static uint64_t events_before;
static bool moved;
static uint32_t waited; /* how many times anything waited */

static void move(void *pair)
{
    (void)pair;
    struct shm_producer *waiting =
        node_producer.waiting ? node_producer.waiting : pair_wait(&node_producer);
    node_producer.waiting = waiting;
    if (!shm_producer_replace(&node_producer, waiting, &pair_granted))
        node_fail("it does not fit", 0);
    for (uint32_t i = made; i < made + MORE; i++)
        node_emit(i);
    pair_set_gauge(2.0);
}

static void check(void *context, unsigned long step)
{
    static struct pair copy;
    struct pair_collector here;
    struct shm_gauge_copy gauge;
    struct shm_open_call_copy open[8];
    memcpy(&copy, context, sizeof copy);
    pair_open(&copy, &here, step);
    bool names = shm_drain_moved_to(&here.old_drain) == PAIR_NEW_ID;
    if (moved && !names)
        node_fail("it moved back", step);
    moved = names;
    shm_recover_emitter(names ? &here.new_drain : &here.old_drain);
    pair_drain(&copy, &here, step);
    if (names) {
        uint64_t events = node_events(&copy.node, step);
        if (events < made || events < events_before || events > events_before + 1)
            node_fail("an event was lost or came twice", step);
        events_before = events;
    } else if (memcmp(copy.node.cells, cells_before, sizeof cells_before) != 0) {
        node_fail("a part of the move came", step);
    }
    const uint64_t *calls = node_row(&copy.node, NODE_CALLS);
    double running = (double)(calls[SHM_CELL_STARTS] - calls[SHM_CELL_ENDS]);
    struct shm_drain *shown = pair_shown(&copy, &here);
    node_expect(shm_drain_calls(shown, open, 8), running, "open calls", step);
    node_expect(shm_drain_gauges(shown, 1, &gauge, 1), 1.0, "gauges", step);
    if (gauge.value != 1.0 && !(moved && gauge.value == 2.0))
        node_fail("another value of the gauge", step);
    if (names)
        pair_retire_old(&copy, &here, step);
    pair_retire_new(&copy, &here, step); /* first: that is the harder order */
    if (!names)
        pair_retire_old(&copy, &here, step);
    node_expect(shm_value(copy.node.cells[PAIR_ABANDONED]), running, "abandoned calls", step);
    node_expect(shm_value(copy.node.cells[PAIR_GAUGE]), gauge.value, "the gauge that is left", step);
    if (memcmp(copy.node.cells, cells_before, sizeof cells_before) != 0 && !names)
        node_fail("a part of the move came in the end", step);
    pair_close(&here);
}

/* What a collector finds if the process is killed before it moves. */
static void note_before(const struct pair *pair)
{
    static struct pair copy;
    struct pair_collector here;
    memcpy(&copy, pair, sizeof copy);
    pair_open(&copy, &here, 0);
    shm_recover_emitter(&here.old_drain);
    pair_drain(&copy, &here, 0);
    memcpy(cells_before, copy.node.cells, sizeof cells_before);
    pair_close(&here);
}

static unsigned long kill_everywhere(uint32_t records, uint32_t dictionary_bytes)
{
    struct pair *pair = pair_new(records, dictionary_bytes);
    pair_set_gauge(1.0);
    for (uint32_t i = 0; i < made; i++)
        node_emit(i);
    waited += node_producer.waiting != NULL;
    note_before(pair);
    moved = false;
    events_before = made;
    unsigned long changes = step_through(pair, sizeof *pair, pair, move, check);
    if (!moved || events_before != made + MORE)
        node_fail("not all events arrived", changes);
    munmap(pair, sizeof *pair);
    return changes;
}

int main(void)
{
    unsigned long changes = 0;
    for (uint32_t bytes = LEAST_BYTES; bytes <= NODE_ROOMY; bytes += 160)
        for (made = 0; made <= MOST_MADE; made += 1 + made / 4)
            changes += kill_everywhere(made % 2 ? 8 : 0, bytes);
    if (waited < 10)
        node_fail("nothing waited", changes);
    printf("exact after each of %lu changes\n", changes);
    return 0;
}
