# SPDX-License-Identifier: Apache-2.0
# What csrc/ offers an emitter. Nothing there raises; what needs the GIL is only what touches Python
# objects.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from shmetrics.layout cimport shm_counts, shm_lane, shm_span, shm_trace


cdef extern from "emit/producer.h" nogil:
    const int SHM_EMITTED, SHM_ATTENTION, SHM_SPAN_ATTENTION

    cdef struct shm_producer:
        shm_lane lane
        uint32_t epoch
        bint disabled
        bint wants_larger
        shm_producer *waiting

    cdef struct shm_call:
        bint open
        bint traced
        shm_trace trace

    bint shm_is_closed(const shm_producer *producer) noexcept
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

    uint32_t shm_causes_of(const shm_producer *producer, const shm_family *family) noexcept
    void shm_forget_cause(shm_family *family, uint32_t cause) noexcept
    int shm_drop_of(shm_producer *producer, shm_family *family, int cause) noexcept


cdef extern from "emit/place.h" nogil:
    bint shm_declare(shm_producer *producer, shm_series *series) noexcept
    void shm_series_remove(shm_producer *producer, shm_series *series) noexcept


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


cdef extern from "emit/observed.h" nogil:
    int shm_emit_total(shm_producer *producer, shm_series *series, double value) noexcept
    int shm_emit_totals(shm_producer *producer, shm_series **series, const double *values,
                        uint32_t n) noexcept
    int shm_emit_generation(shm_producer *producer, shm_series *series, double value) noexcept


cdef extern from "emit/calls.h" nogil:
    int shm_emit_call_start(shm_producer *producer, shm_series *series, shm_call *call) noexcept
    void shm_describe_call(shm_producer *producer, const shm_call *call, uint32_t timeout_ms,
                           const shm_trace *trace) noexcept
    int shm_emit_call_end(shm_producer *producer, shm_series *series, shm_call *call,
                          shm_series *exception) noexcept


cdef extern from "lane/clock.h" nogil:
    uint64_t shm_clock_ns() noexcept
    uint64_t shm_clock_unix_ns() noexcept


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
    const int SHM_PROCESS_NONE, SHM_PROCESS_PRIVATE, SHM_PROCESS_REGISTERED

    cdef struct shm_process_struct "shm_process":
        int state

    shm_process_struct shm_process
    shm_producer *shm_process_producer() noexcept
    void shm_process_init(bint disabled) noexcept
    int shm_process_attach(uint32_t epoch, shm_descriptor *lane) noexcept
    void shm_process_detach() noexcept

    cdef struct shm_wanted:
        uint64_t dictionary_bytes
        uint64_t cells
        uint64_t predecessor

    void shm_process_wanted(shm_wanted *wanted) noexcept
    void shm_process_settle(uint64_t retry_ns) noexcept
    bint shm_process_counts(shm_counts *counts) noexcept
    uint32_t shm_process_notices(unsigned char *to) noexcept
    void shm_process_forget_series(const shm_series *series) noexcept
    void shm_process_forget_family(const shm_family *family) noexcept
    void shm_attend_soon(shm_producer *producer) noexcept
    void shm_be_told(shm_producer *producer) noexcept


cdef extern from "emit/wait.h" nogil:
    bint shm_wait_readable(int fd, uint64_t wait_ns) noexcept


# For what is compiled and records many spans: see _spans.pxi and _calls.pxi.
cdef int record_span(object series, shm_span *span, object info) except -1
cdef int calls_belong_to(bint (*current)(shm_trace *trace) noexcept) except -1
