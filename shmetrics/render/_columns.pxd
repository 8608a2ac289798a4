# SPDX-License-Identifier: Apache-2.0
# The numbers of a family as csrc/render/ takes them, for text and for protocol buffers.

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, uint64_t


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


cdef extern from "render/native.h" nogil:
    cdef struct shm_native:
        int32_t schema
        int32_t first
        double zero_threshold
        shm_column zeros
        shm_counts_of_rows counts
        unsigned schema_field

    const unsigned SHM_CLIENT_SCHEMA
    const unsigned SHM_REMOTE_SCHEMA


# What the pointers of these point to must live longer: the caller keeps the arrays.

cdef inline shm_column column_of(numbers, size_t n_rows) except *:
    """Return a column of as many rows; None: one without numbers. Raises ValueError."""
    cdef const uint64_t[:] counts
    cdef const double[:] doubles
    if numbers is None or n_rows == 0:
        return shm_column(NULL, 0, False)
    if <size_t>len(numbers) != n_rows:
        raise ValueError("a column of another length than the table's")
    if numbers.dtype.kind == "u":
        counts = numbers
        return shm_column(<const char *>&counts[0], counts.strides[0], True)
    doubles = numbers
    return shm_column(<const char *>&doubles[0], doubles.strides[0], False)


cdef inline shm_counts_of_rows counts_of(const uint64_t[:, :] counts, size_t n_rows) except *:
    """Return the counts of as many rows. Raises ValueError."""
    if <size_t>counts.shape[0] != n_rows:
        raise ValueError("counts of another number of rows than the table's")
    if counts.shape[0] == 0 or counts.shape[1] == 0:
        return shm_counts_of_rows(NULL, 0, 0, 0)
    return shm_counts_of_rows(<const char *>&counts[0, 0], counts.strides[0],
                              counts.strides[1], <size_t>counts.shape[1])


cdef inline shm_exemplars_of_rows exemplars_of(const unsigned char[::1] exemplars) except *:
    """Return exemplars; None: there are none. Raises ValueError."""
    if exemplars is None or exemplars.shape[0] == 0:
        return shm_exemplars_of_rows(NULL, 0)
    if <size_t>exemplars.shape[0] % sizeof(shm_exemplar):
        raise ValueError("part of an exemplar")
    return shm_exemplars_of_rows(
        <const shm_exemplar *>&exemplars[0], <size_t>exemplars.shape[0] // sizeof(shm_exemplar))


cdef inline bytes cut_to(bytes room, const char *end):
    """Return what is written in new bytes up to its end. The caller forgets the bytes."""
    return room[:end - PyBytes_AS_STRING(room)]
