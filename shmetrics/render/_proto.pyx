# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/render/proto.h: the series of a family as Metric messages."""

from array import array

from cpython.bytes cimport PyBytes_FromStringAndSize, _PyBytes_Resize
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport UINT64_MAX

from shmetrics.render._columns cimport (
    SHM_CLIENT_SCHEMA,
    column_of,
    counts_of,
    exemplars_of,
    shm_column,
    shm_counts_of_rows,
    shm_exemplars_of_rows,
    shm_native,
)

COUNTER, GAUGE, UNTYPED = SHM_PROTO_COUNTER, SHM_PROTO_GAUGE, SHM_PROTO_UNTYPED


cdef class Metrics:
    """The Metric messages of a family, one per row. scalars() and histograms() make it.

    The numbers must not change before all messages are written.
    """

    cdef shm_proto_family _family
    cdef shm_native _native
    cdef uint64_t[::1] _sizes
    cdef list _kept  # what the pointers point to

    def __cinit__(self):
        self._kept = []

    def __len__(self):
        """Return the number of rows."""
        return <Py_ssize_t>self._family.n_rows

    def measure(self, const uint64_t[::1] ends not None):
        """Measure all rows, and return how many bytes they take together.

        Call it before piece(). ends: see csrc/render/proto.h.
        """
        cdef uint64_t n_bytes
        self._check(ends)
        self._sizes = array("Q", bytes(8 * (len(self) + 1)))
        with nogil:
            shm_proto_measure(&self._family, &self._sizes[0])
            shm_proto_piece(
                &self._family, &self._sizes[0], &ends[0], 0, UINT64_MAX, &n_bytes)
        return n_bytes

    def piece(self, const unsigned char[::1] labels not None, const uint64_t[::1] ends not None,
              size_t row, uint64_t most_bytes):
        """Write as many rows as fit into *most_bytes*, but at least one.

        Args:
            labels: see csrc/render/proto.h.
            ends: likewise.
            row: the first row.
            most_bytes: the size of the piece.

        Returns:
            The bytes of the rows, and the number of the row after them.

        Raises:
            IndexError: there is no such row.
            ValueError: the numbers have changed since measure().
        """
        self._check(ends)
        if row >= self._family.n_rows or ends[self._family.n_rows] > <uint64_t>labels.shape[0]:
            raise IndexError("no such row, or no labels for it")
        if self._sizes is None:
            raise ValueError("not measured yet")
        cdef uint64_t n_bytes
        cdef size_t end = shm_proto_piece(
            &self._family, &self._sizes[0], &ends[0], row, most_bytes, &n_bytes)
        cdef shm_proto_labels labels_ = shm_proto_labels("", &ends[0])
        if labels.shape[0] > 0:
            labels_.fields = <const char *>&labels[0]
        cdef bytes room = PyBytes_FromStringAndSize(
            NULL, <Py_ssize_t>(n_bytes + shm_proto_slack(&self._family)))
        cdef char *out = room
        with nogil:
            out = shm_proto_write(out, &self._family, &self._sizes[0], labels_, row, end)
        if out == NULL:
            raise ValueError("numbers that changed while they were written")
        # From here on there is one reference only, which _PyBytes_Resize requires.
        cdef PyObject *text = <PyObject *>room
        Py_INCREF(room)
        room = None
        _PyBytes_Resize(&text, <Py_ssize_t>n_bytes)
        written = <object>text
        Py_DECREF(written)
        return written, end

    cdef int _check(self, const uint64_t[::1] ends) except -1:
        if self._family.n_rows >= <size_t>ends.shape[0]:
            raise ValueError("fewer labels than rows")
        return 0

    cdef shm_column _column(self, numbers) except *:
        self._kept.append(numbers)
        return column_of(numbers, self._family.n_rows)

    cdef shm_exemplars_of_rows _exemplars(self, const unsigned char[::1] exemplars) except *:
        self._kept.append(exemplars)
        return exemplars_of(exemplars)

    cdef shm_counts_of_rows _counts(self, const uint64_t[:, :] counts) except *:
        self._kept.append(counts)
        return counts_of(counts, self._family.n_rows)


def scalars(shm_proto_kind kind, values not None, created=None,
            const unsigned char[::1] exemplars=None):
    """Return the messages of a family with one value per row.

    Args:
        kind: COUNTER, GAUGE or UNTYPED.
        values: array of rows.
        created: array of rows, Unix time in seconds, or None.
        exemplars: those of a counter, as bytes, or None.

    Raises:
        ValueError: the arrays do not fit each other.
    """
    cdef Metrics metrics = Metrics()
    metrics._family.kind = kind
    metrics._family.n_rows = <size_t>len(values)
    metrics._family.values = metrics._column(values)
    metrics._family.created = metrics._column(created)
    metrics._family.exemplars = metrics._exemplars(exemplars)
    return metrics


def histograms(const double[::1] bounds not None, buckets not None, sums not None, created=None,
               native=None, const unsigned char[::1] exemplars=None):
    """Return the messages of a family with one histogram per row.

    Args:
        bounds: the upper bounds of all buckets.
        buckets: counts, an array of rows × buckets.
        sums: array of rows.
        created: array of rows, Unix time in seconds, or None.
        native: the native histograms, as a table has them, or None.
        exemplars: as bytes, or None.

    Raises:
        ValueError: the arrays do not fit each other.
    """
    cdef Metrics metrics = Metrics()
    if buckets.ndim != 2 or buckets.shape[1] != bounds.shape[0] or bounds.shape[0] < 1:
        raise ValueError("another number of buckets than of bounds")
    metrics._family.kind = SHM_PROTO_HISTOGRAM
    metrics._family.n_rows = <size_t>len(buckets)
    metrics._kept.append(bounds)
    metrics._family.bounds = &bounds[0]
    metrics._family.buckets = metrics._counts(buckets)
    metrics._family.sums = metrics._column(sums)
    metrics._family.created = metrics._column(created)
    metrics._family.exemplars = metrics._exemplars(exemplars)
    if native is not None:
        metrics._native = shm_native(native.schema, native.first, native.zero_threshold,
                                     metrics._column(native.zeros), metrics._counts(native.counts),
                                     SHM_CLIENT_SCHEMA)
        if len(metrics) > 0 and not metrics._native.zeros.counts:
            raise ValueError("zeros that are not counts")
        metrics._family.native = &metrics._native
    return metrics
