# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The lines of a block that may be metric lines, found while other threads run.

All that the parser takes is found, and a little more: the parser looks closely at few lines, and
this looks at millions. A line may be one if it has `type=metric`, or if all its words are plain:
a key with something that begins like a number, or one of the keys that say whose the line is.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memchr, memcmp, strlen

from shmetrics.lines.line import IDENTITY

cdef extern from "string.h":
    void *memmem(const void *block, size_t n_bytes, const void *wanted, size_t n_wanted) nogil

cdef const char *TYPE = "type=metric"
cdef const char **_IDENTITY = ["unit", "kind", "id", "gear", "app", "ns", "cart", "appName", NULL]

if IDENTITY != {"unit", "kind", "id", "gear", "app", "ns", "cart", "appName"}:
    raise ImportError("the keys that say whose a line is are others here than in the parser")


cdef bint _is_letter(char c) noexcept nogil:
    return b"a" <= c <= b"z" or b"A" <= c <= b"Z" or c == b"_"


cdef bint _is_digit(char c) noexcept nogil:
    return b"0" <= c <= b"9"


cdef bint _is_blank(char c) noexcept nogil:
    return c == b" " or c == b"\t" or c == b"\r"


cdef bint _is_of_key(char c) noexcept nogil:
    return _is_letter(c) or _is_digit(c) or b"-" <= c <= b"/" or c == b":"  # - . /


cdef bint _begins_number(char c) noexcept nogil:
    return _is_digit(c) or c == b"-" or c == b"+" or c == b"." or (c | 32) in (b"n", b"i")


cdef bint _is_identity(const char *key, size_t n_bytes) noexcept nogil:
    cdef const char **one = _IDENTITY
    while one[0] != NULL:
        if strlen(one[0]) == n_bytes and memcmp(one[0], key, n_bytes) == 0:
            return True
        one += 1
    return False


cdef const char *_after_word(const char *word, const char *end) noexcept nogil:
    """Return what is behind a plain word; NULL: this is none."""
    cdef const char *at = word
    if not _is_letter(at[0]):
        return NULL
    while at < end and _is_of_key(at[0]):
        at += 1
    if at == end or at[0] != b"=":
        return NULL
    cdef bint is_identity = _is_identity(word, at - word)
    at += 1
    if not is_identity and (at == end or not _begins_number(at[0])):
        return NULL
    while at < end and not _is_blank(at[0]):
        if not is_identity and not (_is_letter(at[0]) or _is_digit(at[0]) or b"+" <= at[0] <= b"."):
            return NULL
        at += 1
    return at


cdef bint _is_plain(const char *line, const char *end) noexcept nogil:
    """Return whether a line has plain words alone, and at least one."""
    cdef const char *at = line
    cdef bint has_word = False
    while True:
        while at < end and _is_blank(at[0]):
            at += 1
        if at == end:
            return has_word
        at = _after_word(at, end)
        if at == NULL:
            return False
        has_word = True


cdef class Candidates:
    """An iterator over these lines, without their ends."""

    cdef bytes _block  # what the others point into
    cdef const char *_at
    cdef const char *_end
    cdef const char *_typed  # where TYPE comes next; the end: nowhere
    cdef bint _is_typed

    def __cinit__(self, bytes block not None, bint is_typed=False):
        """Begin.

        Args:
            block: whole lines with their ends.
            is_typed: whether only lines with `type=metric` are wanted.
        """
        self._block = block
        self._at = block
        self._end = self._at + len(block)
        self._is_typed = is_typed
        with nogil:
            self._find_typed(self._at)

    def __iter__(self):
        return self

    def __next__(self):
        cdef const char *line = NULL
        cdef const char *end
        with nogil:
            end = self._next(&line)
        if end == NULL:
            raise StopIteration
        return PyBytes_FromStringAndSize(line, end - line)

    cdef const char *_next(self, const char **found) noexcept nogil:
        """Return the end of the next line that may be one, and where it begins; NULL: no more."""
        cdef const char *line
        cdef const char *end
        while self._at < self._end:
            line = self._at
            end = <const char *>memchr(line, b"\n", self._end - line)
            if end == NULL:
                end = self._end
            self._at = end + 1
            if self._typed < line:
                self._find_typed(line)
            if self._typed < end or (not self._is_typed and _is_plain(line, end)):
                found[0] = line
                return end
        return NULL

    cdef void _find_typed(self, const char *at) noexcept nogil:
        cdef const char *found = NULL
        if at < self._end:
            found = <const char *>memmem(at, self._end - at, TYPE, strlen(TYPE))
        self._typed = self._end if found == NULL else found
