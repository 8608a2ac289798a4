# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/render/lines.h: a number per row, between texts."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t

from shmetrics.render._columns cimport column_of, cut_to, shm_column

cdef extern from "render/lines.h" nogil:
    cdef struct shm_piece:
        const char *text
        size_t n_bytes

    cdef struct shm_line:
        shm_piece before
        shm_piece middle
        shm_piece after
        shm_piece end
        int labels_last
        int is_binary

    cdef struct shm_labelled:
        const char *labels
        const uint64_t *ends
        const uint64_t *rows
        size_t n

    size_t shm_lines_reach(const shm_line *line, const shm_labelled *labelled, size_t start,
                           size_t most_bytes, size_t *n_bytes) noexcept
    char *shm_lines_write(char *out, const shm_line *line, const shm_labelled *labelled,
                          shm_column values, size_t start, size_t end) noexcept
    size_t shm_lines_datagram(const char *text, size_t n_bytes, size_t most_bytes,
                              size_t *n_lines) noexcept


cdef class Line:
    """The form of a line; see csrc/render/lines.h.

    Args:
        before: the text at its begin.
        middle: the text before the number.
        after: the text behind it.
        end: the text at its end.
        labels_last: whether the labels are behind `after`; otherwise they are before `middle`.
        is_binary: whether the number is eight bytes.
    """

    cdef shm_line _line
    cdef tuple _kept

    def __cinit__(self, bytes before not None, bytes middle not None, bytes after not None,
                  bytes end not None, bint labels_last=False, bint is_binary=False):
        self._kept = before, middle, after, end
        self._line.before = shm_piece(before, <size_t>len(before))
        self._line.middle = shm_piece(middle, <size_t>len(middle))
        self._line.after = shm_piece(after, <size_t>len(after))
        self._line.end = shm_piece(end, <size_t>len(end))
        self._line.labels_last = labels_last
        self._line.is_binary = is_binary


def write(Line line not None, const unsigned char[::1] labels not None,
          const uint64_t[::1] ends not None, values not None, const uint64_t[::1] rows,
          size_t start, size_t most_bytes):
    """Write as many lines as take *most_bytes* together, but at least one.

    Args:
        line: their form.
        labels: the labels of all rows.
        ends: offsets in these: the begin of the first row, then the end of each row.
        values: an array with a number per row, of type float64 or uint64.
        rows: the numbers of the rows that are written, of type uint64; None: all.
        start: the place of the first row, counted among these.
        most_bytes: the limit.

    Returns:
        The lines, and the place behind the last one.

    Raises:
        ValueError: the arrays do not fit each other.
    """
    cdef size_t n_rows = <size_t>len(values)
    cdef shm_labelled labelled = shm_labelled(b"", NULL, NULL, n_rows)
    if n_rows >= <size_t>ends.shape[0] or ends[<Py_ssize_t>n_rows] > <uint64_t>labels.shape[0]:
        raise ValueError("fewer labels than rows")
    labelled.ends = &ends[0]
    if labels.shape[0] > 0:
        labelled.labels = <const char *>&labels[0]
    cdef Py_ssize_t at
    if rows is not None:
        for at in range(rows.shape[0]):
            if rows[at] >= n_rows:
                raise ValueError("no such row")
        labelled.n = <size_t>rows.shape[0]
        if labelled.n > 0:
            labelled.rows = &rows[0]
    if start >= labelled.n:
        return b"", labelled.n
    cdef shm_column column = column_of(values, n_rows)
    cdef size_t n_bytes = 0
    cdef size_t end = shm_lines_reach(&line._line, &labelled, start, most_bytes, &n_bytes)
    cdef bytes room = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n_bytes)
    cdef char *out = room
    with nogil:
        out = shm_lines_write(out, &line._line, &labelled, column, start, end)
    return cut_to(room, out), end


def datagrams(bytes text not None, size_t most_bytes):
    """Return lines in datagrams, each with how many lines it has.

    Args:
        text: the lines, each with its end.
        most_bytes: the size of a datagram. Only a longer line makes a longer one.
    """
    cdef const char *begin = text
    cdef size_t left = <size_t>len(text)
    cdef size_t n_bytes, n_lines = 0
    cdef list found = []
    while left > 0:
        n_bytes = shm_lines_datagram(begin, left, most_bytes, &n_lines)
        found.append((begin[:n_bytes], n_lines))
        n_bytes = min(n_bytes + 1, left)  # with the end of the last line
        begin += n_bytes
        left -= n_bytes
    return found
