# SPDX-License-Identifier: Apache-2.0
# What csrc/ offers the exposition.

from libc.stdint cimport uint64_t

from shmetrics.render._columns cimport shm_column, shm_counts_of_rows, shm_exemplars_of_rows


cdef extern from "render/text.h" nogil:
    const size_t SHM_TEXT_SUFFIX_BYTES

    cdef struct shm_text_family:
        const char *name
        size_t name_bytes
        int quoted
        const char *labels
        const uint64_t *parts
        size_t n_rows

    cdef struct shm_text_les:
        const char *text
        const uint64_t *offsets
        size_t n

    char *shm_text_number(char *out, double value) noexcept
    char *shm_text_count(char *out, uint64_t value) noexcept
    char *shm_text_escape(char *out, const char *value, size_t n_bytes) noexcept
    size_t shm_text_bound(const shm_text_family *family, size_t n_lines,
                          const shm_text_les *les, shm_exemplars_of_rows exemplars) noexcept
    char *shm_text_scalars(char *out, const shm_text_family *family, const char *suffix,
                           shm_column values, shm_column created,
                           shm_exemplars_of_rows exemplars) noexcept
    char *shm_text_histograms(char *out, const shm_text_family *family, const shm_text_les *les,
                              shm_counts_of_rows buckets, shm_column sums,
                              shm_column created,
                              shm_exemplars_of_rows exemplars) noexcept
