# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/render/remote_write.h: series as Prometheus's remote write has them."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t

from shmetrics.render._columns cimport (
    SHM_REMOTE_SCHEMA,
    column_of,
    counts_of,
    cut_to,
    exemplars_of,
    shm_column,
    shm_exemplars_of_rows,
    shm_native,
)

cdef extern from "render/remote_write.h" nogil:
    cdef struct shm_fields:
        const char *bytes
        size_t n_bytes

    cdef struct shm_remote_family:
        shm_fields name
        shm_fields le
        const char *labels
        const uint64_t *parts
        uint64_t stamp_ms
        shm_exemplars_of_rows exemplars
        int is_v2
        shm_fields metadata
        shm_column created

    size_t shm_remote_reach(const shm_remote_family *family, const shm_native *native,
                            size_t start, size_t end, size_t most_bytes,
                            size_t *n_bytes) noexcept
    char *shm_remote_samples(char *out, const shm_remote_family *family, shm_column values,
                             size_t bucket, size_t start, size_t end) noexcept
    char *shm_remote_histograms(char *out, const shm_remote_family *family,
                                const shm_native *native, shm_column sums, size_t start,
                                size_t end) noexcept


cdef class Family:
    """The common part of the series of a family; see csrc/render/remote_write.h.

    Args:
        name: the label with their name, as a field.
        le: the label `le`, likewise; b"" without one.
        labels: the labels of all rows.
        parts: offsets in these.
        n_rows: the number of rows.
        stamp_ms: the time of the samples, in milliseconds since 1970.
        exemplars: as bytes, or None.
        metadata: None for remote write 1.0; for 2.0 a field of each series.
        created: for 2.0, an array with the begin of each row, Unix time in seconds; or None.

    Raises ValueError if arrays do not fit each other.
    """

    cdef shm_remote_family _family
    cdef size_t _n_rows
    cdef tuple _kept  # what the pointers point to

    def __cinit__(self, bytes name not None, bytes le not None,
                  const unsigned char[::1] labels not None, const uint64_t[::1] parts not None,
                  size_t n_rows, uint64_t stamp_ms, const unsigned char[::1] exemplars=None,
                  bytes metadata=None, created=None):
        if (3 * n_rows >= <size_t>parts.shape[0]
                or parts[<Py_ssize_t>(3 * n_rows)] > <uint64_t>labels.shape[0]):
            raise ValueError("fewer labels than rows")
        self._kept = name, le, labels, parts, exemplars, metadata, created
        self._n_rows = n_rows
        self._family.name = shm_fields(name, <size_t>len(name))
        self._family.le = shm_fields(le, <size_t>len(le))
        self._family.labels = ""
        if labels.shape[0] > 0:
            self._family.labels = <const char *>&labels[0]
        self._family.parts = &parts[0]
        self._family.stamp_ms = stamp_ms
        self._family.exemplars = exemplars_of(exemplars)
        self._family.is_v2 = metadata is not None
        if metadata is not None:
            self._family.metadata = shm_fields(metadata, <size_t>len(metadata))
            self._family.created = column_of(created, n_rows)

    def samples(self, values not None, size_t bucket, size_t start, size_t most_bytes):
        """Write the series of as many rows as fit, each with a sample.

        Args:
            values: an array with a number per row.
            bucket: the bucket whose exemplars are written.
            start: the first row.
            most_bytes: the size of what is written; but it has at least one row.

        Returns:
            The series, and the row behind the last one.
        """
        cdef shm_column column = column_of(values, self._n_rows)
        if start >= self._n_rows:
            return b"", self._n_rows
        cdef size_t n_bytes = 0
        cdef size_t end = shm_remote_reach(
            &self._family, NULL, start, self._n_rows, most_bytes, &n_bytes)
        cdef bytes room = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n_bytes)
        cdef char *out = room
        with nogil:
            out = shm_remote_samples(out, &self._family, column, bucket, start, end)
        return cut_to(room, out), end

    def histograms(self, native not None, sums not None, size_t start, size_t most_bytes):
        """Write the series of as many rows as fit, each with a native histogram; see samples().

        Args:
            native: the native histograms, as a table has them.
            sums: an array with a sum per row.
            start: the first row.
            most_bytes: the size of what is written.
        """
        cdef shm_column zeros = column_of(native.zeros, self._n_rows)
        cdef shm_native histograms = shm_native(
            native.schema, native.first, native.zero_threshold, zeros,
            counts_of(native.counts, self._n_rows), SHM_REMOTE_SCHEMA)
        cdef shm_column column = column_of(sums, self._n_rows)
        if start >= self._n_rows:
            return b"", self._n_rows
        if not zeros.counts:
            raise ValueError("zeros that are not counts")
        cdef size_t n_bytes = 0
        cdef size_t end = shm_remote_reach(
            &self._family, &histograms, start, self._n_rows, most_bytes, &n_bytes)
        cdef bytes room = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n_bytes)
        cdef char *out = room
        with nogil:
            out = shm_remote_histograms(out, &self._family, &histograms, column, start, end)
        return cut_to(room, out), end
