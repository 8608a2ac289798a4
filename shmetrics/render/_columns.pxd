# SPDX-License-Identifier: Apache-2.0
# The numbers of a family as csrc/render/ takes them, for text and for protocol buffers.

from libc.stddef cimport ptrdiff_t


cdef extern from "lane/exemplar.h" nogil:
    cdef struct shm_exemplar:
        pass


cdef extern from "render/columns.h" nogil:
    cdef struct shm_column:
        const char *first
        ptrdiff_t stride_bytes
        int counts

    cdef struct shm_counts_of_rows:
        const char *first
        ptrdiff_t row_stride_bytes
        ptrdiff_t stride_bytes
        size_t n

    cdef struct shm_exemplars_of_rows:
        const shm_exemplar *first
        size_t n
