# SPDX-License-Identifier: Apache-2.0
# What csrc/ offers. Nothing there raises; what needs the GIL is only what touches Python objects.

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "layout.h" nogil:
    const uint32_t SHM_LAYOUT_VERSION
    const uint32_t SHM_HEADER_BYTES
    const uint32_t SHM_RECORD_BYTES
    const uint32_t SHM_CELL_BYTES
    const uint64_t SHM_INDEX_START
    const uint32_t SHM_ENTRY_MAX_BYTES
    const char *SHM_OVERFLOW_VALUE

    const int SHM_TYPE_NONE, SHM_TYPE_COUNTER, SHM_TYPE_GAUGE, SHM_TYPE_HISTOGRAM
    const int SHM_TYPE_CALLS, SHM_TYPE_EXCEPTION
    const int SHM_KIND_ADD, SHM_KIND_OBSERVE, SHM_KIND_CALL_START, SHM_KIND_CALL_END, SHM_KINDS
    const int SHM_ENTRY_FAMILY, SHM_ENTRY_SERIES, SHM_ENTRY_EXCEPTION
    const int SHM_LANE_CLOSED
    const int SHM_REPORT_ENTRIES, SHM_REPORT_QUARANTINED, SHM_REPORT_RETIRED
    const int SHM_DROPS, SHM_DROP_BAD_VALUE, SHM_DROP_BAD_LABELS, SHM_DROP_NO_MEMORY
    const uint32_t SHM_CELL_STARTS, SHM_CELL_ENDS, SHM_CELL_DURATION, SHM_CALLS_BUCKETS
    const uint32_t SHM_CELL_SUM, SHM_HISTOGRAM_BUCKETS, SHM_CELL_VALUE, SHM_CELL_STAMP

    const size_t SHM_AT_KIND "offsetof(struct shm_record, kind)"
    const size_t SHM_AT_FLAGS "offsetof(struct shm_record, flags)"
    const size_t SHM_AT_SERIES "offsetof(struct shm_record, series)"
    const size_t SHM_AT_VALUE "offsetof(struct shm_record, value)"
    const size_t SHM_AT_STAMP_NS "offsetof(struct shm_record, stamp_ns)"
    const size_t SHM_AT_DURATION_NS "offsetof(struct shm_record, duration_ns)"
    const size_t SHM_AT_EXCEPTION "offsetof(struct shm_record, exception)"
    const size_t SHM_AT_TRACE "offsetof(struct shm_record, trace)"

    cdef struct shm_entry:
        uint32_t size_bytes
        uint16_t kind
        uint16_t type
        uint32_t id
        uint32_t of

    cdef struct shm_header:
        pass


cdef extern from "lane.h" nogil:
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


cdef extern from "spill.h" nogil:
    uint32_t shm_cells_of(uint16_t type, uint32_t n_bounds) noexcept


cdef extern from "producer.h" nogil:
    const uint32_t SHM_MAX_OPEN_CALLS
    const int SHM_EMITTED, SHM_ATTENTION

    cdef struct shm_producer:
        shm_lane lane
        uint32_t epoch
        bint disabled

    cdef struct shm_call:
        bint open

    bint shm_is_closed(const shm_producer *producer) noexcept
    const char *shm_drop_name(int cause) noexcept
    void shm_count_drop(shm_producer *producer, int cause, uint64_t n) noexcept


cdef extern from "definitions.h" nogil:
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


cdef extern from "emit.h" nogil:
    int shm_emit_add(shm_producer *producer, shm_series *series, double value) noexcept
    int shm_emit_observe(shm_producer *producer, shm_series *series, double value) noexcept
    int shm_emit_gauge(shm_producer *producer, shm_series *series, double value, bint add,
                       bint with_stamp) noexcept
    int shm_emit_call_start(shm_producer *producer, shm_series *series, shm_call *call) noexcept
    int shm_emit_call_end(shm_producer *producer, shm_series *series, shm_call *call,
                          shm_series *exception) noexcept


cdef extern from "process.h" nogil:
    const uint32_t SHM_DEFAULT_RECORDS, SHM_DEFAULT_DICTIONARY_BYTES
    const uint32_t SHM_DEFAULT_CELLS, SHM_DEFAULT_CALLS
    const int SHM_PROCESS_NONE, SHM_PROCESS_PRIVATE, SHM_PROCESS_REGISTERED

    cdef struct shm_process_struct "shm_process":
        int state

    shm_process_struct shm_process
    shm_producer *shm_process_producer() noexcept
    void shm_process_init(bint disabled) noexcept
    int shm_process_attach(uint32_t epoch, int lane_fd, int kick_fd, int connection_fd) noexcept
    void shm_process_detach() noexcept


cdef extern from "wait.h" nogil:
    bint shm_wait_readable(int fd, uint64_t wait_ns) noexcept


cdef extern from "counts.h" nogil:
    cdef struct shm_counts:
        uint64_t lane_id
        uint64_t recorded
        uint64_t waiting
        uint64_t spilled
        uint64_t gauge_writes
        uint64_t overflowed
        uint64_t dropped[7]

    void shm_counts_read(const shm_header *header, shm_counts *counts) noexcept


cdef extern from "undo.h" nogil:
    cdef struct shm_undo:
        pass


cdef extern from "drain.h" nogil:
    const int SHM_DRAINED, SHM_DRAIN_ENTRIES, SHM_DRAIN_NO_MEMORY
    const int SHM_BROKEN_HEAD, SHM_BROKEN_DICTIONARY, SHM_BROKEN_ENTRY, SHM_BROKEN_KIND
    const int SHM_BROKEN_SERIES, SHM_BROKEN_VALUE, SHM_BROKEN_CELLS, SHM_BROKEN_CUT_SHORT

    const uint64_t SHM_NO_CELL

    cdef struct shm_tally:
        uint64_t *events[5]
        uint64_t *unbound
        uint64_t *spilled
        uint64_t *overflowed
        uint64_t *dropped[7]

    cdef struct shm_drain:
        shm_lane lane
        uint32_t n_targets
        shm_tally tally

    cdef struct shm_open_call_copy:
        uint64_t start_ns
        uint32_t series
        uint32_t slot

    cdef struct shm_gauge_copy:
        uint32_t series
        double value
        uint64_t stamp_ns

    void shm_drain_close(shm_drain *drain) noexcept
    int shm_drain_bind(shm_drain *drain, uint16_t type, const double *bounds, uint32_t n_bounds,
                       uint64_t *cells) noexcept


cdef extern from "contained.h" nogil:
    int shm_contained_open(shm_drain *drain, void *base, uint64_t size_bytes, shm_undo *undo,
                           uint64_t *cells, uint64_t n_cells) noexcept
    bint shm_contained_recover(shm_drain *drain) noexcept
    int shm_contained_pass(shm_drain *drain) noexcept
    int shm_contained_entry(shm_drain *drain, shm_entry *entry, unsigned char *buffer) noexcept
    uint32_t shm_contained_calls(shm_drain *drain, shm_open_call_copy *calls, uint32_t n) noexcept
    uint32_t shm_contained_gauges(shm_drain *drain, uint32_t from_series, shm_gauge_copy *gauges,
                                  uint32_t n) noexcept
    bint shm_contained_finish(shm_drain *drain) noexcept
    bint shm_contained_take_gauge(shm_drain *drain, uint32_t series, uint64_t cell) noexcept
    bint shm_contained_abandon(shm_drain *drain, uint32_t slot, uint64_t cell) noexcept
    bint shm_contained_give_up(shm_drain *drain) noexcept
    bint shm_contained_report(shm_drain *drain, uint32_t report, uint64_t now,
                              uint64_t cell) noexcept
    uint64_t shm_contained_reported(shm_drain *drain, uint32_t report) noexcept
    bint shm_contained_report_counts(shm_drain *drain) noexcept
    bint shm_contained_counts(shm_drain *drain, shm_counts *counts) noexcept


cdef extern from "text.h" nogil:
    const size_t SHM_TEXT_SUFFIX_BYTES

    cdef struct shm_text_family:
        const char *name
        size_t name_bytes
        const char *labels
        const uint64_t *parts
        size_t n_rows

    cdef struct shm_text_les:
        const char *text
        const uint64_t *offsets
        size_t n

    cdef struct shm_text_column:
        const char *first
        ptrdiff_t stride_bytes
        int counts

    cdef struct shm_text_buckets:
        const char *first
        ptrdiff_t row_stride_bytes
        ptrdiff_t bucket_stride_bytes

    char *shm_text_number(char *out, double value) noexcept
    char *shm_text_count(char *out, uint64_t value) noexcept
    char *shm_text_escape(char *out, const char *value, size_t n_bytes) noexcept
    size_t shm_text_bound(const shm_text_family *family, size_t n_lines,
                          const shm_text_les *les) noexcept
    char *shm_text_scalars(char *out, const shm_text_family *family, const char *suffix,
                           shm_text_column values, shm_text_column created) noexcept
    char *shm_text_histograms(char *out, const shm_text_family *family, const shm_text_les *les,
                              shm_text_buckets buckets, shm_text_column sums,
                              shm_text_column created) noexcept
