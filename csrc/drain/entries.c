/* SPDX-License-Identifier: Apache-2.0 */
/* The dictionary, as the collector reads it: entry by entry, and the target of each series id. */
#include "drain.h"

#include <stdlib.h>

/* Finds how much of the dictionary is published and not yet read. */
static enum shm_drained unread(const struct shm_drain *drain, uint32_t *left_bytes)
{
    /* Pairs with the releases in shm_append_entry and shm_producer_move. */
    uint64_t end = atomic_load_explicit(&drain->lane.header->producer.dictionary_end,
                                        memory_order_acquire);
    if (end < drain->dictionary_read || end > drain->lane.dictionary_bytes)
        return SHM_BROKEN_DICTIONARY;
    *left_bytes = (uint32_t)end - drain->dictionary_read;
    return SHM_DRAINED;
}

enum shm_drained shm_drain_all_read(const struct shm_drain *drain)
{
    uint32_t left_bytes;
    enum shm_drained found = unread(drain, &left_bytes);
    return found == SHM_DRAINED && left_bytes > 0 ? SHM_DRAIN_ENTRIES : found;
}

static bool entry_is_sound(const struct shm_drain *drain, const struct shm_entry *entry)
{
    uint32_t text_bytes = entry->size_bytes - (uint32_t)sizeof *entry;
    switch (entry->kind) {
    case SHM_ENTRY_FAMILY:
        return entry->id == drain->families + 1 && entry->type >= SHM_TYPE_COUNTER &&
               (entry->type <= SHM_TYPE_CALLS || entry->type == SHM_TYPE_SPANS ||
                entry->type == SHM_TYPE_OBSERVED) &&
               entry->of <= text_bytes / sizeof(double);
    case SHM_ENTRY_SERIES:
        return entry->id == drain->n_targets && entry->of >= 1 && entry->of <= drain->families;
    case SHM_ENTRY_EXCEPTION:
        return entry->id == drain->n_targets && entry->of >= 1 && entry->of < drain->n_targets &&
               drain->targets[entry->of].type == SHM_TYPE_CALLS &&
               !drain->targets[entry->of].removed;
    case SHM_ENTRY_CELLS:
        return entry->id == 0 && entry->of >= 1 && entry->of < drain->n_targets &&
               shm_has_late_cells(drain->targets[entry->of].type) &&
               drain->targets[entry->of].lane_cell == SHM_NO_CELLS &&
               !drain->targets[entry->of].removed;
    case SHM_ENTRY_REMOVED:
        return entry->id == 0 && entry->type == SHM_TYPE_NONE && text_bytes == 0 &&
               entry->of >= 1 && entry->of < drain->n_targets &&
               drain->targets[entry->of].type != SHM_TYPE_EXCEPTION &&
               !drain->targets[entry->of].removed;
    default:
        return false;
    }
}

/* Gives a series its cells in the lane. Returns false if the lane has not so many. */
static bool give_cells(struct shm_drain *drain, struct shm_target *target)
{
    target->lane_cell = shm_cells_take(&drain->cells_used, drain->lane.n_cells,
                                       shm_cells_of(target->type, target->n_bounds));
    return target->lane_cell != SHM_NO_CELLS;
}

enum shm_drained shm_drain_entry(struct shm_drain *drain, struct shm_entry *entry,
                                 unsigned char *buffer)
{
    uint32_t left_bytes;
    *entry = (struct shm_entry){0};
    enum shm_drained found = unread(drain, &left_bytes);
    if (found != SHM_DRAINED || left_bytes == 0)
        return found;
    if (left_bytes < sizeof *entry)
        return SHM_BROKEN_DICTIONARY;
    /* The header is read once; the copy of the whole entry takes its place under it. */
    struct shm_entry header;
    const unsigned char *at = drain->lane.dictionary + drain->dictionary_read;
    memcpy(&header, at, sizeof header);
    if (header.size_bytes < sizeof header || header.size_bytes % 8 != 0 ||
        header.size_bytes > SHM_ENTRY_MAX_BYTES || header.size_bytes > left_bytes)
        return SHM_BROKEN_ENTRY;
    memcpy(buffer, at, header.size_bytes);
    memcpy(buffer, &header, sizeof header);
    if (!entry_is_sound(drain, &header))
        return SHM_BROKEN_ENTRY;
    if (header.kind == SHM_ENTRY_CELLS && !give_cells(drain, &drain->targets[header.of]))
        return SHM_BROKEN_ENTRY;
    drain->dictionary_read += header.size_bytes;
    if (header.kind == SHM_ENTRY_FAMILY)
        drain->families++;
    if (header.kind == SHM_ENTRY_REMOVED)
        drain->targets[header.of].removed = true;
    *entry = header;
    return SHM_DRAINED;
}

/* Adds a counter to the list of counters. All are read whenever one has changed: a list of their
 * own spares all other series. */
static void list_counter(struct shm_drain *drain, uint32_t id)
{
    if (drain->last_counter)
        drain->targets[drain->last_counter].next_counter = id;
    else
        drain->first_counter = id;
    drain->last_counter = id;
}

enum shm_drained shm_drain_bind(struct shm_drain *drain, uint16_t type, uint32_t n_bounds,
                                const struct shm_scale *scale, uint64_t *cells)
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
    uint32_t id = drain->n_targets++;
    drain->targets[id] = (struct shm_target){
        .cells = cells,
        .scale = type == SHM_TYPE_HISTOGRAM || type == SHM_TYPE_CALLS ? scale : NULL,
        .n_bounds = n_bounds,
        .lane_cell = shm_cells_take(&drain->cells_used, drain->lane.n_cells,
                                    shm_first_cells_of(type, n_bounds)),
        .type = type,
    };
    if (type == SHM_TYPE_COUNTER)
        list_counter(drain, id);
    return SHM_DRAINED;
}

bool shm_drain_rebind(struct shm_drain *drain, uint32_t series, const struct shm_scale *scale,
                      uint64_t *cells)
{
    if (series == 0 || series >= drain->n_targets)
        return false;
    struct shm_target *target = &drain->targets[series];
    bool has_buckets = target->type == SHM_TYPE_HISTOGRAM || target->type == SHM_TYPE_CALLS;
    target->scale = has_buckets ? scale : NULL;
    target->cells = cells;
    return true;
}

uint32_t shm_drain_next_removed(const struct shm_drain *drain, uint32_t *at_bytes,
                                uint64_t *n_entries)
{
    /* Relaxed: these entries were read before, by a collector that is no more. */
    uint64_t end = atomic_load_explicit(&drain->lane.header->producer.dictionary_end,
                                        memory_order_relaxed);
    struct shm_entry entry;
    if (end > drain->lane.dictionary_bytes)
        return 0;
    while (*n_entries > 0 && *at_bytes + sizeof entry <= end) {
        memcpy(&entry, drain->lane.dictionary + *at_bytes, sizeof entry);
        if (entry.size_bytes < sizeof entry || entry.size_bytes > SHM_ENTRY_MAX_BYTES)
            return 0; /* the reading of the entries, which comes next, says so */
        *at_bytes += entry.size_bytes;
        --*n_entries;
        if (entry.kind == SHM_ENTRY_REMOVED)
            return entry.of;
    }
    return 0;
}
