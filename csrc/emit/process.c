/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "process.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct shm_producer first;
struct shm_process shm_process = {.producer = &first};

/* Changes of lane are whole: no fork comes in between, neither of another thread, which waits for
 * the lock, nor out of a signal handler of this one. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

/* Blocks signals and takes the lock. */
static void begin_change(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    pthread_mutex_lock(&changing);
}

static void end_change(const sigset_t *before)
{
    pthread_mutex_unlock(&changing);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* Room for more than the largest lane that a collector gives. A process with little address space
 * gets the sizes of a first lane. */
static const struct shm_lane_sizes private_sizes[] = {
    {.records = 0, .dictionary_bytes = 1u << 25, .cells = 1u << 20, .calls = SHM_MAX_OPEN_CALLS},
    {.records = 0,
     .dictionary_bytes = SHM_DEFAULT_DICTIONARY_BYTES,
     .cells = SHM_DEFAULT_CELLS,
     .calls = SHM_MAX_OPEN_CALLS},
};

#define MOST_IDS (1u << 18) /* series of a lane that a move knows */
#define SAME_SIZE_NS UINT64_C(60000000000) /* between moves that only leave behind what is not used */

static void unmap(struct shm_mapping *mapping)
{
    if (mapping->base)
        munmap(mapping->base, mapping->size_bytes);
    *mapping = (struct shm_mapping){NULL, 0};
}

/* Forgets a granted lane that is not used yet. */
static void forget_arriving(struct shm_process *self)
{
    unmap(&self->arriving.mapping);
    self->arriving = SHM_NOTHING_ARRIVES;
}

/* Maps zeroes. Pages that nobody touches cost nothing, even if the service has all its memory
 * locked: such a mapping is filled at once, unless nothing may be read from it. */
static void *map_zeroes(uint64_t size_bytes)
{
    void *base =
        mmap(NULL, size_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    (void)munlock(base, size_bytes);
    if (mprotect(base, size_bytes, PROT_READ | PROT_WRITE) != 0) {
        munmap(base, size_bytes);
        return NULL;
    }
    return base;
}

static bool map_private(struct shm_mapping *mapping, struct shm_lane *lane)
{
    for (size_t i = 0; i < sizeof private_sizes / sizeof private_sizes[0]; i++) {
        uint64_t size_bytes = shm_lane_bytes(&private_sizes[i]);
        void *base = map_zeroes(size_bytes);
        if (!base)
            continue;
        shm_lane_format(base, 0, &private_sizes[i]);
        if (shm_lane_attach(base, size_bytes, lane) == SHM_ATTACH_OK) {
            *mapping = (struct shm_mapping){base, size_bytes};
            atomic_store_explicit(&lane->header->consumer.state, SHM_LANE_PRIVATE,
                                  memory_order_relaxed);
            return true;
        }
        munmap(base, size_bytes);
    }
    return false; /* no memory, no lane to count in; tried again at the next event */
}

/* Begins with a lane. Ids are noted in the table of the producer's side. */
static void begin(struct shm_process *self, struct shm_producer *producer,
                  const struct shm_lane *lane)
{
    struct shm_series ***table = &self->tables[producer->side];
    if (!*table)
        *table = map_zeroes(MOST_IDS * sizeof **table);
    producer->by_id = *table;
    producer->n_by_id = *table ? MOST_IDS : 0;
    shm_producer_begin(producer, lane, ++self->last_generation);
}

/* Begins with private memory. most_calls: so many slots for open calls. */
static bool begin_private(struct shm_process *self, struct shm_producer *producer,
                          struct shm_mapping *mapping, uint32_t most_calls)
{
    struct shm_lane lane;
    if (!map_private(mapping, &lane))
        return false;
    lane.n_calls = most_calls;
    begin(self, producer, &lane);
    return true;
}

static bool open_private(struct shm_producer *producer)
{
    sigset_t before;
    begin_change(&before);
    /* Another one: a record of the parent's that we were forked out of. */
    bool done = producer == shm_process_producer() &&
                begin_private(&shm_process, producer, &shm_process.lane, SHM_DEFAULT_CALLS);
    if (done)
        shm_process.state = SHM_PROCESS_PRIVATE;
    end_change(&before);
    return done;
}

/* Makes the producer of what waits. Its memory is never given back, as new_producer() says. */
static struct shm_producer *begin_waiting(struct shm_process *self, struct shm_producer *producer)
{
    if (!self->spare)
        self->spare = map_zeroes(sizeof *self->spare);
    struct shm_producer *waiting = self->spare;
    if (!waiting)
        return NULL;
    memset(waiting, 0, sizeof *waiting);
    waiting->side = 1 - producer->side;
    waiting->epoch = producer->epoch;
    return begin_private(self, waiting, &self->waiting, SHM_MAX_OPEN_CALLS) ? waiting : NULL;
}

static struct shm_producer *open_waiting(struct shm_producer *producer)
{
    sigset_t before;
    begin_change(&before);
    struct shm_producer *waiting = producer == shm_process_producer() && !producer->waiting
                                       ? begin_waiting(&shm_process, producer)
                                       : NULL;
    end_change(&before);
    return waiting;
}

static void before_fork(void)
{
    pthread_mutex_lock(&changing);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&changing);
}

/* Makes a producer like another, without its lane. It is never given back: a child that returns
 * into an interrupted record uses the old one once more, and nobody can tell. 13 KiB per
 * generation. */
static struct shm_producer *new_producer(struct shm_process *self, const struct shm_producer *old)
{
    struct shm_producer *fresh = mmap(NULL, sizeof *fresh, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        return NULL;
    fresh->open = old->open;
    fresh->disabled = old->disabled;
    fresh->epoch = old->epoch + 1;
    fresh->calls_generation = shm_first_calls_of(fresh->epoch);
    fresh->lane_generation = ++self->last_generation; /* no series has it */
    fresh->generation = fresh->lane_generation;
    return fresh;
}

/* Leaves the parent's lane, to which the child of a fork must never write, and whose file it
 * must not hold open. The mapping becomes private zero pages at the same address and not a hole,
 * and the producer stays as it was: a record may be half written, and the rest of it has to go
 * somewhere. So do the tables of its series, and what waits. */
static bool keep_apart(const struct shm_mapping *mapping)
{
    return !mapping->base ||
           mmap(mapping->base, mapping->size_bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static void after_fork_in_child(void)
{
    struct shm_process *self = &shm_process;
    struct shm_producer *old = shm_process_producer();
    bool is_apart = keep_apart(&self->lane) && keep_apart(&self->waiting);
    old->kicks = NULL;
    old->wait = NULL;
    self->state = SHM_PROCESS_NONE;
    self->lane = self->waiting = (struct shm_mapping){NULL, 0};
    forget_arriving(self); /* nothing is recorded there yet */
    self->spare = NULL;
    self->heard = 0;
    self->tables[0] = self->tables[1] = NULL;
    self->before = (struct shm_counts){0};
    struct shm_producer *fresh = is_apart ? new_producer(self, old) : NULL;
    if (fresh)
        atomic_store_explicit(&self->producer, fresh, memory_order_relaxed);
    old->disabled = true; /* without a fresh one the child records nothing */
    after_fork();
}

void shm_process_init(bool disabled)
{
    struct shm_process *self = &shm_process;
    struct shm_producer *producer = shm_process_producer();
    if (producer->open)
        return;
    producer->open = open_private;
    self->last_generation = 1; /* series begin with 0 */
    producer->lane_generation = producer->generation = self->last_generation;
    producer->disabled = disabled;
    if (pthread_atfork(before_fork, after_fork, after_fork_in_child) != 0)
        producer->disabled = true; /* without it a child could write to its parent's lane */
}

/* ---- lanes ------------------------------------------------------------------------------ */

/* Keeps what was counted in the lane that is about to be left. */
static void keep_counts(struct shm_process *self, const struct shm_header *header)
{
    struct shm_counts counts;
    shm_counts_read(header, &counts);
    counts.waiting = 0; /* the collector takes those yet */
    shm_counts_add(&self->before, &counts);
}

/* Leaves the lane without its state: open calls are listed no more. What waits becomes the private
 * lane. */
static void leave(struct shm_process *self, struct shm_producer *producer)
{
    struct shm_producer *waiting = producer->waiting;
    unmap(&self->lane);
    forget_arriving(self);
    self->before = (struct shm_counts){0};
    producer->kicks = NULL;
    producer->wait = NULL;
    producer->calls_generation++;
    if (waiting) {
        shm_adopt_waiting(producer, waiting);
        self->lane = self->waiting;
        self->waiting = (struct shm_mapping){NULL, 0};
        self->state = SHM_PROCESS_PRIVATE;
        for (uint32_t slot = 0; slot < producer->calls_high; slot++)
            atomic_store_explicit(&producer->lane.calls[slot].series, 0, memory_order_relaxed);
        producer->lane.n_calls = SHM_DEFAULT_CALLS; /* no lane has fewer */
        producer->calls_high = 0;
        shm_free_slots(producer, &producer->lane);
        return;
    }
    self->state = SHM_PROCESS_NONE;
    producer->ring = (struct shm_ring){0};
    producer->lane = (struct shm_lane){0};
    producer->lane_generation = ++self->last_generation; /* no series has it */
    shm_be_content(producer);
}

/* Goes on in a lane that is too small for what the private one holds: as much of it as fits keeps
 * its labels. */
static bool squeeze(struct shm_process *self, struct shm_producer *producer,
                    const struct shm_lane *lane)
{
    struct shm_producer *waiting = self->spare ? self->spare : map_zeroes(sizeof *waiting);
    if (!waiting || producer->calls_high > lane->n_calls)
        return false;
    self->spare = waiting;
    *waiting = *producer;
    producer->side = 1 - waiting->side;
    begin(self, producer, lane);
    shm_settle(producer, waiting);
    shm_free_slots(producer, &producer->lane);
    return true;
}

/* Lets the producer go on in a lane. */
static bool enter(struct shm_process *self, struct shm_producer *producer,
                  const struct shm_lane *lane)
{
    if (self->state == SHM_PROCESS_REGISTERED) {
        struct shm_producer *waiting =
            producer->waiting ? producer->waiting : begin_waiting(self, producer);
        struct shm_header *old = producer->lane.header;
        bool is_larger = lane->dictionary_bytes > producer->lane.dictionary_bytes ||
                         lane->n_cells > producer->lane.n_cells;
        producer->waiting = waiting;
        if (!waiting || !shm_producer_replace(producer, waiting, lane))
            return false;
        keep_counts(self, old);
        unmap(&self->waiting);
        if (!is_larger) /* the same size once more: not again and again */
            producer->grow_after_ns = shm_clock_coarse_ns() + SAME_SIZE_NS;
        return true;
    }
    if (self->state == SHM_PROCESS_PRIVATE)
        return shm_producer_move(producer, lane) ||
               (self->squeezes && squeeze(self, producer, lane));
    begin(self, producer, lane);
    return true;
}

/* Maps a granted lane, unless that was done at an earlier event. */
static enum shm_attach map_arriving(struct shm_arriving *arriving,
                                    const struct shm_descriptor *granted)
{
    struct stat file;
    if (!shm_descriptor_is_ours(granted) || fstat(granted->fd, &file) != 0 ||
        file.st_size < (off_t)SHM_HEADER_BYTES || (uint64_t)file.st_size > SHM_LANE_MAX_BYTES)
        return SHM_ATTACH_NOT_A_LANE;
    if (arriving->mapping.base)
        return SHM_ATTACH_OK;
    uint64_t size_bytes = (uint64_t)file.st_size;
    void *base = shm_map_lane(granted->fd, size_bytes);
    if (base == MAP_FAILED)
        return SHM_ATTACH_NOT_A_LANE;
    arriving->mapping = (struct shm_mapping){base, shm_mapping_bytes(size_bytes)};
    arriving->size_bytes = size_bytes;
    return shm_lane_attach(base, size_bytes, &arriving->lane);
}

/* Has the next pages come of a part of a lane, no more than an event can wait for. Returns whether
 * some came. */
static bool bring_some(const void *part, uint64_t n_bytes, uint64_t *brought_bytes)
{
    if (*brought_bytes >= n_bytes)
        return false;
    uint64_t left_bytes = n_bytes - *brought_bytes;
    if (left_bytes > SHM_MOST_BYTES_AT_ONCE)
        left_bytes = SHM_MOST_BYTES_AT_ONCE;
    bool come = shm_bring_pages((uintptr_t)part + *brought_bytes, left_bytes);
    *brought_bytes = come ? *brought_bytes + left_bytes : n_bytes; /* or each when it is touched */
    return come;
}

/* Has pages come that the content of `from` needs in a large lane. Returns whether some came, and
 * more may be needed. */
static bool bring_pages(struct shm_arriving *arriving, const struct shm_producer *from)
{
    const struct shm_lane *lane = &arriving->lane;
    if (arriving->size_bytes <= SHM_MOST_BYTES_AT_ONCE || !from->lane.header)
        return false; /* they are there, or there is no content */
    return bring_some(lane->dictionary, from->dictionary_end, &arriving->dictionary_bytes) ||
           bring_some((const void *)lane->cells, (uint64_t)from->cells_used * SHM_CELL_BYTES,
                      &arriving->cells_bytes);
}

static enum shm_attach attach(struct shm_process *self, struct shm_descriptor *granted)
{
    struct shm_producer *producer = shm_process_producer();
    struct shm_arriving *arriving = &self->arriving;
    enum shm_attach found = map_arriving(arriving, granted);
    if (found == SHM_ATTACH_OK &&
        bring_pages(arriving, producer->waiting ? producer->waiting : producer)) {
        producer->attend_at_ns = 0;
        return SHM_ATTACH_LATER;
    }
    struct shm_mapping mapping = arriving->mapping;
    struct shm_lane lane = arriving->lane;
    uint64_t size_bytes = arriving->size_bytes;
    *arriving = SHM_NOTHING_ARRIVES;
    if (found == SHM_ATTACH_OK && self->state == SHM_PROCESS_REGISTERED &&
        lane.predecessor != producer->lane.lane_id) {
        if (lane.predecessor != 0)
            found = SHM_ATTACH_FOREIGN;
        else
            leave(self, producer); /* the collector does not know our lane: nobody drains it */
    }
    if (found == SHM_ATTACH_OK && !enter(self, producer, &lane))
        found = SHM_ATTACH_TOO_SMALL;
    if (found != SHM_ATTACH_OK) {
        unmap(&mapping);
        return found;
    }
    producer->kicks = (unsigned char *)mapping.base + shm_kick_offset(size_bytes);
    producer->wait = open_waiting;
    unmap(&self->lane);
    self->lane = mapping;
    self->heard = 0;
    self->state = SHM_PROCESS_REGISTERED;
    shm_descriptor_close(granted); /* the mapping is all that is needed, and all that is kept */
    return SHM_ATTACH_OK;
}

enum shm_attach shm_process_attach(uint32_t epoch, struct shm_descriptor *lane)
{
    sigset_t before;
    begin_change(&before);
    enum shm_attach found = epoch == shm_process_producer()->epoch
                                ? attach(&shm_process, lane)
                                : SHM_ATTACH_FOREIGN;
    end_change(&before);
    return found;
}

/* Leaves indices of zero, which make the next event take the slow path. */
void shm_process_detach(void)
{
    struct shm_producer *producer = shm_process_producer();
    sigset_t before;
    begin_change(&before);
    leave(&shm_process, producer);
    producer->attend_at_ns = 0;
    end_change(&before);
}

void shm_process_settle(uint64_t retry_ns)
{
    struct shm_process *self = &shm_process;
    struct shm_producer *producer = shm_process_producer();
    sigset_t before;
    begin_change(&before);
    if (producer->waiting) {
        shm_settle(producer, producer->waiting);
        producer->waiting = NULL;
        unmap(&self->waiting);
    }
    self->squeezes = self->state == SHM_PROCESS_PRIVATE;
    producer->grow_after_ns = shm_clock_coarse_ns() + retry_ns;
    shm_be_content(producer);
    end_change(&before);
}

/* ---- what is asked about it ------------------------------------------------------------- */

static void add_used(struct shm_wanted *wanted, const struct shm_producer *producer)
{
    wanted->dictionary_bytes += producer->dictionary_end + producer->reserved.bytes;
    wanted->cells += (uint64_t)producer->cells_used + producer->reserved.cells;
}

void shm_process_wanted(struct shm_wanted *wanted)
{
    const struct shm_producer *producer = shm_process_producer();
    *wanted = (struct shm_wanted){0, 0, 0};
    if (shm_process.state == SHM_PROCESS_REGISTERED)
        wanted->predecessor = producer->lane.lane_id;
    if (shm_process.state != SHM_PROCESS_NONE)
        add_used(wanted, producer);
    if (producer->waiting)
        add_used(wanted, producer->waiting);
    wanted->dictionary_bytes *= 2;
    wanted->cells *= 2;
    if (wanted->dictionary_bytes < SHM_DEFAULT_DICTIONARY_BYTES)
        wanted->dictionary_bytes = SHM_DEFAULT_DICTIONARY_BYTES;
    if (wanted->cells < SHM_DEFAULT_CELLS)
        wanted->cells = SHM_DEFAULT_CELLS;
}

bool shm_process_counts(struct shm_counts *counts)
{
    const struct shm_producer *producer = shm_process_producer();
    if (!producer->lane.header)
        return false;
    shm_counts_read(producer->lane.header, counts);
    shm_counts_add(counts, &shm_process.before);
    if (producer->waiting) {
        struct shm_counts waiting;
        shm_counts_read(producer->waiting->lane.header, &waiting);
        shm_counts_add(counts, &waiting);
    }
    return true;
}

uint32_t shm_process_notices(unsigned char *to)
{
    if (shm_process.state != SHM_PROCESS_REGISTERED)
        return 0;
    struct shm_header *header = shm_process_producer()->lane.header;
    uint32_t n_bytes = shm_notices_copy(header, shm_process.heard, to);
    shm_process.heard += n_bytes;
    /* Relaxed: the collector takes nothing from it but the number. */
    atomic_store_explicit(&header->producer.heard, shm_process.heard, memory_order_relaxed);
    return n_bytes;
}

void shm_process_forget_series(const struct shm_series *s)
{
    shm_forget_series(shm_process_producer(), s);
}

void shm_process_forget_family(const struct shm_family *f)
{
    shm_forget_family(shm_process_producer(), f);
}
