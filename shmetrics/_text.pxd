# SPDX-License-Identifier: Apache-2.0
# What csrc/ offers the exposition.

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint64_t


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
