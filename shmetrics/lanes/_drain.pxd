# SPDX-License-Identifier: Apache-2.0
# What csrc/ offers the collector.

from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t

from shmetrics.layout cimport SHM_DROPS, SHM_KINDS, shm_counts, shm_entry, shm_lane, shm_trace
from shmetrics.store._cells cimport shm_exemplars, shm_scale, shm_undo


cdef extern from "drain/file.h" nogil:
    int shm_file_is_held(int fd) noexcept
    int shm_file_has_grown(int fd, uint64_t size_bytes, uint64_t slack_bytes) noexcept


cdef extern from "drain/watch.h" nogil:
    enum:  # the length of an array
        SHM_WATCH_MOST
    const int SHM_WATCH_OVERFLOW

    int shm_watch_open() noexcept
    int shm_watch_add(int fd, const char *path) noexcept
    int shm_watch_remove(int fd, int watch) noexcept
    int shm_watch_read(int fd, int32_t *watches) noexcept


cdef extern from "drain/ledger.h" nogil:
    const int SHM_REPORT_ENTRIES, SHM_REPORT_QUARANTINED, SHM_REPORT_RETIRED
    const int SHM_REPORT_ARRIVED, SHM_REPORT_BEFORE

    cdef struct shm_ledger:
        pass


cdef extern from "drain/spans.h" nogil:
    cdef struct shm_spans:
        unsigned char *bytes
        size_t size_bytes
        size_t used_bytes
        uint64_t n
        uint64_t lost


cdef extern from "drain/failures.h" nogil:
    const uint32_t SHM_MOST_FAILURES

    cdef struct shm_failure:
        uint64_t lane
        uint64_t stamp_ns
        uint64_t duration_ns
        uint32_t series
        uint32_t exception
        shm_trace trace

    cdef struct shm_failures:
        shm_failure *kept
        uint64_t n


cdef extern from "drain/drain.h" nogil:
    const int SHM_DRAINED, SHM_DRAIN_ENTRIES, SHM_DRAIN_NO_MEMORY
    const int SHM_BROKEN_HEAD, SHM_BROKEN_DICTIONARY, SHM_BROKEN_ENTRY, SHM_BROKEN_KIND
    const int SHM_BROKEN_SERIES, SHM_BROKEN_VALUE, SHM_BROKEN_CELLS, SHM_BROKEN_CUT_SHORT

    const uint64_t SHM_NO_CELL

    cdef struct shm_tally:
        uint64_t *events[SHM_KINDS]
        uint64_t *unbound
        uint64_t *spilled
        uint64_t *overflowed
        uint64_t *dropped[SHM_DROPS]

    cdef struct shm_target:
        uint32_t n_bounds
        uint16_t type

    cdef struct shm_drain:
        shm_lane lane
        uint32_t n_targets
        shm_target *targets
        shm_tally tally
        shm_exemplars *exemplars
        shm_spans *spans
        shm_failures *failures

    cdef struct shm_open_call_copy:
        uint64_t start_ns
        uint32_t series
        uint32_t slot
        uint32_t timeout_ms
        shm_trace trace

    cdef struct shm_gauge_copy:
        uint32_t series
        double value
        uint64_t stamp_ns

    cdef struct shm_observed_copy:
        uint32_t series
        double total
        uint64_t start_ns

    void shm_drain_close(shm_drain *drain) noexcept
    bint shm_drain_rebind(shm_drain *drain, uint32_t series, const shm_scale *scale,
                          uint64_t *cells)
    int shm_drain_bind(shm_drain *drain, uint16_t type, uint32_t n_bounds, const shm_scale *scale,
                       uint64_t *cells) noexcept


cdef extern from "drain/contained.h" nogil:
    int shm_contained_open(shm_drain *drain, void *base, uint64_t size_bytes, shm_ledger *ledger,
                           shm_undo *undo, uint64_t *cells, uint64_t n_cells) noexcept
    bint shm_contained_recover(shm_drain *drain) noexcept
    int shm_contained_pass(shm_drain *drain) noexcept
    int shm_contained_entry(shm_drain *drain, shm_entry *entry, unsigned char *buffer) noexcept
    int shm_contained_remove(shm_drain *drain, uint32_t series) noexcept
    uint32_t shm_contained_next_removed(shm_drain *drain, uint32_t *at_bytes,
                                        uint64_t *n_entries) noexcept
    uint32_t shm_contained_calls(shm_drain *drain, shm_open_call_copy *calls, uint32_t n) noexcept
    uint32_t shm_contained_gauges(shm_drain *drain, uint32_t from_series, shm_gauge_copy *gauges,
                                  uint32_t n) noexcept
    uint32_t shm_contained_observed(shm_drain *drain, uint32_t from_series,
                                    shm_observed_copy *totals, uint32_t n) noexcept
    uint64_t shm_contained_moved_to(shm_drain *drain) noexcept
    bint shm_contained_finish(shm_drain *drain) noexcept
    bint shm_contained_take_gauge(shm_drain *drain, uint32_t series, uint64_t cell) noexcept
    bint shm_contained_abandon(shm_drain *drain, uint32_t slot, uint64_t cell) noexcept
    bint shm_contained_give_up(shm_drain *drain) noexcept
    bint shm_contained_tell(shm_drain *drain, const void *notice, uint32_t n_bytes) noexcept
    bint shm_contained_heard(shm_drain *drain) noexcept
    uint32_t shm_contained_notices(shm_drain *drain, unsigned char *to) noexcept
    bint shm_contained_report(shm_drain *drain, uint32_t report, uint64_t now,
                              uint64_t cell) noexcept
    uint64_t shm_contained_reported(shm_drain *drain, uint32_t report) noexcept
    bint shm_contained_report_counts(shm_drain *drain) noexcept
    bint shm_contained_counts(shm_drain *drain, shm_counts *counts) noexcept
