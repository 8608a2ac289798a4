# SPDX-License-Identifier: Apache-2.0
# What csrc/ offers the exposition in protocol buffers.

from libc.stdint cimport uint64_t

from shmetrics.render._columns cimport (
    shm_column,
    shm_counts_of_rows,
    shm_exemplars_of_rows,
    shm_native,
)


cdef extern from "render/proto.h" nogil:
    cdef enum shm_proto_kind:
        SHM_PROTO_GAUGE
        SHM_PROTO_COUNTER
        SHM_PROTO_UNTYPED
        SHM_PROTO_HISTOGRAM

    cdef struct shm_proto_family:
        shm_proto_kind kind
        size_t n_rows
        shm_column values
        shm_column created
        shm_column sums
        const double *bounds
        shm_counts_of_rows buckets
        const shm_native *native
        shm_exemplars_of_rows exemplars

    cdef struct shm_proto_labels:
        const char *fields
        const uint64_t *ends

    void shm_proto_measure(const shm_proto_family *family, uint64_t *sizes) noexcept
    size_t shm_proto_piece(const shm_proto_family *family, const uint64_t *sizes,
                           const uint64_t *ends, size_t begin, uint64_t most_bytes,
                           uint64_t *n_bytes) noexcept
    size_t shm_proto_slack(const shm_proto_family *family) noexcept
    char *shm_proto_write(char *out, const shm_proto_family *family, const uint64_t *sizes,
                          shm_proto_labels labels, size_t begin, size_t end) noexcept
