# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/render/otlp.h: data points of OTLP's metrics."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t

from shmetrics.render._columns cimport (
    SHM_CLIENT_SCHEMA,
    column_of,
    counts_of,
    cut_to,
    exemplars_of,
    shm_column,
    shm_counts_of_rows,
    shm_exemplars_of_rows,
    shm_native,
)

cdef extern from "render/otlp.h" nogil:
    cdef struct shm_points:
        const char *attributes
        const uint64_t *ends
        uint64_t time_ns
        shm_column created
        shm_exemplars_of_rows exemplars

    cdef struct shm_bounded:
        const double *bounds
        shm_counts_of_rows buckets
        shm_column sums

    cdef struct shm_exponential:
        const shm_native *native
        shm_column sums

    size_t shm_points_reach(const shm_points *points, size_t n_buckets, size_t start, size_t end,
                            size_t most_bytes, size_t *n_bytes) noexcept
    char *shm_points_numbers(char *out, const shm_points *points, shm_column values, size_t start,
                             size_t end) noexcept
    char *shm_points_bounded(char *out, const shm_points *points, const shm_bounded *histogram,
                             size_t start, size_t end) noexcept
    char *shm_points_exponential(char *out, const shm_points *points,
                                 const shm_exponential *histogram, size_t start,
                                 size_t end) noexcept


cdef class Points:
    """The common part of the points of a family; see csrc/render/otlp.h.

    Args:
        attributes: the attributes of all rows, as fields of a point of their kind.
        ends: offsets in these: the begin of the first row, then the end of each row.
        n_rows: the number of rows.
        time_ns: the time of the points, in nanoseconds since 1970.
        created: an array with the begin of each row, Unix time in seconds; or None.
        exemplars: as bytes, or None.

    Raises ValueError if arrays do not fit each other. Each method writes as many rows as fit into
    *most_bytes*, but at least one, and returns them with the row behind the last one.
    """

    cdef shm_points _points
    cdef size_t _n_rows
    cdef tuple _kept  # what the pointers point to

    def __cinit__(self, const unsigned char[::1] attributes not None,
                  const uint64_t[::1] ends not None, size_t n_rows, uint64_t time_ns,
                  created=None, const unsigned char[::1] exemplars=None):
        if (n_rows >= <size_t>ends.shape[0]
                or ends[<Py_ssize_t>n_rows] > <uint64_t>attributes.shape[0]):
            raise ValueError("fewer attributes than rows")
        self._kept = attributes, ends, created, exemplars
        self._n_rows = n_rows
        self._points.attributes = ""
        if attributes.shape[0] > 0:
            self._points.attributes = <const char *>&attributes[0]
        self._points.ends = &ends[0]
        self._points.time_ns = time_ns
        self._points.created = column_of(created, n_rows)
        self._points.exemplars = exemplars_of(exemplars)

    def numbers(self, values not None, size_t start, size_t most_bytes):
        """Write points with a number each. values: an array with one per row."""
        cdef shm_column column = column_of(values, self._n_rows)
        if start >= self._n_rows:
            return b"", self._n_rows
        cdef size_t n_bytes = 0
        cdef size_t end = shm_points_reach(
            &self._points, 0, start, self._n_rows, most_bytes, &n_bytes)
        cdef bytes room = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n_bytes)
        cdef char *out = room
        with nogil:
            out = shm_points_numbers(out, &self._points, column, start, end)
        return cut_to(room, out), end

    def bounded(self, const double[::1] bounds not None, buckets not None, sums, size_t start,
                size_t most_bytes):
        """Write points with a histogram each.

        Args:
            bounds: the upper bounds of the buckets but the last.
            buckets: counts, an array of rows × buckets.
            sums: an array with a sum per row; None: these are not said.
            start: the first row.
            most_bytes: the size of what is written.
        """
        cdef shm_bounded histogram = shm_bounded(
            NULL, counts_of(buckets, self._n_rows), column_of(sums, self._n_rows))
        if start >= self._n_rows:
            return b"", self._n_rows
        if histogram.buckets.n != <size_t>bounds.shape[0] + 1:
            raise ValueError("another number of buckets than of bounds")
        cdef double none = 0
        histogram.bounds = &bounds[0] if bounds.shape[0] else &none
        cdef size_t n_bytes = 0
        cdef size_t end = shm_points_reach(
            &self._points, histogram.buckets.n, start, self._n_rows, most_bytes, &n_bytes)
        cdef bytes room = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n_bytes)
        cdef char *out = room
        with nogil:
            out = shm_points_bounded(out, &self._points, &histogram, start, end)
        return cut_to(room, out), end

    def exponential(self, native not None, sums, size_t start, size_t most_bytes):
        """Write points with an exponential histogram each; see bounded().

        Args:
            native: the native histograms, as a table has them.
            sums: an array with a sum per row; None: these are not said.
            start: the first row.
            most_bytes: the size of what is written.
        """
        cdef shm_native native_ = shm_native(
            native.schema, native.first, native.zero_threshold,
            column_of(native.zeros, self._n_rows), counts_of(native.counts, self._n_rows),
            SHM_CLIENT_SCHEMA)
        cdef shm_exponential histogram = shm_exponential(&native_, column_of(sums, self._n_rows))
        if start >= self._n_rows:
            return b"", self._n_rows
        if not native_.zeros.counts:
            raise ValueError("zeros that are not counts")
        cdef size_t n_bytes = 0
        cdef size_t end = shm_points_reach(
            &self._points, native_.counts.n, start, self._n_rows, most_bytes, &n_bytes)
        cdef bytes room = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n_bytes)
        cdef char *out = room
        with nogil:
            out = shm_points_exponential(out, &self._points, &histogram, start, end)
        return cut_to(room, out), end
