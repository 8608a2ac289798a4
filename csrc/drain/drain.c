/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE 1 /* as C++ compilers have it: the models are in C++ */
#include "drain.h"

#include <math.h>
#include <stdlib.h>

#include "../lane/clock.h"
#include "totals.h"

enum shm_attach shm_drain_open(struct shm_drain *drain, void *base, uint64_t size_bytes,
                               struct shm_ledger *ledger, struct shm_undo *undo, uint64_t *cells,
                               uint64_t n_cells)
{
    *drain = (struct shm_drain){
        .n_targets = 1, .ledger = ledger, .undo = undo, .cells = cells, .n_cells = n_cells};
    enum shm_attach found = shm_lane_attach(base, size_bytes, &drain->lane);
    if (found == SHM_ATTACH_OK)
        shm_ring_open_reader(&drain->ring, drain->lane.ring, drain->lane.records,
                             drain->lane.header);
    return found;
}

void shm_drain_close(struct shm_drain *drain)
{
    free(drain->targets);
    *drain = (struct shm_drain){.n_targets = 1};
}

/* ---- records ---------------------------------------------------------------------------- */

/* Plans the changes of a call's end. */
static enum shm_drained plan_end(const struct shm_drain *drain, const struct shm_target *target,
                                 const struct shm_record *record, struct shm_plan *plan)
{
    uint64_t *cells = target->cells;
    if (cells) {
        uint32_t bucket = SHM_CALLS_BUCKETS +
                          shm_scale_place(target->scale, shm_seconds(record->duration_ns));
        shm_plan_set(plan, &cells[SHM_CELL_ENDS], cells[SHM_CELL_ENDS] + 1);
        shm_plan_set(plan, &cells[SHM_CELL_DURATION],
                     cells[SHM_CELL_DURATION] + record->duration_ns);
        shm_plan_set(plan, &cells[bucket], cells[bucket] + 1);
    }
    if (record->exception == 0)
        return SHM_DRAINED;
    if (record->exception >= drain->n_targets)
        return SHM_BROKEN_SERIES;
    const struct shm_target *thrown = &drain->targets[record->exception];
    if (thrown->type != SHM_TYPE_EXCEPTION)
        return SHM_BROKEN_KIND;
    if (thrown->cells)
        shm_plan_set(plan, thrown->cells, shm_plus(*thrown->cells, 1.0));
    return drain->failures ? SHM_DRAINED_FAILURE : SHM_DRAINED;
}

/* Plans the changes of a record, or returns why it breaks the contract. Touches nothing. Returns
 * SHM_DRAINED_FAILURE for a call that failed, if such calls are kept. */
static enum shm_drained plan_record(const struct shm_drain *drain, const struct shm_target *target,
                                    const struct shm_record *record, struct shm_plan *plan)
{
    uint64_t *cells = target->cells;
    switch (record->kind) {
    case SHM_KIND_ADD:
        if (target->type != SHM_TYPE_COUNTER)
            return SHM_BROKEN_KIND;
        if (!isfinite(record->value) || record->value < 0.0)
            return SHM_BROKEN_VALUE;
        if (cells)
            shm_plan_set(plan, cells, shm_plus(*cells, record->value));
        return SHM_DRAINED;
    case SHM_KIND_OBSERVE:
        if (target->type != SHM_TYPE_HISTOGRAM)
            return SHM_BROKEN_KIND;
        if (!isfinite(record->value))
            return SHM_BROKEN_VALUE;
        if (cells) {
            uint32_t bucket =
                SHM_HISTOGRAM_BUCKETS + shm_scale_place(target->scale, record->value);
            shm_plan_set(plan, &cells[SHM_CELL_SUM], shm_sum(cells[SHM_CELL_SUM], record->value));
            shm_plan_set(plan, &cells[bucket], cells[bucket] + 1);
        }
        return SHM_DRAINED;
    case SHM_KIND_CALL_START:
        if (target->type != SHM_TYPE_CALLS)
            return SHM_BROKEN_KIND;
        if (cells)
            shm_plan_set(plan, &cells[SHM_CELL_STARTS], cells[SHM_CELL_STARTS] + 1);
        return SHM_DRAINED;
    case SHM_KIND_CALL_END:
        if (target->type != SHM_TYPE_CALLS)
            return SHM_BROKEN_KIND;
        return plan_end(drain, target, record, plan);
    default:
        return SHM_BROKEN_KIND;
    }
}

/* The moment of a pass, by two clocks. */
struct moment {
    uint64_t monotonic_ns; /* 0: nobody has looked yet */
    uint64_t unix_ns;
};

static uint64_t before(uint64_t unix_ns, uint64_t ago_ns)
{
    return unix_ns > ago_ns ? unix_ns - ago_ns : 0;
}

/* Keeps the trace of a record that was folded. Only a call's end has a time of its own: any other
 * record is of some moment since the last tick. */
__attribute__((noinline, cold))
static void keep_exemplar(const struct shm_drain *drain, const struct shm_target *target,
                          const struct shm_record *record, struct moment *now)
{
    const struct shm_target *thrown = NULL;
    struct shm_exemplar exemplar = {.value = record->value, .trace = record->trace};
    if (now->monotonic_ns == 0)
        *now = (struct moment){shm_clock_ns(), shm_clock_unix_ns()};
    exemplar.stamp_ns = now->unix_ns;
    if (record->kind == SHM_KIND_CALL_END) {
        exemplar.value = shm_seconds(record->duration_ns);
        if (record->stamp_ns < now->monotonic_ns) /* it can say anything, but not the future */
            exemplar.stamp_ns = before(now->unix_ns, now->monotonic_ns - record->stamp_ns);
        thrown = record->exception ? &drain->targets[record->exception] : NULL;
    }
    if (target->cells && record->kind != SHM_KIND_CALL_START) {
        exemplar.series = (uint64_t)(target->cells - drain->cells);
        exemplar.bucket = target->scale ? shm_scale_classic(target->scale, exemplar.value) : 0;
        shm_exemplars_put(drain->exemplars, &exemplar, now->unix_ns);
    }
    if (thrown && thrown->cells) {
        exemplar.series = (uint64_t)(thrown->cells - drain->cells);
        exemplar.bucket = 0;
        exemplar.value = 1.0;
        shm_exemplars_put(drain->exemplars, &exemplar, now->unix_ns);
    }
}

/* Keeps a call that failed. Apart, so that the loop over records pays nothing for it. */
__attribute__((noinline, cold))
static void keep_failure(const struct shm_drain *drain, const struct shm_record *record)
{
    shm_failures_put(drain->failures, drain->lane.lane_id, record);
}

static bool is_span(const struct shm_record *record)
{
    return record->kind == SHM_KIND_SPAN_START || record->kind == SHM_KIND_SPAN_STOP;
}

/* Takes a span, and its info in the slots behind it; *slots counts all of them. No total changes:
 * after a kill in the middle the span is taken once more, and the trace store puts both copies
 * together. */
__attribute__((noinline))
static enum shm_drained take_span(struct shm_drain *drain, const struct shm_target *target,
                                  const struct shm_record *record, uint64_t waiting,
                                  uint64_t *slots)
{
    struct shm_span span;
    memcpy(&span, record, sizeof span);
    if (target->type != SHM_TYPE_SPANS || span.n_info > SHM_SPAN_INFO_SLOTS ||
        span.n_info >= waiting)
        return SHM_BROKEN_KIND;
    *slots = 1u + span.n_info;
    unsigned char *to = drain->spans ? shm_spans_room(drain->spans, span.n_info) : NULL;
    uint16_t info_bytes = 0;
    for (uint64_t i = 1; i < *slots; i++) {
        struct shm_record slot;
        struct shm_span_info info;
        shm_ring_read_ahead(&drain->ring, i, &slot);
        memcpy(&info, &slot, sizeof info);
        if (info.kind != SHM_KIND_SPAN_INFO || info.size_bytes > SHM_SPAN_INFO_BYTES)
            return SHM_BROKEN_KIND;
        if (to)
            memcpy(to + info_bytes, info.bytes, info.size_bytes);
        info_bytes = (uint16_t)(info_bytes + info.size_bytes);
    }
    if (to)
        shm_spans_put(drain->spans, &span, info_bytes);
    return SHM_DRAINED;
}

/* Folds the records that wait. Apart from the pass, so that its loop has all registers. */
__attribute__((noinline))
static enum shm_drained drain_ring(struct shm_drain *drain, uint64_t waiting)
{
    struct moment now = {0, 0};
    if (waiting > 0)
        shm_undo_begin(drain->undo, drain->lane.lane_id, drain->ring.tail);
    for (; waiting > 0; waiting--) {
        struct shm_record record; /* copy, then check, then use */
        struct shm_plan plan;
        plan.n = 0; /* and not all of it, for each record */
        shm_ring_read(&drain->ring, &record);
        if (record.series == 0 || record.series >= drain->n_targets)
            return SHM_BROKEN_SERIES;
        const struct shm_target *target = &drain->targets[record.series];
        if (SHM_UNLIKELY(is_span(&record))) {
            uint64_t slots;
            enum shm_drained taken = take_span(drain, target, &record, waiting, &slots);
            if (taken != SHM_DRAINED)
                return taken;
            shm_ring_release_run(&drain->ring, slots);
            drain->taken[record.kind]++;
            drain->taken[SHM_KIND_SPAN_INFO] += slots - 1;
            waiting -= slots - 1;
            continue;
        }
        enum shm_drained result = plan_record(drain, target, &record, &plan);
        if (SHM_UNLIKELY(result != SHM_DRAINED)) {
            if (result != SHM_DRAINED_FAILURE)
                return result;
            keep_failure(drain, &record);
        }
        if (!target->cells && drain->tally.unbound)
            shm_plan_set(&plan, drain->tally.unbound, shm_plus(*drain->tally.unbound, 1.0));
        shm_undo_record(drain->undo, drain->cells, &plan, drain->ring.tail);
        shm_ring_release(&drain->ring);
        drain->taken[record.kind]++;
        if (record.flags & SHM_FLAG_TRACE && drain->exemplars)
            keep_exemplar(drain, target, &record, &now);
    }
    return SHM_DRAINED;
}

static_assert(SHM_KINDS <= SHM_UNDO_CHANGES, "a pass may take events of every kind");

/* Counts the records taken from the ring since the last time. Once for a whole pass: for each
 * record it would be a fifth of the work. Their number is exact whatever happens; their kinds are
 * lost when a collector is killed in between. */
static void count_taken(struct shm_drain *drain)
{
    _Atomic uint64_t *reported = &drain->ledger->counts[SHM_REPORT_TAKEN];
    uint64_t seen = atomic_load_explicit(reported, memory_order_relaxed);
    uint64_t now = drain->ring.tail - SHM_INDEX_START;
    struct shm_plan plan = {.n = 0};
    if (now <= seen) /* less: the emitter has moved its tail back, and gains nothing */
        return;
    /* A tail that its emitter moved while no collector ran counts nothing. */
    drain->taken[0] = now - seen <= SHM_REPORT_MOST ? now - seen : 0;
    for (uint32_t kind = 1; kind < SHM_KINDS; kind++)
        drain->taken[0] -=
            drain->taken[kind] < drain->taken[0] ? drain->taken[kind] : drain->taken[0];
    for (uint32_t kind = 0; kind < SHM_KINDS; kind++) {
        uint64_t *into = drain->tally.events[kind];
        if (into && drain->taken[kind] > 0)
            shm_plan_set(&plan, into, shm_plus(*into, (double)drain->taken[kind]));
        drain->taken[kind] = 0;
    }
    shm_undo_state(drain->undo, drain->cells, &plan, SHM_UNDO_REPORT, drain->lane.lane_id,
                   SHM_REPORT_TAKEN, seen);
    atomic_store_explicit(reported, now, memory_order_relaxed);
    shm_undo_done(drain->undo);
}

/* ---- a pass ------------------------------------------------------------------------------ */

enum shm_drained shm_drain_pass(struct shm_drain *drain)
{
    uint64_t waiting = shm_ring_waiting(&drain->ring);
    if (waiting > drain->lane.records)
        return SHM_BROKEN_HEAD;
    const struct shm_producer_line *producer = &drain->lane.header->producer;
    /* Pairs with the releases in shm_put_add, shm_producer_move and shm_settle. */
    uint64_t added = atomic_load_explicit(&producer->added, memory_order_acquire);
    /* Pairs with the releases in shm_spill_commit, shm_producer_move and shm_settle_commit. */
    uint64_t spilled = atomic_load_explicit(&producer->spilled, memory_order_acquire);
    /* After head: a record may name an entry that was published a moment before it. */
    enum shm_drained found = shm_drain_all_read(drain);
    if (found != SHM_DRAINED)
        return found;
    found = drain_ring(drain, waiting);
    shm_undo_done(drain->undo); /* a tail that its emitter moves back names nothing any more */
    count_taken(drain);
    if (found == SHM_DRAINED && spilled != drain->spilled)
        found = shm_take_totals(drain);
    else if (found == SHM_DRAINED && added != drain->added)
        found = shm_take_counters(drain);
    if (found == SHM_DRAINED) {
        drain->spilled = spilled;
        drain->added = added;
    }
    return found;
}

enum shm_drained shm_drain_remove(struct shm_drain *drain, uint32_t series)
{
    if (series == 0 || series >= drain->n_targets)
        return SHM_BROKEN_SERIES;
    uint64_t waiting = shm_ring_waiting(&drain->ring);
    if (waiting > drain->lane.records)
        return SHM_BROKEN_HEAD;
    enum shm_drained found = drain_ring(drain, waiting);
    shm_undo_done(drain->undo);
    count_taken(drain);
    /* A record of a series that the next entries may define is for the pass after them. */
    if (found != SHM_DRAINED && found != SHM_BROKEN_SERIES)
        return found;
    found = shm_take_series(drain, &drain->targets[series]);
    drain->targets[series].cells = NULL;
    return found;
}

bool shm_drain_tell(struct shm_drain *drain, const void *notice, uint32_t n_bytes)
{
    struct shm_header *header = drain->lane.header;
    if (!shm_notices_append(header, notice, n_bytes))
        return false;
    /* Relaxed: a look that comes too early finds nothing, and is repeated. */
    atomic_store_explicit(&header->consumer.state, SHM_LANE_TOLD, memory_order_relaxed);
    return true;
}

bool shm_drain_heard(struct shm_drain *drain)
{
    struct shm_header *header = drain->lane.header;
    if (atomic_load_explicit(&header->producer.heard, memory_order_relaxed) <
        shm_notices_end(header))
        return false;
    if (atomic_load_explicit(&header->consumer.state, memory_order_relaxed) == SHM_LANE_TOLD)
        atomic_store_explicit(&header->consumer.state, SHM_LANE_OPEN, memory_order_relaxed);
    return true;
}

void shm_drain_give_up(struct shm_drain *drain)
{
    atomic_store_explicit(&drain->lane.header->consumer.state, SHM_LANE_CLOSED,
                          memory_order_relaxed);
}
