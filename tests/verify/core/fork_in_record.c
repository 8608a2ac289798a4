/* SPDX-License-Identifier: Apache-2.0 */
/* A signal handler that forks between any two instructions of a record. The child records in the
 * handler, returns into the record that was interrupted, and goes on; so does its parent. Each must
 * find in its own lane its own events, whole, and nobody else's.
 *
 * Every instruction is stepped by the processor's trap flag: x86-64 only. */
#define _GNU_SOURCE
#include "emit/process.h"
#include "lane/counts.h"

#define NODE_PRODUCER (shm_process_producer())
#include "node.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100
#define RECORDS 8u
#define IN_HANDLER 8u /* events; node_emit has four kinds, and throws at every other end */
#define AFTERWARDS 8u
#define NOT_SUPPORTED 77

static volatile sig_atomic_t stepping, masked, is_child;
static volatile unsigned long steps;

/* ---- lanes ------------------------------------------------------------------------------ */

/* A lane in a file of its own, granted to the process of that epoch; and a mapping of it. */
static unsigned char *attach(uint32_t epoch, uint64_t *size_bytes)
{
    struct shm_lane_sizes sizes = {RECORDS, 2048, 128, 8};
    int fd = memfd_create("lane", 0);
    *size_bytes = shm_lane_bytes(&sizes);
    if (fd < 0 || ftruncate(fd, (off_t)*size_bytes) != 0)
        node_fail("no file", steps);
    unsigned char *lane = mmap(NULL, *size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    shm_lane_format(lane, 1, &sizes);
    struct shm_descriptor granted = shm_descriptor_of(fd);
    if (shm_process_attach(epoch, &granted) != SHM_ATTACH_OK && !is_child)
        node_fail("could not attach", steps);
    return lane;
}

/* How many events there are, and that they are the first of node_emit's sequence but one: the
 * interrupted one of kind `extra`, which may be there too. */
static void check(struct node *node, struct shm_drain *drain, uint32_t events, int extra)
{
    node_drain(node, drain, steps);
    const uint64_t *histogram = node_row(node, NODE_HISTOGRAM);
    const uint64_t *calls = node_row(node, NODE_CALLS);
    uint64_t found[4] = {
        (uint64_t)(shm_value(*node_row(node, NODE_COUNTER)) * 2.0),
        node_counted(histogram + SHM_HISTOGRAM_BUCKETS),
        calls[SHM_CELL_STARTS],
        calls[SHM_CELL_ENDS],
    };
    for (int kind = 0; kind < 4; kind++) {
        uint64_t over = found[kind] - events / 4;
        if (over != 0 && !(over == 1 && kind == extra)) {
            fprintf(stderr, "kind %d: %u, not %u: ", kind, (unsigned)found[kind], events / 4);
            node_fail("not this process's events", steps);
        }
    }
    if (node_counted(calls + SHM_CALLS_BUCKETS) != found[3])
        node_fail("half an end", steps);
    for (int i = 0; i < SHM_DROPS; i++) {
        uint64_t lost = drain->lane.header->producer.dropped[i];
        if (lost > (i == SHM_DROP_FOREIGN_CALL && is_child))
            node_fail(shm_drop_name((enum shm_drop)i), steps);
    }
}

/* ---- the child -------------------------------------------------------------------------- */

static unsigned char *childs_lane;
static uint64_t childs_bytes;

/* In an order in which no series gets the id that it has in the parent's lane. */
static void record(uint32_t events)
{
    static struct shm_call call; /* the interrupted one is another */
    for (uint32_t i = 2; i < events + 2; i++) {
        uint32_t label = i / 4 % NODE_LABELS;
        if (i % 4 == 2)
            shm_emit_call_start(NODE_PRODUCER, &node_series[NODE_CALLS][label], &call);
        else if (i % 4 == 3)
            shm_emit_call_end(NODE_PRODUCER, &node_series[NODE_CALLS][label], &call,
                              &node_series[NODE_THROWN][label]);
        else
            node_emit(i);
    }
}

static void end_child(int extra)
{
    static struct node node;
    struct shm_drain drain;
    if (!childs_lane)
        childs_lane = attach(shm_process_producer()->epoch, &childs_bytes);
    if (shm_process.state != SHM_PROCESS_REGISTERED ||
        shm_process.lane.size_bytes != shm_mapping_bytes(childs_bytes))
        node_fail("the child's lane is not the process's", steps);
    record(AFTERWARDS);
    if (shm_drain_open(&drain, childs_lane, childs_bytes, &node.ledger, &node.undo, node.cells,
                       NODE_CELLS) != SHM_ATTACH_OK)
        node_fail("no lane in the child", steps);
    check(&node, &drain, IN_HANDLER + AFTERWARDS, extra);
    _exit(0);
}

/* ---- one instruction at a time ---------------------------------------------------------- */

static void start(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void stepped(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    int status;
    if (!stepping || masked) {
        *flags &= ~(greg_t)TRAP_FLAG;
        return;
    }
    steps++;
    pid_t child = fork();
    if (child == 0) {
        is_child = 1;
        stepping = 0;
        *flags &= ~(greg_t)TRAP_FLAG;
        if (steps % 2)
            childs_lane = attach(shm_process_producer()->epoch, &childs_bytes);
        record(IN_HANDLER);
        return; /* into the middle of the record */
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "step %lu: the child ended with status %#x\n", steps, (unsigned)status);
        exit(1);
    }
}

/* What process.c calls for pthread_sigmask: no signal means no step. */
int step_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    (void)how, (void)before;
    masked = sigismember(set, SIGUSR1);
    if (!before && stepping)
        raise(SIGUSR1); /* unmasked: go on stepping */
    else if (before)
        sigemptyset(before);
    return 0;
}

/* For clock_gettime: the C library's one reads again when it was interrupted, and so never ends. */
int step_clock(clockid_t clock, struct timespec *time)
{
    return (int)syscall(SYS_clock_gettime, clock, time);
}

static void step_event(uint32_t i)
{
    stepping = 1;
    raise(SIGUSR1);
    node_emit(i);
    stepping = 0;
    if (is_child)
        end_child((int)(i % 4));
}

int main(void)
{
#ifndef __x86_64__
    return NOT_SUPPORTED;
#endif
    static struct node node;
    static struct shm_drain drain;
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    uint64_t size_bytes;
    uint32_t i = 0;
    action.sa_sigaction = stepped;
    sigaction(SIGTRAP, &action, NULL);
    action.sa_sigaction = start;
    sigaction(SIGUSR1, &action, NULL);
    node_define();
    for (int kind = 0; kind < NODE_SERIES; kind++)
        node_series[kind][NODE_LABELS - 1].text = NULL; /* these overflow */
    shm_process_init(false);

    while (i < 8) /* from the very first record on, without a collector */
        step_event(i++);
    uint32_t epoch = shm_process_producer()->epoch;
    stepping = 1;
    raise(SIGUSR1);
    unsigned char *lane = attach(epoch, &size_bytes);
    stepping = 0;
    if (is_child)
        end_child(-1);
    if (shm_drain_open(&drain, lane, size_bytes, &node.ledger, &node.undo, node.cells, NODE_CELLS) !=
        SHM_ATTACH_OK)
        node_fail("no lane", steps);
    while (i < 12) /* into the ring */
        step_event(i++);
    while (i < 20) /* until it is full, and over */
        node_emit(i++);
    while (i < 24)
        step_event(i++);
    check(&node, &drain, i, -1);
    printf("exact after each of %lu steps\n", steps);
    return 0;
}
