/* SPDX-License-Identifier: Apache-2.0 */
/* An emitter without manners: what it writes into its own lane, of a program's choosing. */
#ifndef MISCHIEF_H
#define MISCHIEF_H

#include "emitter.h"
#include "memory.h"
#include "program.h"

/* Some place in its lane that means something. */
static unsigned char *take_place(struct program *program, const struct emitter *emitter,
                                 const struct memory *memory)
{
    const struct shm_lane *lane = &emitter->producer.lane;
    struct shm_header *header = lane->header;
    const struct {
        void *at;
        size_t bytes;
    } parts[] = {
        {&header->producer, sizeof header->producer},
        {&header->consumer, 32},
        {&header->identity, sizeof header->identity},
        {&header->intent, 128},
        {lane->calls, lane->n_calls * SHM_CALL_BYTES},
        {lane->dictionary, emitter->producer.dictionary_end + 64},
        {(void *)lane->cells, lane->n_cells * SHM_CELL_BYTES},
        {(void *)lane->seen, lane->n_cells * SHM_CELL_BYTES},
        {lane->ring, lane->records * SHM_RECORD_BYTES},
    };
    uint32_t part = take_below(program, 9);
    uint32_t words = (uint32_t)(parts[part].bytes / 4);
    uint32_t word = take_below(program, words ? words : 1);
    unsigned char *at = (unsigned char *)parts[part].at + 4u * word;
    unsigned char *last = memory->base + memory->size_bytes - 8;
    return at < last ? at : last;
}

static void patch(struct program *program, const struct emitter *emitter,
                  const struct memory *memory)
{
    unsigned char *at = take_place(program, emitter, memory);
    uint64_t old;
    memcpy(&old, at, sizeof old);
    uint64_t value = take_value(program, old);
    memcpy(at, &value, take_below(program, 4) == 0 ? 4 : 8);
}

static void publish_record(struct program *program, struct emitter *emitter)
{
    struct shm_record record = {.kind = (uint8_t)take_below(program, SHM_KINDS + 1)};
    uint64_t bits = take_value(program, 0x3ff0000000000000);
    record.series = take_below(program, 16);
    record.value = shm_value(bits);
    record.exception = take_below(program, 16);
    record.duration_ns = take_value(program, 0);
    emitter_record(emitter, &record);
}

static void publish_entry(struct program *program, struct emitter *emitter)
{
    const struct shm_producer *producer = &emitter->producer;
    unsigned char payload[128];
    struct shm_entry entry = {
        .kind = (uint16_t)take_below(program, 6),
        .type = (uint16_t)take_below(program, 8),
        .of = take_below(program, 8),
    };
    uint32_t n = take_below(program, sizeof payload);
    take_bytes(program, payload, n);
    entry.id = entry.kind == SHM_ENTRY_FAMILY ? producer->families + 1 : producer->series + 1;
    if (entry.kind == SHM_ENTRY_CELLS)
        entry.id = 0;
    if (entry.kind == SHM_ENTRY_REMOVED) {
        entry.id = 0;
        entry.type = 0;
        n = 0;
    }
    uint8_t lies = (uint8_t)take_below(program, 8);
    if (lies & 1)
        entry.id += (uint32_t)take_value(program, 0);
    if (lies & 2)
        entry.size_bytes = (uint32_t)take_value(program, n);
    if (lies & 4)
        entry.of = (uint32_t)take_value(program, 0);
    emitter_entry(emitter, &entry, payload, n);
}

#endif
