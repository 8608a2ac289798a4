/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csrc/lane/ is the memory that both halves share. Its files say what is where in a lane (layout.h,
 * lane.h), how records pass through the ring (ring.h), how totals stand in cells (spill.h,
 * buckets.h), what a dictionary entry and a span's info hold (payload.h, info.h), what the
 * collector tells the emitter (notices.h), and what both sides read of it (counts.h, trace.h,
 * exemplar.h, clock.h). They include no other room;
 * csrc/emit/, csrc/drain/ and csrc/render/ include them.
 *
 * The lane: one emitting process's shared-memory file. This header is the only place where an
 * offset of it is written down; everything else (C, Python, numpy) takes its numbers from here.
 *
 *      0 +--------------------------------------------------------------+
 *        | identity   written once by whoever made the file, version    |  read by both
 *        |            last; version 0 means "not ready"                 |
 *    256 +--------------------------------------------------------------+
 *        | producer   head, dictionary end, totals the emitter keeps    |  emitter
 *    512 +--------------------------------------------------------------+
 *        | consumer   tail, state                                       |  collector
 *    768 +--------------------------------------------------------------+
 *        | intent     the spilling event that is under way              |  emitter
 *   3840 +--------------------------------------------------------------+
 *        | (room for later parts, zero)                                 |
 *   4096 +--------------------------------------------------------------+
 *        | notices    what the collector refuses, for the emitter's log |  collector
 *   8192 +--------------------------------------------------------------+
 *        | calls      open-call slots: which calls hang, since when,    |  emitter
 *        |            for whom                                          |
 *        +--------------------------------------------------------------+
 *        | dictionary append-only entries that give meaning to ids      |  emitter
 *        +--------------------------------------------------------------+
 *        | cells      one run of 8-byte totals per series: counters and |  emitter
 *        |            gauges, and events that the ring had no room for  |
 *        +--------------------------------------------------------------+
 *        | seen       the totals that the collector has already taken   |  collector
 *        +--------------------------------------------------------------+
 *        | ring       capacity (a power of two) x 64-byte records       |  emitter
 *        +--------------------------------------------------------------+
 *
 * Offsets, never pointers: the two sides map the file at different addresses. Everything is in
 * host byte order, because both sides are on one host.
 */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_LAYOUT_VERSION 5u
#define SHM_LANE_MAGIC UINT64_C(0x656e616c6d68732e) /* ".shmlane" in memory, little endian */

#define SHM_HEADER_BYTES 8192u
#define SHM_RECORD_BYTES 64u
#define SHM_CELL_BYTES 8u

/* Ring indices run freely and are compared only by difference. They start just below the
 * wrap-around, so that wrapping happens on the first day and not in the third year. */
#define SHM_INDEX_START (UINT64_MAX - 1023u)

/* An entry never has to be longer than this; one that claims to be breaks the contract. */
#define SHM_ENTRY_MAX_BYTES 16384u

/* Strings of a family's entry before its label names: name, help, unit, mode. */
#define SHM_FAMILY_STRINGS 4u

/* The value of every label of an overflow series: one series for all of its family without room. */
#define SHM_OVERFLOW_VALUE "__overflow__"

/* ---- kinds of family -------------------------------------------------------------------- */

enum shm_type {
    SHM_TYPE_NONE = 0,      /* bound to nothing: records are counted and left alone */
    SHM_TYPE_COUNTER = 1,   /* cells: total (f64) */
    SHM_TYPE_GAUGE = 2,     /* cells: value (f64), stamp (ns) */
    SHM_TYPE_HISTOGRAM = 3, /* cells: sum (f64), then one count per bucket */
    SHM_TYPE_CALLS = 4,     /* cells: starts, ends, sum of durations (ns), then buckets */
    SHM_TYPE_EXCEPTION = 5, /* cells: count; a class of exception of one call series */
    SHM_TYPE_SPANS = 6,     /* no cells: service and name are labels, the rest is in records */
    SHM_TYPE_OBSERVED = 7,  /* cells: total (f64), start (ns); a counter that is kept elsewhere */
};

/* The places of totals, and of the first bucket, within the cells of a series. */
#define SHM_CELL_STARTS 0u
#define SHM_CELL_ENDS 1u
#define SHM_CELL_DURATION 2u
#define SHM_CALLS_BUCKETS 3u
#define SHM_CELL_SUM 0u
#define SHM_HISTOGRAM_BUCKETS 1u
#define SHM_CELL_VALUE 0u
#define SHM_CELL_STAMP 1u
#define SHM_CELL_TOTAL 0u
#define SHM_CELL_START 1u

/* The start of an observed total's generation: CLOCK_MONOTONIC, or one of these. */
#define SHM_START_NONE UINT64_C(0)    /* it has no total yet */
#define SHM_START_UNKNOWN UINT64_C(1) /* it has one, and nobody has said since when it counts */

/* ---- records ---------------------------------------------------------------------------- */

enum shm_kind {
    SHM_KIND_ADD = 1,        /* counter += value, where more is to be known of it than the total */
    SHM_KIND_OBSERVE = 2,    /* histogram takes value */
    SHM_KIND_CALL_START = 3, /* stamp */
    SHM_KIND_CALL_END = 4,   /* stamp, duration, exception */
    SHM_KIND_SPAN_START = 5, /* struct shm_span */
    SHM_KIND_SPAN_STOP = 6,  /* the same */
    SHM_KIND_SPAN_INFO = 7,  /* struct shm_span_info: right behind the span that it is about */
    SHM_KINDS = 8
};

/*
 *   0        1        2        4               8                       16
 *   +--------+--------+--------+---------------+-----------------------+
 *   | kind   | flags  | zero   | series        | value  |  stamp_ns    |
 *   +--------+--------+--------+---------------+-----------------------+
 *   | duration_ns                              | exception | zero      |   16
 *   +------------------------------------------+-----------------------+
 *   | trace.id: the trace that the event belongs to                    |   32
 *   +------------------------------------------+-----------------------+
 *   | trace.span: the span in it, zero if none | zero                  |   48
 *   +------------------------------------------+-----------------------+
 * A field that a kind does not use keeps whatever the slot held before. So does trace, unless the
 * flags have SHM_FLAG_TRACE.
 */
#define SHM_FLAG_TRACE 1u

/* Bytes in the order in which people write them as hexadecimal digits. */
struct shm_trace {
    uint8_t id[16];
    uint8_t span[8];
};
static_assert(sizeof(struct shm_trace) == 24, "trace");
static_assert(offsetof(struct shm_trace, span) == 16, "trace.span");

struct shm_record {
    uint8_t kind;
    uint8_t flags;
    uint16_t zero_a;
    uint32_t series;
    union {
        double value;      /* add, observe */
        uint64_t stamp_ns; /* calls: CLOCK_MONOTONIC */
    };
    uint64_t duration_ns;  /* call end */
    uint32_t exception;    /* call end: id of the exception's series, 0 for none */
    uint32_t zero_b;
    struct shm_trace trace; /* add, observe, call end: with SHM_FLAG_TRACE only */
    uint8_t zero_c[8];
};
static_assert(sizeof(struct shm_record) == SHM_RECORD_BYTES, "a record is one cache line");
static_assert(offsetof(struct shm_record, kind) == 0, "record.kind");
static_assert(offsetof(struct shm_record, flags) == 1, "record.flags");
static_assert(offsetof(struct shm_record, series) == 4, "record.series");
static_assert(offsetof(struct shm_record, value) == 8, "record.value");
static_assert(offsetof(struct shm_record, stamp_ns) == 8, "record.stamp_ns");
static_assert(offsetof(struct shm_record, duration_ns) == 16, "record.duration_ns");
static_assert(offsetof(struct shm_record, exception) == 24, "record.exception");
static_assert(offsetof(struct shm_record, trace) == 32, "record.trace");

/*
 * A span's start or stop, and the slots behind it with its info: published at once.
 *
 *   0        1        2        4               8                       16
 *   +--------+--------+--------+---------------+-----------------------+
 *   | kind   | flags  | n_info | series        | stamp_ns              |
 *   +--------+--------+--------+---------------+-----------------------+
 *   | id: the span's own                                               |   16
 *   +------------------------------------------------------------------+
 *   | trace: the trace that it belongs to, OSProfiler's base id        |   32
 *   +------------------------------------------------------------------+
 *   | parent: the span around it, or the trace itself                  |   48
 *   +------------------------------------------------------------------+
 *
 *   +--------+--------+--------+---------------+-----------------------+
 *   | kind   | zero   | size   | zero          | size bytes            |  n_info times
 *   +--------+--------+--------+---------------+ ~~~~~~~~~~~~~~~~~~~~~ +
 *
 * Together these bytes are one map of MessagePack (its specification is on github.com/msgpack),
 * with texts for keys. Ids are bytes in the order in which people write them as hexadecimal digits.
 */
#define SHM_FLAG_CUT 2u /* some info about the span had no room, and is missing */
#define SHM_FLAG_HOST 4u /* the info includes the series' own host, which no slot repeats */

#define SHM_SPAN_INFO_BYTES 56u
#define SHM_SPAN_INFO_SLOTS 64u /* at most, behind one record */

struct shm_span {
    uint8_t kind;
    uint8_t flags;
    uint16_t n_info;
    uint32_t series;
    uint64_t stamp_ns; /* CLOCK_MONOTONIC */
    uint8_t id[16];
    uint8_t trace[16];
    uint8_t parent[16];
};
static_assert(sizeof(struct shm_span) == SHM_RECORD_BYTES, "a span's record is one of all");
static_assert(offsetof(struct shm_span, flags) == offsetof(struct shm_record, flags), "span.flags");
static_assert(offsetof(struct shm_span, n_info) == 2, "span.n_info");
static_assert(offsetof(struct shm_span, series) == offsetof(struct shm_record, series),
              "span.series");
static_assert(offsetof(struct shm_span, stamp_ns) == offsetof(struct shm_record, stamp_ns),
              "span.stamp_ns");
static_assert(offsetof(struct shm_span, id) == 16, "span.id");
static_assert(offsetof(struct shm_span, trace) == 32, "span.trace");
static_assert(offsetof(struct shm_span, parent) == 48, "span.parent");

struct shm_span_info {
    uint8_t kind;
    uint8_t zero_a;
    uint16_t size_bytes;
    uint32_t zero_b;
    uint8_t bytes[SHM_SPAN_INFO_BYTES];
};
static_assert(sizeof(struct shm_span_info) == SHM_RECORD_BYTES, "span info is one slot");
static_assert(offsetof(struct shm_span_info, size_bytes) == 2, "span_info.size_bytes");
static_assert(offsetof(struct shm_span_info, bytes) == 8, "span_info.bytes");

/* ---- dictionary ------------------------------------------------------------------------- */

enum shm_entry_kind {
    SHM_ENTRY_FAMILY = 1,    /* bounds (f64 each), then strings: name, help, unit, mode, labels */
    SHM_ENTRY_SERIES = 2,    /* strings: one value per label of the family */
    SHM_ENTRY_EXCEPTION = 3, /* string: class name; of = the call series it belongs to */
    SHM_ENTRY_CELLS = 4,     /* nothing: the series of has cells from now on */
    SHM_ENTRY_REMOVED = 5,   /* nothing: the series is removed, and its id is not used again */
};

/* Entries start at multiples of 8. Family ids and series ids each count up from 1 in the order of
 * the entries; series and exceptions share one sequence. An entry that defines nothing has id 0.
 * Events that were published before a removal belong to the series still, and no later one does.
 * Strings are a uint16 count, then for each a uint16 length and as many bytes of UTF-8. */
struct shm_entry {
    uint32_t size_bytes; /* whole entry with padding: a multiple of 8 */
    uint16_t kind;
    uint16_t type;       /* family: enum shm_type */
    uint32_t id;
    uint32_t of; /* series: family id; exception, cells, removed: series id; family: n bounds */
};
static_assert(sizeof(struct shm_entry) == 16, "entry header");
static_assert(offsetof(struct shm_entry, kind) == 4, "entry.kind");
static_assert(offsetof(struct shm_entry, type) == 6, "entry.type");
static_assert(offsetof(struct shm_entry, id) == 8, "entry.id");
static_assert(offsetof(struct shm_entry, of) == 12, "entry.of");

/* ---- open calls ------------------------------------------------------------------------- */

/* The part has all slots, and behind them the description of each: every call writes its slot, whose
 * address takes a shift, and few have a description.
 *
 * series is stored after start_ns, with release, and loaded with acquire; 0 means the slot is free. */
struct shm_open_call {
    _Atomic uint64_t start_ns;
    _Atomic uint32_t series;
    _Atomic uint32_t timeout_ms; /* belongs to the description: how long its caller waits; 0: not
                                    known */
};
static_assert(sizeof(struct shm_open_call) == 16, "open call");
static_assert(offsetof(struct shm_open_call, series) == 8, "open_call.series");
static_assert(offsetof(struct shm_open_call, timeout_ms) == 12, "open_call.timeout_ms");

/* Describes the call in its slot, if described_ns is the start of that. Otherwise it is left from an
 * earlier call. */
#define SHM_TRACE_WORDS 3u

struct shm_description {
    _Atomic uint64_t described_ns;           /* stored last */
    _Atomic uint64_t trace[SHM_TRACE_WORDS]; /* a struct shm_trace; zero: it belongs to none */
};
static_assert(sizeof(struct shm_description) == 32, "description");
static_assert(offsetof(struct shm_description, trace) == 8, "description.trace");

#define SHM_CALL_BYTES (sizeof(struct shm_open_call) + sizeof(struct shm_description))
static_assert(sizeof(struct shm_trace) == SHM_TRACE_WORDS * sizeof(uint64_t), "a trace in words");

/* ---- header ----------------------------------------------------------------------------- */

struct shm_part {
    uint64_t offset_bytes;
    uint64_t size_bytes;
};

struct shm_identity {
    uint64_t magic;
    /* Stored last with release; pairs with the acquire in shm_lane_attach. */
    _Atomic uint32_t version;
    uint32_t record_bytes;
    uint64_t lane_id;
    uint64_t lane_bytes;
    struct shm_part calls;
    struct shm_part dictionary;
    struct shm_part cells;
    struct shm_part seen;
    struct shm_part ring;
    uint64_t predecessor; /* id of the lane that this one replaces; 0: none */
    uint8_t zero[136];
};
static_assert(sizeof(struct shm_identity) == 256, "identity");
static_assert(offsetof(struct shm_identity, version) == 8, "identity.version");
static_assert(offsetof(struct shm_identity, record_bytes) == 12, "identity.record_bytes");
static_assert(offsetof(struct shm_identity, lane_id) == 16, "identity.lane_id");
static_assert(offsetof(struct shm_identity, lane_bytes) == 24, "identity.lane_bytes");
static_assert(offsetof(struct shm_identity, calls) == 32, "identity.calls");
static_assert(offsetof(struct shm_identity, dictionary) == 48, "identity.dictionary");
static_assert(offsetof(struct shm_identity, cells) == 64, "identity.cells");
static_assert(offsetof(struct shm_identity, seen) == 80, "identity.seen");
static_assert(offsetof(struct shm_identity, ring) == 96, "identity.ring");
static_assert(offsetof(struct shm_identity, predecessor) == 112, "identity.predecessor");

/* The causes for which an event is not kept. Names for people: shm_drop_name in counts.h. */
enum shm_drop {
    SHM_DROP_LANE_FULL = 0,      /* no room for the family; or for a gauge, which cannot overflow */
    SHM_DROP_OVERSIZED = 1,      /* definition of a family longer than an entry may be */
    SHM_DROP_BAD_VALUE = 2,      /* not a number, or negative for a counter */
    SHM_DROP_BAD_LABELS = 3,     /* labels() with the wrong number or names */
    SHM_DROP_FOREIGN_CALL = 4,   /* a call ended in a process that did not start it */
    SHM_DROP_UNTRACKED_CALL = 5, /* counted, but not listed among the open calls */
    SHM_DROP_NO_MEMORY = 6,
    SHM_DROP_BAD_EXEMPLAR = 7,   /* no trace id, no span id or another label; the event counts */
    SHM_DROP_SPAN = 8,           /* a start or stop for which the ring had no room */
    SHM_DROPS = 9
};

struct shm_producer_line {
    _Atomic uint64_t head;           /* release; pairs with the acquire in shm_ring_waiting */
    _Atomic uint64_t dictionary_end; /* bytes in use; release; read after head */
    _Atomic uint64_t spilled;        /* events folded into cells; release, after the cells */
    _Atomic uint64_t gauge_writes;
    _Atomic uint64_t calls_high;     /* slots ever used: the collector looks no further */
    _Atomic uint64_t overflowed;     /* events recorded in an overflow series */
    _Atomic uint64_t added;          /* events added straight to cells; release, after the cell */
    _Atomic uint64_t moved_to;       /* id of the lane in which the emitter goes on; release, last */
    _Atomic uint64_t dropped[SHM_DROPS];
    uint64_t zero_b[23 - SHM_DROPS];
    _Atomic uint64_t heard; /* bytes of notices that the emitter has read */
};
static_assert(sizeof(struct shm_producer_line) == 256, "producer");
static_assert(offsetof(struct shm_producer_line, dictionary_end) == 8, "producer.dictionary_end");
static_assert(offsetof(struct shm_producer_line, spilled) == 16, "producer.spilled");
static_assert(offsetof(struct shm_producer_line, gauge_writes) == 24, "producer.gauge_writes");
static_assert(offsetof(struct shm_producer_line, calls_high) == 32, "producer.calls_high");
static_assert(offsetof(struct shm_producer_line, overflowed) == 40, "producer.overflowed");
static_assert(offsetof(struct shm_producer_line, added) == 48, "producer.added");
static_assert(offsetof(struct shm_producer_line, moved_to) == 56, "producer.moved_to");
static_assert(offsetof(struct shm_producer_line, dropped) == 64, "producer.dropped");
static_assert(offsetof(struct shm_producer_line, heard) == 248, "producer.heard");

enum shm_lane_state {
    SHM_LANE_OPEN = 0,
    SHM_LANE_CLOSED = 1, /* nobody drains it any more: the emitter registers anew */
    SHM_LANE_PRIVATE = 2, /* nobody drains it yet: memory of its process alone */
    SHM_LANE_TOLD = 3, /* open, with notices that the emitter has not heard */
};

struct shm_consumer_line {
    _Atomic uint64_t tail; /* release; pairs with the acquire in shm_ring_refresh */
    uint64_t zero_a[15];
    /* Not beside the tail, which moves with every record: the emitter looks here at every add. */
    _Atomic uint32_t state; /* enum shm_lane_state */
    uint32_t zero_b;
    uint64_t zero_c[15];
};
static_assert(sizeof(struct shm_consumer_line) == 256, "consumer");
static_assert(offsetof(struct shm_consumer_line, state) == 128, "consumer.state: its own lines");

#define SHM_INTENT_CHANGES 189u /* an event has 4; what waited of one series has many */
#define SHM_INTENT_BYTES 3072u
#define SHM_INTENT_NONE (UINT64_MAX - 1u)

struct shm_cell_change {
    uint64_t value; /* the new content of the cell */
    uint32_t cell;
    uint32_t frees_slot; /* 1: it is not a cell, but a slot of open calls, which becomes free */
};

/* The changes of a spilling event, written before it makes them: if the emitter is killed in the
 * middle, the collector finishes the event. The intent is valid while spilled equals
 * producer.spilled, and belongs to the latest event of all while head equals producer.head. */
struct shm_intent {
    _Atomic uint64_t spilled;
    uint64_t head;
    uint32_t n;
    uint32_t kind;     /* enum shm_kind of a call that starts or ends, or 0 */
    uint64_t start_ns; /* of that call */
    uint32_t series;
    uint32_t zero_a;
    struct shm_cell_change changes[SHM_INTENT_CHANGES];
    uint8_t zero[SHM_INTENT_BYTES - 40 - SHM_INTENT_CHANGES * sizeof(struct shm_cell_change)];
};
static_assert(sizeof(struct shm_intent) == SHM_INTENT_BYTES, "intent");
static_assert(offsetof(struct shm_intent, head) == 8, "intent.head");
static_assert(offsetof(struct shm_intent, n) == 16, "intent.n");
static_assert(offsetof(struct shm_intent, kind) == 20, "intent.kind");
static_assert(offsetof(struct shm_intent, start_ns) == 24, "intent.start_ns");
static_assert(offsetof(struct shm_intent, series) == 32, "intent.series");
static_assert(offsetof(struct shm_intent, changes) == 40, "intent.changes");

/* ---- notices ---------------------------------------------------------------------------- */

#define SHM_NOTICES_BYTES 4088u

/* A notice is a size (of all of it, a multiple of 8), four zero bytes, and strings as in a
 * dictionary entry: metric, reason, cause, mend. Without a cause, what it said before is over. */
struct shm_notice {
    uint32_t size_bytes;
    uint32_t zero;
};
static_assert(sizeof(struct shm_notice) == 8, "notice");

/* Notices are appended, and stay as long as the lane. */
struct shm_notices {
    _Atomic uint64_t end; /* bytes in use; release; pairs with the acquire in shm_notices_end */
    unsigned char bytes[SHM_NOTICES_BYTES];
};
static_assert(offsetof(struct shm_notices, bytes) == 8, "notices.bytes");

struct shm_header {
    struct shm_identity identity;
    struct shm_producer_line producer;
    struct shm_consumer_line consumer;
    struct shm_intent intent;
    uint8_t zero[4096u - 3u * 256u - SHM_INTENT_BYTES];
    struct shm_notices notices;
};
static_assert(sizeof(struct shm_header) == SHM_HEADER_BYTES, "header");
static_assert(offsetof(struct shm_header, producer) == 256, "header.producer");
static_assert(offsetof(struct shm_header, consumer) == 512, "header.consumer");
static_assert(offsetof(struct shm_header, intent) == 768, "header.intent");
static_assert(offsetof(struct shm_header, notices) == 4096, "header.notices");

static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
              "atomics in shared memory must not be locks");
static_assert(sizeof(double) == 8, "IEEE 754 doubles");

#endif
