/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One life of everything in csrc/ but the text: a process that records on its own, registers, fills its
 * ring, forks, and dies in the middle of a spilled event; a collector under guard that drains it, takes
 * over from a killed one, retires the lane, and finds another one cut short. For sanitizers and valgrind.
 *
 *   whole [overrun | uninitialised]      with a mistake, which they have to find
 */
#define _GNU_SOURCE
#include "drain/contained.h"
#include "emit/ids.h"
#include "emit/process.h"

#define NODE_PRODUCER (shm_process_producer())
#include "node.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#define EVENTS 240u

static const struct shm_lane_sizes sizes = {
    64, SHM_DEFAULT_DICTIONARY_BYTES, SHM_DEFAULT_CELLS, SHM_DEFAULT_CALLS};

struct collector {
    unsigned char *memory;
    uint64_t size_bytes;
    struct shm_drain drain;
};

static void expect(bool right, const char *what)
{
    if (!right)
        node_fail(what, 0);
}

/* A lane as a collector makes it: its own mapping, and a descriptor to hand over. */
static int grant(struct collector *collector, struct node *node)
{
    int fd = memfd_create("lane", 0);
    collector->size_bytes = shm_lane_bytes(&sizes);
    expect(fd >= 0 && ftruncate(fd, (off_t)collector->size_bytes) == 0, "no file");
    collector->memory =
        mmap(NULL, collector->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    shm_lane_format(collector->memory, 3, &sizes);
    expect(shm_contained_open(&collector->drain, collector->memory, collector->size_bytes,
                              &node->ledger, &node->undo, node->cells, NODE_CELLS) == SHM_ATTACH_OK,
           "no lane");
    expect(shm_contained_recover(&collector->drain), "the undo entry is damaged");
    return fd;
}

static enum shm_drained drain(struct collector *collector, struct node *node)
{
    static unsigned char buffer[SHM_ENTRY_MAX_BYTES];
    static uint16_t types[8];
    struct shm_drain *with = &collector->drain;
    struct shm_entry entry;
    enum shm_drained found;
    while ((found = shm_contained_pass(with)) == SHM_DRAIN_ENTRIES) {
        while (shm_contained_entry(with, &entry, buffer) == SHM_DRAINED && entry.size_bytes) {
            uint16_t type = SHM_TYPE_EXCEPTION;
            if (entry.kind == SHM_ENTRY_FAMILY) {
                types[entry.id] = entry.type;
                continue;
            }
            if (entry.kind == SHM_ENTRY_CELLS)
                continue;
            if (entry.kind == SHM_ENTRY_SERIES)
                type = types[entry.of];
            for (int i = 0; i < NODE_SERIES; i++)
                if (node_types[i] == type)
                    shm_drain_bind(with, type, node_bounds_of(type), &node_scale,
                                   node_row(node, i));
        }
    }
    return found;
}

static void record(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        node_emit(i);
}

static void count(struct node *node, uint64_t events)
{
    const uint64_t *calls = node_row(node, NODE_CALLS);
    expect(shm_value(*node_row(node, NODE_COUNTER)) == (double)(events / 4) * 0.5, "counter");
    expect(calls[SHM_CELL_STARTS] == events / 4, "starts");
    expect(calls[SHM_CELL_ENDS] == events / 4, "ends");
}

static void fork_and_record(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        record(0, 8);
        shm_process_detach();
        _exit(0);
    }
    expect(waitpid(child, &status, 0) == child && status == 0, "the child");
}

/* What an emitter leaves that was killed while it spilled, with a call open. */
static void die(struct collector *collector)
{
    struct shm_header *header = (struct shm_header *)(void *)collector->memory;
    node_emit(2);
    atomic_store_explicit(&header->intent.spilled, header->producer.spilled, memory_order_relaxed);
    shm_process_detach();
}

static void retire(struct collector *collector, struct node *node)
{
    struct shm_open_call_copy open[8];
    struct shm_gauge_copy gauges[8];
    struct shm_counts counts;
    expect(shm_contained_finish(&collector->drain), "finish");
    expect(drain(collector, node) == SHM_DRAINED, "the last pass");
    uint32_t n = shm_contained_calls(&collector->drain, open, 8);
    expect(n == 1 && shm_contained_abandon(&collector->drain, open[0].slot, NODE_CELLS - 1),
           "abandon");
    expect(shm_contained_gauges(&collector->drain, 1, gauges, 8) == 0, "gauges");
    expect(shm_contained_counts(&collector->drain, &counts) && counts.waiting == 0, "counts");
    expect(shm_contained_report_counts(&collector->drain), "reports");
    expect(shm_contained_give_up(&collector->drain), "give up");
    shm_drain_close(&collector->drain);
    munmap(collector->memory, collector->size_bytes);
}

static void cut_short(struct node *node)
{
    struct collector collector;
    struct shm_open_call_copy open;
    int fd = grant(&collector, node);
    expect(ftruncate(fd, 4096) == 0, "ftruncate");
    expect(shm_contained_calls(&collector.drain, &open, 1) == 0, "calls");
    struct shm_header *header = (struct shm_header *)(void *)collector.memory;
    atomic_store_explicit(&header->producer.head, SHM_INDEX_START + 1, memory_order_relaxed);
    expect(drain(&collector, node) == SHM_BROKEN_CUT_SHORT, "a lane that was cut short");
    shm_drain_close(&collector.drain);
    munmap(collector.memory, collector.size_bytes);
    close(fd);
}

/* More than there is room for, and some are forgotten. */
static void keep_exemplars(void)
{
    struct shm_exemplars exemplars;
    struct shm_exemplar copy[3];
    expect(shm_exemplars_open(&exemplars, 3), "exemplars");
    for (uint32_t i = 0; i < 100; i++) {
        struct shm_exemplar one = {.series = i % 5, .bucket = i % 7, .stamp_ns = i};
        shm_exemplars_put(&exemplars, &one, i);
        if (i % 9 == 0)
            shm_exemplars_forget(&exemplars, i % 5, 7);
    }
    expect(shm_exemplars_copy(&exemplars, copy) == exemplars.n, "the exemplars");
    shm_exemplars_close(&exemplars);
}

static void make_mistake(const char *which)
{
    unsigned char *bytes = malloc(64);
    if (strcmp(which, "overrun") == 0)
        ((volatile unsigned char *)bytes)[64] = 1;
    else if (((volatile unsigned char *)bytes)[5] == 1)
        puts("who knows");
    free(bytes);
}

/* A child makes others than its parent, and as text they are what they are. */
static void make_ids(void)
{
    uint8_t ours[SHM_ID_BYTES], theirs[SHM_ID_BYTES], next[SHM_ID_BYTES];
    char text[SHM_ID_TEXT_BYTES];
    int ends[2];
    expect(shm_ids_init() && pipe(ends) == 0, "ids");
    shm_new_id(ours);
    pid_t child = fork();
    if (child == 0) {
        shm_new_id(theirs);
        _exit(write(ends[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
    }
    int status;
    expect(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a child with ids");
    expect(read(ends[0], theirs, sizeof theirs) == sizeof theirs, "its id");
    shm_new_id(next);
    expect(memcmp(ours, next, sizeof ours) != 0 && memcmp(theirs, next, sizeof theirs) != 0,
           "an id that was there before");
    shm_id_text(text, ours);
    expect(text[8] == '-' && text[14] == '4', "the text of an id");
    close(ends[0]);
    close(ends[1]);
}

int main(int n, char **words)
{
    static struct node node;
    struct collector collector;
    node_define();
    shm_process_init(false);
    record(0, EVENTS / 2); /* on its own */
    int fd = grant(&collector, &node);
    struct shm_descriptor granted = shm_descriptor_of(fd);
    expect(shm_process_attach(shm_process_producer()->epoch, &granted) == SHM_ATTACH_OK, "attach");
    record(EVENTS / 2, EVENTS); /* more than the ring holds */
    fork_and_record();
    expect(drain(&collector, &node) == SHM_DRAINED, "drain");
    count(&node, EVENTS);
    die(&collector);
    retire(&collector, &node);
    cut_short(&node);
    keep_exemplars();
    make_ids();
    if (n > 1)
        make_mistake(words[1]);
    puts("whole");
    return 0;
}
