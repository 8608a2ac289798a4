/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzing of the dictionary. The input is what an emitter has written there: where it said at first that
 * it ends, then its bytes. The memory is exactly as long as the lane.
 *
 * What must hold: entries are handed out one behind the other, with ids that count up, each as it is in
 * the dictionary; and what is refused is not passed over.
 */
#include "drain/drain.h"
#include "program.h"

struct known {
    uint16_t type;
    uint32_t n_bounds;
    bool removed; /* the series with the same id */
};

/* Reads to the end, or to what is refused. Returns whether all of it was taken. */
static bool read_all(struct shm_drain *drain, struct known *families)
{
    static unsigned char buffer[SHM_ENTRY_MAX_BYTES];
    for (;;) {
        struct shm_entry entry;
        uint32_t at = drain->dictionary_read;
        uint32_t n_families = drain->families;
        enum shm_drained found = shm_drain_entry(drain, &entry, buffer);
        if (found != SHM_DRAINED || entry.size_bytes == 0) {
            MUST(at == drain->dictionary_read, "what was refused was passed over");
            MUST(found == SHM_DRAINED || found == SHM_BROKEN_DICTIONARY ||
                     found == SHM_BROKEN_ENTRY,
                 "unknown answer");
            return found == SHM_DRAINED;
        }
        MUST(drain->dictionary_read == at + entry.size_bytes &&
                 drain->dictionary_read <= drain->lane.dictionary_bytes,
             "an entry longer than the dictionary");
        MUST(memcmp(buffer, drain->lane.dictionary + at, entry.size_bytes) == 0, "another entry");
        if (entry.kind == SHM_ENTRY_FAMILY) {
            MUST(entry.id == n_families + 1 && drain->families == entry.id, "another family");
            MUST(entry.of * sizeof(double) <= entry.size_bytes - sizeof entry, "bounds outside");
            families[entry.id].type = entry.type;
            families[entry.id].n_bounds = entry.of;
            continue;
        }
        if (entry.kind == SHM_ENTRY_REMOVED) {
            MUST(entry.id == 0 && entry.of >= 1 && entry.of < drain->n_targets,
                 "a removal of what is not there");
            MUST(!families[entry.of].removed, "removed twice");
            MUST(drain->targets[entry.of].type != SHM_TYPE_EXCEPTION, "a removal of an exception");
            families[entry.of].removed = true;
            MUST(shm_drain_remove(drain, entry.of) == SHM_DRAINED, "it cannot be removed");
            continue;
        }
        if (entry.kind == SHM_ENTRY_CELLS)
            continue;
        MUST(entry.id == drain->n_targets, "another series");
        struct known known = {.type = SHM_TYPE_EXCEPTION};
        if (entry.kind == SHM_ENTRY_SERIES)
            known = families[entry.of];
        else
            MUST(!families[entry.of].removed, "an exception of what is removed");
        MUST(shm_drain_bind(drain, known.type, known.n_bounds, NULL, NULL) == SHM_DRAINED,
             "no memory");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct program program = {data, data + n_bytes};
    uint32_t first = take_below(&program, 1024);
    uint32_t end = (uint32_t)(program.end - program.at);
    struct shm_lane_sizes sizes = {0, (end + 7) & ~7u, 0, 0};
    struct shm_undo undo = {0};
    struct shm_ledger ledger = {0};
    struct shm_drain drain;
    unsigned char *base = calloc(1, shm_lane_bytes(&sizes));
    struct known *families = calloc(end / sizeof(struct shm_entry) + 2, sizeof *families);
    MUST(base && families, "no memory");
    shm_lane_format(base, 1, &sizes);
    MUST(shm_drain_open(&drain, base, shm_lane_bytes(&sizes), &ledger, &undo, NULL, 0) ==
             SHM_ATTACH_OK,
         "no lane");
    take_bytes(&program, drain.lane.dictionary, end);

    _Atomic uint64_t *shared_end = &drain.lane.header->producer.dictionary_end;
    atomic_store(shared_end, first);
    bool goes_on = read_all(&drain, families);
    MUST(first <= sizes.dictionary_bytes || !goes_on, "an end outside the dictionary was believed");
    atomic_store(shared_end, end);
    if (goes_on && first <= end && read_all(&drain, families))
        MUST(drain.dictionary_read == end, "not all of it was read");
    shm_drain_close(&drain);
    free(families);
    free(base);
    return 0;
}
