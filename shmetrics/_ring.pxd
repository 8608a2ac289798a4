# SPDX-License-Identifier: Apache-2.0
# What csrc/ offers an emitter, and what it shares with the collector. Nothing there raises; what
# needs the GIL is only what touches Python objects.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "lane/layout.h" nogil:
    const uint32_t SHM_LAYOUT_VERSION
    const uint32_t SHM_HEADER_BYTES
    const uint32_t SHM_RECORD_BYTES
    const uint32_t SHM_CELL_BYTES
    const uint64_t SHM_INDEX_START
    const uint32_t SHM_ENTRY_MAX_BYTES
    const char *SHM_OVERFLOW_VALUE

    const int SHM_TYPE_NONE, SHM_TYPE_COUNTER, SHM_TYPE_GAUGE, SHM_TYPE_HISTOGRAM
    const int SHM_TYPE_CALLS, SHM_TYPE_EXCEPTION, SHM_TYPE_SPANS
    const int SHM_KIND_ADD, SHM_KIND_OBSERVE, SHM_KIND_CALL_START, SHM_KIND_CALL_END, SHM_KINDS
    const int SHM_KIND_SPAN_START, SHM_KIND_SPAN_STOP, SHM_KIND_SPAN_INFO
    const int SHM_FLAG_CUT, SHM_FLAG_HOST
    const int SHM_ENTRY_FAMILY, SHM_ENTRY_SERIES, SHM_ENTRY_EXCEPTION
    const int SHM_LANE_CLOSED
    const int SHM_DROPS, SHM_DROP_BAD_VALUE, SHM_DROP_BAD_LABELS, SHM_DROP_NO_MEMORY
    const int SHM_DROP_BAD_EXEMPLAR, SHM_DROP_SPAN
    const uint32_t SHM_CELL_STARTS, SHM_CELL_ENDS, SHM_CELL_DURATION, SHM_CALLS_BUCKETS
    const uint32_t SHM_CELL_SUM, SHM_HISTOGRAM_BUCKETS, SHM_CELL_VALUE, SHM_CELL_STAMP

    const size_t SHM_AT_KIND "offsetof(struct shm_record, kind)"
    const size_t SHM_AT_FLAGS "offsetof(struct shm_record, flags)"
    const size_t SHM_AT_SERIES "offsetof(struct shm_record, series)"
    const size_t SHM_AT_VALUE "offsetof(struct shm_record, value)"
    const size_t SHM_AT_STAMP_NS "offsetof(struct shm_record, stamp_ns)"
    const size_t SHM_AT_DURATION_NS "offsetof(struct shm_record, duration_ns)"
    const size_t SHM_AT_EXCEPTION "offsetof(struct shm_record, exception)"
    const size_t SHM_AT_TRACE "offsetof(struct shm_record, trace.id)"
    const size_t SHM_AT_SPAN "offsetof(struct shm_record, trace.span)"

    cdef struct shm_trace:
        uint8_t id[16]
        uint8_t span[8]

    cdef struct shm_span:
        uint8_t kind
        uint8_t flags
        uint64_t stamp_ns
        uint8_t id[16]
        uint8_t trace[16]
        uint8_t parent[16]

    cdef struct shm_entry:
        uint32_t size_bytes
        uint16_t kind
        uint16_t type
        uint32_t id
        uint32_t of

    cdef struct shm_header:
        pass


cdef extern from "lane/lane.h" nogil:
    const uint64_t SHM_LANE_MAX_BYTES
    const int SHM_ATTACH_OK, SHM_ATTACH_NOT_READY, SHM_ATTACH_NOT_A_LANE, SHM_ATTACH_FOREIGN
    const int SHM_ATTACH_VERSION, SHM_ATTACH_BAD_PARTS, SHM_ATTACH_TOO_SMALL

    cdef struct shm_lane_sizes:
        uint32_t records
        uint32_t dictionary_bytes
        uint32_t cells
        uint32_t calls

    cdef struct shm_lane:
        shm_header *header
        uint64_t lane_id
        uint64_t records
        uint32_t n_cells
        uint32_t n_calls

    uint64_t shm_lane_bytes(const shm_lane_sizes *sizes) noexcept
    void shm_lane_format(void *base, uint64_t lane_id, const shm_lane_sizes *sizes) noexcept


cdef extern from "lane/spill.h" nogil:
    uint32_t shm_cells_of(uint16_t type, uint32_t n_bounds) noexcept


cdef extern from "emit/producer.h" nogil:
    const uint32_t SHM_MAX_OPEN_CALLS
    const int SHM_EMITTED, SHM_ATTENTION

    cdef struct shm_producer:
        shm_lane lane
        uint32_t epoch
        bint disabled

    cdef struct shm_call:
        bint open
        bint traced
        shm_trace trace

    bint shm_is_closed(const shm_producer *producer) noexcept
    const char *shm_drop_name(int cause) noexcept
    void shm_count_drop(shm_producer *producer, int cause, uint64_t n) noexcept


cdef extern from "emit/definitions.h" nogil:
    cdef struct shm_family:
        uint16_t type
        uint32_t n_bounds
        const double *bounds
        const unsigned char *text
        uint32_t text_bytes

    cdef struct shm_series:
        uint16_t type
        uint32_t n_bounds
        const double *bounds
        shm_family *family
        shm_series *parent
        const unsigned char *text
        uint32_t text_bytes


cdef extern from "lane/trace.h" nogil:
    bint shm_trace_read(shm_trace *trace, const char *id, size_t length) noexcept
    bint shm_span_read(shm_trace *trace, const char *id, size_t length) noexcept


cdef extern from "emit/emit.h" nogil:
    int shm_emit_add_traced(shm_producer *producer, shm_series *series, double value,
                            const shm_trace *trace) noexcept
    int shm_emit_observe_traced(shm_producer *producer, shm_series *series, double value,
                                const shm_trace *trace) noexcept
    int shm_emit_add(shm_producer *producer, shm_series *series, double value) noexcept
    int shm_emit_observe(shm_producer *producer, shm_series *series, double value) noexcept
    int shm_emit_gauge(shm_producer *producer, shm_series *series, double value, bint add,
                       bint with_stamp) noexcept
    int shm_emit_call_start(shm_producer *producer, shm_series *series, shm_call *call) noexcept
    int shm_emit_call_end(shm_producer *producer, shm_series *series, shm_call *call,
                          shm_series *exception) noexcept


cdef extern from "lane/clock.h" nogil:
    uint64_t shm_clock_ns() noexcept


cdef extern from "emit/emit_span.h" nogil:
    enum:
        SHM_SPAN_INFO_MAX_BYTES

    int shm_emit_span(shm_producer *producer, shm_series *series, const shm_span *span,
                      const unsigned char *info, uint32_t info_bytes) noexcept


cdef extern from "lane/info.h" nogil:
    cdef struct shm_info:
        unsigned char *at
        const unsigned char *end
        bint is_cut

    bint shm_info_nil(shm_info *info) noexcept
    bint shm_info_bool(shm_info *info, bint value) noexcept
    bint shm_info_int(shm_info *info, int64_t value) noexcept
    bint shm_info_float(shm_info *info, double value) noexcept
    bint shm_info_text(shm_info *info, const char *text, size_t n_bytes) noexcept
    unsigned char *shm_info_open(shm_info *info, bint is_map) noexcept
    void shm_info_close(unsigned char *opened, uint16_t n_members) noexcept


cdef extern from "emit/descriptor.h" nogil:
    cdef struct shm_descriptor:
        int fd

    shm_descriptor shm_descriptor_of(int fd) noexcept
    bint shm_descriptor_is_ours(const shm_descriptor *descriptor) noexcept
    void shm_descriptor_close(shm_descriptor *descriptor) noexcept


cdef extern from "emit/ask.h" nogil:
    int shm_ask(shm_descriptor *connection, const char *path, const void *hello,
                size_t n_bytes) noexcept
    Py_ssize_t shm_ask_answer(const shm_descriptor *connection, void *answer, size_t n_bytes,
                              shm_descriptor *lane) noexcept


cdef extern from "emit/process.h" nogil:
    const uint32_t SHM_DEFAULT_RECORDS, SHM_DEFAULT_DICTIONARY_BYTES
    const uint32_t SHM_DEFAULT_CELLS, SHM_DEFAULT_CALLS
    const int SHM_PROCESS_NONE, SHM_PROCESS_PRIVATE, SHM_PROCESS_REGISTERED

    cdef struct shm_process_struct "shm_process":
        int state

    shm_process_struct shm_process
    shm_producer *shm_process_producer() noexcept
    void shm_process_init(bint disabled) noexcept
    int shm_process_attach(uint32_t epoch, shm_descriptor *lane) noexcept
    void shm_process_detach() noexcept
    void shm_attend_soon(shm_producer *producer) noexcept


cdef extern from "emit/wait.h" nogil:
    bint shm_wait_readable(int fd, uint64_t wait_ns) noexcept


cdef extern from "lane/counts.h" nogil:
    cdef struct shm_counts:
        uint64_t lane_id
        uint64_t recorded
        uint64_t waiting
        uint64_t spilled
        uint64_t gauge_writes
        uint64_t overflowed
        uint64_t dropped[9]

    void shm_counts_read(const shm_header *header, shm_counts *counts) noexcept


cdef int check_attach(int code) except -1
cdef dict counts_dict(const shm_counts *counts)

# For what is compiled and records many spans: see _spans.pxi and _calls.pxi.
cdef int record_span(object series, shm_span *span, object info) except -1
cdef int calls_belong_to(bint (*current)(shm_trace *trace) noexcept) except -1
