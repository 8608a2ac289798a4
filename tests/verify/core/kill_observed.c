/* SPDX-License-Identifier: Apache-2.0 */
/* An emitter killed after every single store of an observed total: what it leaves is shown as a total
 * that was there, of a generation that was there, and never goes back to an earlier one. */
#include "node.h"
#include "step.h"

static const uint32_t family_text[6] = {5, 0, 0, 0, 0, 0};
static struct shm_family family = {.type = SHM_TYPE_OBSERVED,
                                   .text = (const unsigned char *)family_text,
                                   .text_bytes = sizeof family_text};
static struct shm_series series = {.type = SHM_TYPE_OBSERVED,
                                   .family = &family,
                                   .text = (const unsigned char *)node_labels[0],
                                   .text_bytes = sizeof node_labels[0]};

/* What is shown, one after the other; generation 0 has no start. */
static const struct {
    double total;
    unsigned generation;
} shown[] = {{5.0, 0}, {7.0, 0}, {0.0, 0}, {0.0, 1}, {9.0, 1}, {0.0, 1}, {0.0, 2}, {3.0, 2}, {4.0, 2}};
#define SHOWN (sizeof shown / sizeof shown[0])

static size_t n_shown;
static unsigned generation;
static uint64_t start_ns = SHM_START_UNKNOWN;

static void emit(void *node)
{
    (void)node;
    shm_emit_total(NODE_PRODUCER, &series, 5.0);
    shm_emit_total(NODE_PRODUCER, &series, 7.0);
    shm_emit_generation(NODE_PRODUCER, &series, 0.0);
    shm_emit_total(NODE_PRODUCER, &series, 9.0);
    shm_emit_generation(NODE_PRODUCER, &series, 3.0);
    shm_emit_total(NODE_PRODUCER, &series, 4.0);
}

/* Reads the entries, and binds each series to nothing. */
static void read_entries(struct shm_drain *drain, unsigned long step)
{
    static unsigned char buffer[SHM_ENTRY_MAX_BYTES];
    struct shm_entry entry;
    while (shm_drain_pass(drain) == SHM_DRAIN_ENTRIES)
        while (shm_drain_entry(drain, &entry, buffer) == SHM_DRAINED && entry.size_bytes)
            if (entry.kind == SHM_ENTRY_SERIES)
                shm_drain_bind(drain, SHM_TYPE_OBSERVED, 0, NULL, NULL);
    if (shm_drain_pass(drain) != SHM_DRAINED)
        node_fail("the lane broke", step);
}

static void check(void *node, unsigned long step)
{
    static struct node copy;
    struct shm_drain drain;
    struct shm_observed_copy found;
    memcpy(&copy, node, sizeof copy);
    node_open(&copy, &drain, step);
    shm_recover_emitter(&drain);
    read_entries(&drain, step);
    uint32_t n = shm_drain_observed(&drain, 1, &found, 1);
    shm_drain_close(&drain);
    if (n == 0 && n_shown == 0)
        return; /* nothing yet */
    if (n == 0)
        node_fail("it is shown no more", step);
    if (found.start_ns != start_ns) {
        if (found.start_ns < start_ns)
            node_fail("the start went back", step);
        start_ns = found.start_ns;
        generation++;
    }
    bool is_next = n_shown < SHOWN && found.total == shown[n_shown].total &&
                   generation == shown[n_shown].generation;
    bool is_same = n_shown > 0 && found.total == shown[n_shown - 1].total &&
                   generation == shown[n_shown - 1].generation;
    if (!is_next && !is_same)
        node_fail("a total that was not there", step);
    n_shown += !is_same;
}

int main(void)
{
    struct node *node = node_new(8, NODE_ROOMY);
    unsigned long changes = step_through(node, sizeof *node, node, emit, check);
    if (n_shown != SHOWN)
        node_fail("not all that was there was shown", changes);
    printf("exact after each of %lu changes\n", changes);
    return 0;
}
