/* SPDX-License-Identifier: Apache-2.0 */
/* What the scenarios share: a lane of the checker's atomics, an emitter, and a collector on it. */
#ifndef MODEL_LANE_HPP
#define MODEL_LANE_HPP

#include "stdatomic.h"

/* A clock that counts, so that every start time is a call's own. */
#define SHM_CLOCK_H
static uint64_t now_ns;
static inline uint64_t shm_clock_ns(void) { return ++now_ns; }
static inline uint64_t shm_clock_coarse_ns(void) { return 0; }
static inline uint64_t shm_clock_unix_ns(void) { return 0; }

/* Nobody sleeps here, and so nobody has to be woken. */
#define SHM_KICK_H
static inline void shm_kick(void *) {}

/* The dictionary and the notices are plain bytes: a copy into them or out of them touches a word of
 * the checker's for every 16 of the bytes; an entry of the dictionary is touched where it begins. */
static const unsigned DICTIONARY_BYTES = 256, NOTICE_BYTES = 16, NOTICES = 4;
static unsigned char dictionary[DICTIONARY_BYTES];
static model::plain<int> *entries;
static unsigned char *notices_bytes;
static model::plain<int> *notices;

static inline void *model_memcpy(void *to, const void *from, size_t n)
{
    auto inside = [](const void *at) {
        return at >= dictionary && at < dictionary + DICTIONARY_BYTES;
    };
    auto is_notice = [](const void *at) {
        return notices_bytes && at >= notices_bytes && at < notices_bytes + NOTICES * NOTICE_BYTES;
    };
    if (inside(to))
        entries[((unsigned char *)to - dictionary) / 16] = 1;
    if (inside(from))
        (void)(int)entries[((const unsigned char *)from - dictionary) / 16];
    for (size_t at = 0; at < n; at += NOTICE_BYTES) {
        if (is_notice(to))
            notices[((unsigned char *)to - notices_bytes + at) / NOTICE_BYTES] = 1;
        if (is_notice(from))
            (void)(int)notices[((const unsigned char *)from - notices_bytes + at) / NOTICE_BYTES];
    }
    return memcpy(to, from, n);
}
#define memcpy model_memcpy

#include "emit/emit.h"
#include "emit/move.h"

#include "drain/drain.c"
#include "drain/totals.c"
#include "drain/entries.c"
#include "drain/scale.c"
#include "drain/state.c"
#undef memcpy

static const uint32_t CELLS = 16, CALLS = 2, RECORDS = 2;
static const double no_bounds[2] = {1e9, INFINITY};
static const unsigned char no_text[8] = {0};

/* A family's payload: its bounds, and five empty strings, of which the last names a label. */
static const struct {
    double bounds[1];
    uint32_t strings[6];
} family_text = {{1e9}, {5, 0, 0, 0, 0, 0}};

/* A lane's memory. Fresh ones have a ring; a private one has none. */
struct memory {
    shm_header header;
    shm_open_call calls[CALLS];
    shm_description descriptions[CALLS];
    ::model::uint64_t cells[CELLS], seen[CELLS];
    shm_record ring[RECORDS];
    unsigned char private_dictionary[DICTIONARY_BYTES];

    shm_lane format(uint32_t records)
    {
        auto zero = [](auto &atomic) { atomic.store(0, rl::mo_relaxed, RL_INFO); };
        shm_producer_line &producer = header.producer;
        zero(producer.dictionary_end);
        zero(producer.spilled);
        zero(producer.overflowed);
        zero(producer.added);
        zero(producer.gauge_writes);
        zero(producer.calls_high);
        zero(producer.moved_to);
        for (auto &dropped : producer.dropped)
            zero(dropped);
        zero(header.intent.spilled);
        zero(header.notices.end);
        zero(header.consumer.state);
        producer.head.store(SHM_INDEX_START, rl::mo_relaxed, RL_INFO);
        header.consumer.tail.store(SHM_INDEX_START, rl::mo_relaxed, RL_INFO);
        for (auto &call : calls) {
            zero(call.start_ns);
            zero(call.series);
            zero(call.timeout_ms);
        }
        for (auto &description : descriptions) {
            zero(description.described_ns);
            for (auto &word : description.trace)
                zero(word);
        }
        for (uint32_t i = 0; i < CELLS; i++) {
            zero(cells[i]);
            zero(seen[i]);
        }
        for (auto &record : ring)
            record.kind = 0, record.flags = 0, record.series = 0, record.value = 0,
            record.stamp_ns = 0, record.duration_ns = 0, record.exception = 0;
        shm_lane lane = {};
        lane.header = &header;
        lane.calls = calls;
        lane.descriptions = descriptions;
        lane.dictionary = records ? dictionary : private_dictionary;
        lane.cells = cells;
        lane.seen = seen;
        lane.ring = ring;
        lane.lane_id = 1;
        lane.records = records;
        lane.dictionary_bytes = DICTIONARY_BYTES;
        lane.n_cells = CELLS;
        lane.n_calls = CALLS;
        return lane;
    }
};

/* An emitter with one series, and a collector that binds it to the store's cells. */
struct node {
    memory shared;
    model::plain<int> words[DICTIONARY_BYTES / 16];
    shm_family family = {};
    shm_series series = {};
    shm_producer producer = {};
    shm_drain drain = {};
    shm_undo undo = {};
    shm_ledger ledger = {};
    shm_scale scale = {};
    uint64_t cells[CELLS] = {};

    void begin(uint16_t type, const shm_lane &lane)
    {
        now_ns = 0;
        entries = words;
        for (auto &word : words)
            word = 0;
        uint32_t n_bounds = type == SHM_TYPE_CALLS || type == SHM_TYPE_HISTOGRAM;
        family.type = series.type = type;
        family.n_bounds = series.n_bounds = n_bounds;
        family.bounds = series.bounds = no_bounds;
        uint32_t bounds_bytes = n_bounds * (uint32_t)sizeof no_bounds[0];
        family.text = (const unsigned char *)family_text.strings - bounds_bytes;
        family.text_bytes = bounds_bytes + (uint32_t)sizeof family_text.strings;
        series.family = &family;
        series.text = no_text;
        series.text_bytes = sizeof no_text;
        shm_producer_begin(&producer, &lane, 1);
    }

    /* With its late cells: without them an event may look at the clock twice. */
    void define(shm_series &one)
    {
        RL_ASSERT(shm_define_here(&producer, &one) &&
                  shm_take_cells(&producer, &one) != SHM_NO_CELLS);
    }

    void open(const shm_lane &lane)
    {
        drain.n_targets = 1;
        for (auto &count : ledger.counts)
            count.store(0, rl::mo_relaxed, RL_INFO);
        drain.ledger = &ledger;
        drain.undo = &undo;
        drain.cells = cells;
        drain.n_cells = CELLS;
        drain.lane = lane;
        shm_scale_init(&scale, no_bounds, 1, no_bounds, 1);
        shm_ring_open_reader(&drain.ring, lane.ring, lane.records, lane.header);
    }

    void pass() { pass_as(series); }

    /* as: the series that the lane has. */
    void pass_as(const shm_series &as)
    {
        static unsigned char buffer[SHM_ENTRY_MAX_BYTES];
        enum shm_drained found;
        while ((found = shm_drain_pass(&drain)) == SHM_DRAIN_ENTRIES) {
            shm_entry entry;
            while (shm_drain_entry(&drain, &entry, buffer) == SHM_DRAINED && entry.size_bytes)
                if (entry.kind == SHM_ENTRY_SERIES)
                    shm_drain_bind(&drain, as.type, as.n_bounds, &scale, cells);
        }
        RL_ASSERT(found == SHM_DRAINED);
    }
};

#endif
