# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/render/text.h: samples as the lines of an exposition."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, _PyBytes_Resize
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from shmetrics.render._columns cimport (
    column_of,
    counts_of,
    exemplars_of,
    shm_column,
    shm_counts_of_rows,
    shm_exemplars_of_rows,
)

cdef extern from "Python.h":
    void Py_SET_SIZE(PyObject *object, Py_ssize_t size)


def text_number(double value):
    """Return a number as the exposition formats write it."""
    cdef char[64] text
    return text[:shm_text_number(text, value) - text]


def text_count(uint64_t value):
    """Return a count as the exposition formats write it: text_number(float(value))."""
    cdef char[64] text
    return text[:shm_text_count(text, value) - text]


def text_escape(str value not None):
    """Return a label value as UTF-8, escaped for its place between quotes."""
    cdef bytes raw = value.encode("utf-8", "replace")
    cdef bytes escaped = PyBytes_FromStringAndSize(NULL, 2 * len(raw))
    cdef char *text = escaped
    return text[:shm_text_escape(text, raw, <size_t>len(raw)) - text]


cdef const char *_chars(const unsigned char[::1] text) noexcept:
    cdef const char *nothing = ""
    return <const char *>&text[0] if text.shape[0] else nothing


cdef class TextWriter:
    """A writer of exposition text.

    Its argument is the capacity in bytes at first. quoted, labels, parts, les, offsets and
    exemplars are described in csrc/render/text.h. The methods raise ValueError if arrays do not fit
    each other.
    """

    cdef PyObject *_text  # bytes without any other reference yet
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _used

    def __cinit__(self, Py_ssize_t capacity=4096):
        self._capacity = max(capacity, 1)
        cdef bytes text = PyBytes_FromStringAndSize(NULL, self._capacity)
        Py_INCREF(text)
        self._text = <PyObject *>text

    def __dealloc__(self):
        Py_XDECREF(self._text)

    cdef char *_room(self, size_t n_bytes) except NULL:
        """Return the place for the next n_bytes."""
        cdef Py_ssize_t wanted = self._used + <Py_ssize_t>n_bytes
        if self._text == NULL:
            raise ValueError("the text is finished")
        if wanted > self._capacity:
            self._capacity = max(wanted, 2 * self._capacity)
            _PyBytes_Resize(&self._text, self._capacity)
        return PyBytes_AS_STRING(<object>self._text) + self._used

    cdef int _wrote(self, const char *end) except -1:
        self._used = end - PyBytes_AS_STRING(<object>self._text)
        return 0

    cdef shm_text_family _family(self, bytes name, const unsigned char[::1] labels,
                                 const uint64_t[::1] parts, Py_ssize_t n_rows,
                                 bint quoted) except *:
        if 2 * n_rows >= parts.shape[0] or parts[2 * n_rows] > <uint64_t>labels.shape[0]:
            raise ValueError("fewer label texts than rows")
        return shm_text_family(
            name, <size_t>len(name), quoted, _chars(labels), &parts[0], <size_t>n_rows)

    def raw(self, bytes text not None):
        """Append text unchanged."""
        cdef char *out = self._room(<size_t>len(text))
        memcpy(out, <const char *>text, <size_t>len(text))
        self._used += len(text)

    def scalars(self, bytes name not None, bytes suffix not None,
                const unsigned char[::1] labels not None, const uint64_t[::1] parts not None,
                values not None, created=None, const unsigned char[::1] exemplars=None,
                bint quoted=False):
        """Append one sample per row, and a _created sample if there are start times."""
        cdef shm_text_family family = self._family(name, labels, parts, len(values), quoted)
        cdef shm_column column = column_of(values, family.n_rows)
        cdef shm_column created_ = column_of(created, family.n_rows)
        if len(suffix) > <Py_ssize_t>SHM_TEXT_SUFFIX_BYTES:
            raise ValueError("the suffix is too long")
        cdef shm_exemplars_of_rows exemplars_ = exemplars_of(exemplars)
        cdef size_t n_lines = 1 if created is None else 2
        cdef char *out = self._room(shm_text_bound(&family, n_lines, NULL, exemplars_))
        self._wrote(shm_text_scalars(out, &family, suffix, column, created_, exemplars_))

    def histograms(self, bytes name not None, const unsigned char[::1] labels not None,
                   const uint64_t[::1] parts not None, const unsigned char[::1] les not None,
                   const uint64_t[::1] offsets not None, const uint64_t[:, :] buckets not None,
                   sums=None, created=None, const unsigned char[::1] exemplars=None,
                   bint quoted=False):
        """Append the _bucket, _count, _sum and _created samples of each row."""
        cdef shm_text_family family = self._family(
            name, labels, parts, buckets.shape[0], quoted)
        cdef shm_text_les les_ = shm_text_les(
            _chars(les), &offsets[0], <size_t>(offsets.shape[0] - 1))
        cdef shm_column sums_ = column_of(sums, family.n_rows)
        cdef shm_column created_ = column_of(created, family.n_rows)
        if buckets.shape[1] != offsets.shape[0] - 1 or buckets.shape[1] < 1:
            raise ValueError("another number of buckets than of le labels")
        if family.n_rows == 0:
            return
        cdef shm_counts_of_rows buckets_ = counts_of(buckets, family.n_rows)
        cdef shm_exemplars_of_rows exemplars_ = exemplars_of(exemplars)
        cdef char *out = self._room(shm_text_bound(&family, les_.n + 3, &les_, exemplars_))
        self._wrote(shm_text_histograms(
            out, &family, &les_, buckets_, sums_, created_, exemplars_))

    def finish(self):
        """Return the text as bytes. Nothing can be appended after this.

        If the text fills more than half of its memory, the memory is not shrunk: blocks of one size
        are reused again and again, and a shrunk one would be got from the kernel anew every time.
        """
        self._room(0)
        if 2 * self._used < self._capacity:
            _PyBytes_Resize(&self._text, self._used)
        else:
            PyBytes_AS_STRING(<object>self._text)[self._used] = 0
            Py_SET_SIZE(self._text, self._used)
        cdef object text = <object>self._text
        Py_DECREF(text)
        self._text = NULL
        return text
