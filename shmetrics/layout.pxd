# SPDX-License-Identifier: Apache-2.0
# What csrc/lane/ offers both halves: where everything is in a lane, and how large one is.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "lane/layout.h" nogil:
    const uint32_t SHM_LAYOUT_VERSION
    const uint32_t SHM_HEADER_BYTES
    const uint32_t SHM_RECORD_BYTES
    const uint32_t SHM_CELL_BYTES
    const uint64_t SHM_INDEX_START
    const char *SHM_OVERFLOW_VALUE
    enum:  # lengths of arrays
        SHM_DROPS, SHM_KINDS, SHM_ENTRY_MAX_BYTES, SHM_NOTICES_BYTES

    const int SHM_TYPE_NONE, SHM_TYPE_COUNTER, SHM_TYPE_GAUGE, SHM_TYPE_HISTOGRAM
    const int SHM_TYPE_CALLS, SHM_TYPE_EXCEPTION, SHM_TYPE_SPANS, SHM_TYPE_OBSERVED
    const uint64_t SHM_START_UNKNOWN
    const int SHM_KIND_ADD, SHM_KIND_OBSERVE, SHM_KIND_CALL_START, SHM_KIND_CALL_END
    const int SHM_KIND_SPAN_START, SHM_KIND_SPAN_STOP, SHM_KIND_SPAN_INFO
    const int SHM_FLAG_CUT, SHM_FLAG_HOST
    const int SHM_ENTRY_FAMILY, SHM_ENTRY_SERIES, SHM_ENTRY_EXCEPTION, SHM_ENTRY_CELLS
    const int SHM_ENTRY_REMOVED
    const int SHM_LANE_CLOSED, SHM_LANE_TOLD
    const int SHM_DROP_LANE_FULL, SHM_DROP_OVERSIZED, SHM_DROP_BAD_VALUE, SHM_DROP_BAD_LABELS
    const int SHM_DROP_FOREIGN_CALL, SHM_DROP_UNTRACKED_CALL, SHM_DROP_NO_MEMORY
    const int SHM_DROP_BAD_EXEMPLAR, SHM_DROP_SPAN
    const uint32_t SHM_CELL_STARTS, SHM_CELL_ENDS, SHM_CELL_DURATION, SHM_CALLS_BUCKETS
    const uint32_t SHM_CELL_SUM, SHM_HISTOGRAM_BUCKETS, SHM_CELL_VALUE, SHM_CELL_STAMP

    const size_t SHM_AT_STATE "offsetof(struct shm_header, consumer.state)"
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
    enum:
        SHM_MAX_OPEN_CALLS
    const uint32_t SHM_DEFAULT_RECORDS, SHM_DEFAULT_DICTIONARY_BYTES
    const uint32_t SHM_DEFAULT_CELLS, SHM_DEFAULT_CALLS
    const int SHM_ATTACH_OK, SHM_ATTACH_NOT_READY, SHM_ATTACH_NOT_A_LANE, SHM_ATTACH_FOREIGN
    const int SHM_ATTACH_VERSION, SHM_ATTACH_BAD_PARTS, SHM_ATTACH_TOO_SMALL, SHM_ATTACH_LATER

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
    void shm_lane_format_after(void *base, uint64_t lane_id, uint64_t predecessor,
                               const shm_lane_sizes *sizes) noexcept


cdef extern from "lane/spill.h" nogil:
    uint32_t shm_cells_of(uint16_t type, uint32_t n_bounds) noexcept


cdef extern from "lane/counts.h" nogil:
    cdef struct shm_counts:
        uint64_t lane_id
        uint64_t recorded
        uint64_t waiting
        uint64_t spilled
        uint64_t gauge_writes
        uint64_t overflowed
        uint64_t dropped[SHM_DROPS]

    const char *shm_drop_name(int cause) noexcept
    void shm_counts_read(const shm_header *header, shm_counts *counts) noexcept


cdef int check_attach(int code) except -1
cdef dict counts_dict(const shm_counts *counts)
