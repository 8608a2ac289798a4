/* SPDX-License-Identifier: Apache-2.0 */
#include "drain.h"

#include <math.h>
#include <stdlib.h>

enum shm_attach shm_drain_open(struct shm_drain *drain, void *base, uint64_t size_bytes)
{
    *drain = (struct shm_drain){.n_targets = 1};
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

/* ---- dictionary ------------------------------------------------------------------------- */

static enum shm_drained dictionary_end(const struct shm_drain *drain, uint32_t *end)
{
    /* Pairs with the release in shm_dictionary_append. */
    uint64_t found = atomic_load_explicit(&drain->lane.header->producer.dictionary_end,
                                          memory_order_acquire);
    if (found < drain->dictionary_read || found > drain->lane.dictionary_bytes)
        return SHM_BROKEN_DICTIONARY;
    *end = (uint32_t)found;
    return SHM_DRAINED;
}

static bool entry_is_sound(const struct shm_drain *drain, const struct shm_entry *entry)
{
    uint32_t text_bytes = entry->size_bytes - (uint32_t)sizeof *entry;
    switch (entry->kind) {
    case SHM_ENTRY_FAMILY:
        return entry->id == drain->families + 1 && entry->type >= SHM_TYPE_COUNTER &&
               entry->type <= SHM_TYPE_CALLS && entry->of <= text_bytes / sizeof(double);
    case SHM_ENTRY_SERIES:
        return entry->id == drain->n_targets && entry->of >= 1 && entry->of <= drain->families;
    case SHM_ENTRY_EXCEPTION:
        return entry->id == drain->n_targets && entry->of >= 1 && entry->of < drain->n_targets &&
               drain->targets[entry->of].type == SHM_TYPE_CALLS;
    default:
        return false;
    }
}

enum shm_drained shm_drain_entry(struct shm_drain *drain, struct shm_entry *entry,
                                 unsigned char *buffer)
{
    uint32_t end;
    *entry = (struct shm_entry){0};
    enum shm_drained found = dictionary_end(drain, &end);
    if (found != SHM_DRAINED || end == drain->dictionary_read)
        return found;
    uint32_t left = end - drain->dictionary_read;
    if (left < sizeof *entry)
        return SHM_BROKEN_DICTIONARY;
    /* The header is read once; the copy of the whole entry takes its place under it. */
    struct shm_entry header;
    const unsigned char *at = drain->lane.dictionary + drain->dictionary_read;
    memcpy(&header, at, sizeof header);
    if (header.size_bytes < sizeof header || header.size_bytes % 8 != 0 ||
        header.size_bytes > SHM_ENTRY_MAX_BYTES || header.size_bytes > left)
        return SHM_BROKEN_ENTRY;
    memcpy(buffer, at, header.size_bytes);
    memcpy(buffer, &header, sizeof header);
    if (!entry_is_sound(drain, &header))
        return SHM_BROKEN_ENTRY;
    drain->dictionary_read += header.size_bytes;
    if (header.kind == SHM_ENTRY_FAMILY)
        drain->families++;
    *entry = header;
    return SHM_DRAINED;
}

enum shm_drained shm_drain_bind(struct shm_drain *drain, uint16_t type, const double *bounds,
                                uint32_t n_bounds, uint64_t *cells)
{
    if (drain->n_targets >= drain->room) {
        uint32_t room = drain->room ? drain->room * 2 : 16;
        struct shm_target *more = realloc(drain->targets, room * sizeof *more);
        if (!more)
            return SHM_DRAIN_NO_MEMORY;
        if (!drain->room)
            more[0] = (struct shm_target){0};
        drain->targets = more;
        drain->room = room;
    }
    drain->targets[drain->n_targets++] = (struct shm_target){
        .cells = cells,
        .bounds = bounds,
        .n_bounds = n_bounds,
        .lane_cell = shm_cells_take(&drain->cells_used, drain->lane.n_cells,
                                    shm_cells_of(type, n_bounds)),
        .type = type,
    };
    return SHM_DRAINED;
}

/* ---- records ---------------------------------------------------------------------------- */

static void add(uint64_t *cell, double value)
{
    *cell = shm_bits(shm_value(*cell) + value);
}

static enum shm_drained fold_end(struct shm_drain *drain, const struct shm_target *target,
                                 const struct shm_record *record)
{
    struct shm_target *thrown = NULL;
    if (record->exception != 0) {
        if (record->exception >= drain->n_targets)
            return SHM_BROKEN_SERIES;
        thrown = &drain->targets[record->exception];
        if (thrown->type != SHM_TYPE_EXCEPTION)
            return SHM_BROKEN_KIND;
    }
    if (target->cells) {
        uint32_t bucket =
            shm_bucket(target->bounds, target->n_bounds, shm_seconds(record->duration_ns));
        target->cells[SHM_CELL_ENDS]++;
        target->cells[SHM_CELL_DURATION] += record->duration_ns;
        target->cells[SHM_CALLS_BUCKETS + bucket]++;
    }
    if (thrown && thrown->cells)
        add(thrown->cells, 1.0);
    return SHM_DRAINED;
}

static enum shm_drained fold(struct shm_drain *drain, const struct shm_record *record)
{
    if (record->series == 0 || record->series >= drain->n_targets)
        return SHM_BROKEN_SERIES;
    const struct shm_target *target = &drain->targets[record->series];
    enum shm_drained result = SHM_DRAINED;
    switch (record->kind) {
    case SHM_KIND_ADD:
        if (target->type != SHM_TYPE_COUNTER)
            return SHM_BROKEN_KIND;
        if (!isfinite(record->value) || record->value < 0.0)
            return SHM_BROKEN_VALUE;
        if (target->cells)
            add(target->cells, record->value);
        break;
    case SHM_KIND_OBSERVE:
        if (target->type != SHM_TYPE_HISTOGRAM)
            return SHM_BROKEN_KIND;
        if (!isfinite(record->value))
            return SHM_BROKEN_VALUE;
        if (target->cells) {
            uint32_t bucket = shm_bucket(target->bounds, target->n_bounds, record->value);
            add(&target->cells[SHM_CELL_SUM], record->value);
            target->cells[SHM_HISTOGRAM_BUCKETS + bucket]++;
        }
        break;
    case SHM_KIND_CALL_START:
        if (target->type != SHM_TYPE_CALLS)
            return SHM_BROKEN_KIND;
        if (target->cells)
            target->cells[SHM_CELL_STARTS]++;
        break;
    case SHM_KIND_CALL_END:
        if (target->type != SHM_TYPE_CALLS)
            return SHM_BROKEN_KIND;
        result = fold_end(drain, target, record);
        break;
    default:
        return SHM_BROKEN_KIND;
    }
    if (result == SHM_DRAINED) {
        drain->events[record->kind]++;
        drain->unbound += !target->cells;
    }
    return result;
}

static enum shm_drained drain_ring(struct shm_drain *drain, uint64_t waiting)
{
    for (; waiting > 0; waiting--) {
        struct shm_record record; /* copy, then check, then use */
        shm_ring_read(&drain->ring, &record);
        enum shm_drained result = fold(drain, &record);
        if (result != SHM_DRAINED)
            return result;
        shm_ring_release(&drain->ring);
    }
    return SHM_DRAINED;
}

/* ---- spilled totals --------------------------------------------------------------------- */

/* Takes what a whole-number cell has gained. */
static bool take_count(struct shm_drain *drain, uint32_t cell, uint64_t *into, uint64_t *gained)
{
    uint64_t now = atomic_load_explicit(&drain->lane.cells[cell], memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(&drain->lane.seen[cell], memory_order_relaxed);
    *gained = now - seen;
    if (*gained == 0)
        return true;
    if (now < seen)
        return false;
    if (into)
        *into += *gained;
    atomic_store_explicit(&drain->lane.seen[cell], now, memory_order_relaxed);
    return true;
}

/* The same for a cell that holds a double. */
static bool take_sum(struct shm_drain *drain, uint32_t cell, uint64_t *into, bool may_fall)
{
    uint64_t now = atomic_load_explicit(&drain->lane.cells[cell], memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(&drain->lane.seen[cell], memory_order_relaxed);
    if (now == seen)
        return true;
    double gained = shm_value(now) - shm_value(seen);
    if (!isfinite(gained) || (gained < 0.0 && !may_fall))
        return false;
    if (into)
        add(into, gained);
    atomic_store_explicit(&drain->lane.seen[cell], now, memory_order_relaxed);
    return true;
}

static bool take_counts(struct shm_drain *drain, uint32_t cell, uint64_t *into, uint32_t n,
                        uint64_t *events)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t gained;
        if (!take_count(drain, cell + i, into ? into + i : NULL, &gained))
            return false;
        *events += gained;
    }
    return true;
}

static bool fold_cells(struct shm_drain *drain, const struct shm_target *target)
{
    uint32_t cell = target->lane_cell;
    uint64_t *into = target->cells;
    uint64_t gained = 0;
    switch (target->type) {
    case SHM_TYPE_COUNTER:
        return take_sum(drain, cell, into, false);
    case SHM_TYPE_EXCEPTION:
        if (!take_count(drain, cell, NULL, &gained))
            return false;
        if (into && gained)
            add(into, (double)gained);
        return true;
    case SHM_TYPE_HISTOGRAM:
        return take_sum(drain, cell + SHM_CELL_SUM, into ? into + SHM_CELL_SUM : NULL, true) &&
               take_counts(drain, cell + SHM_HISTOGRAM_BUCKETS,
                           into ? into + SHM_HISTOGRAM_BUCKETS : NULL, target->n_bounds + 1,
                           &gained);
    case SHM_TYPE_CALLS:
        return take_counts(drain, cell, into, SHM_CALLS_BUCKETS + target->n_bounds + 1, &gained);
    default: /* gauges are read where they are */
        return true;
    }
}

static enum shm_drained drain_cells(struct shm_drain *drain, uint64_t spilled)
{
    for (uint32_t i = 1; i < drain->n_targets; i++) {
        const struct shm_target *target = &drain->targets[i];
        if (target->lane_cell != SHM_NO_CELLS && !fold_cells(drain, target))
            return SHM_BROKEN_CELLS;
    }
    drain->spilled = spilled;
    return SHM_DRAINED;
}

enum shm_drained shm_drain_pass(struct shm_drain *drain)
{
    uint64_t waiting = shm_ring_waiting(&drain->ring);
    if (waiting > drain->lane.records)
        return SHM_BROKEN_HEAD;
    /* Pairs with the release in shm_spilled. */
    uint64_t spilled = atomic_load_explicit(&drain->lane.header->producer.spilled,
                                            memory_order_acquire);
    /* After head: a record may name an entry that was published a moment before it. */
    uint32_t end;
    enum shm_drained found = dictionary_end(drain, &end);
    if (found != SHM_DRAINED)
        return found;
    if (end != drain->dictionary_read)
        return SHM_DRAIN_ENTRIES;
    found = drain_ring(drain, waiting);
    if (found == SHM_DRAINED && spilled != drain->spilled)
        found = drain_cells(drain, spilled);
    return found;
}

void shm_drain_mark(struct shm_drain *drain, uint64_t heartbeat_ns, uint32_t state)
{
    struct shm_consumer_line *consumer = &drain->lane.header->consumer;
    atomic_store_explicit(&consumer->heartbeat_ns, heartbeat_ns, memory_order_relaxed);
    atomic_store_explicit(&consumer->state, state, memory_order_relaxed);
}

/* ---- state, read where it is ------------------------------------------------------------ */

uint32_t shm_drain_calls(const struct shm_drain *drain, struct shm_open_call_copy *calls,
                         uint32_t n)
{
    /* Pairs with the release in shm_emit_call_start. */
    uint64_t high = atomic_load_explicit(&drain->lane.header->producer.calls_high,
                                         memory_order_acquire);
    if (high > drain->lane.n_calls)
        high = drain->lane.n_calls;
    uint32_t found = 0;
    for (uint32_t slot = 0; slot < high && found < n; slot++) {
        struct shm_open_call *open = &drain->lane.calls[slot];
        /* Pairs with the releases in shm_emit_call_start and shm_emit_call_end. */
        uint32_t series = atomic_load_explicit(&open->series, memory_order_acquire);
        uint64_t start_ns = atomic_load_explicit(&open->start_ns, memory_order_relaxed);
        if (series == 0 || series >= drain->n_targets ||
            drain->targets[series].type != SHM_TYPE_CALLS)
            continue;
        calls[found++] = (struct shm_open_call_copy){start_ns, series, slot};
    }
    return found;
}

uint32_t shm_drain_gauges(const struct shm_drain *drain, uint32_t from_series,
                          struct shm_gauge_copy *gauges, uint32_t n)
{
    /* Pairs with the release in shm_emit_gauge. */
    if (atomic_load_explicit(&drain->lane.header->producer.gauge_writes, memory_order_acquire) == 0)
        return 0;
    uint32_t found = 0;
    for (uint32_t i = from_series; i < drain->n_targets && found < n; i++) {
        const struct shm_target *target = &drain->targets[i];
        if (i == 0 || target->type != SHM_TYPE_GAUGE || target->lane_cell == SHM_NO_CELLS)
            continue;
        const _Atomic uint64_t *cells = &drain->lane.cells[target->lane_cell];
        gauges[found++] = (struct shm_gauge_copy){
            .series = i,
            .value = shm_value(atomic_load_explicit(&cells[SHM_CELL_VALUE], memory_order_relaxed)),
            .stamp_ns = atomic_load_explicit(&cells[SHM_CELL_STAMP], memory_order_relaxed),
        };
    }
    return found;
}
