# SPDX-License-Identifier: Apache-2.0
"""Which cells of the store are in use: runs that are taken, and given back to be taken again."""

from __future__ import annotations

from bisect import bisect_right


class Extents:
    """Free runs below `end`; behind it nothing was ever taken, or nothing is any more."""

    def __init__(self) -> None:
        self.end = 0
        self._firsts: list[int] = []  # of the free runs, ascending; no two of them touch
        self._sizes: list[int] = []

    @property
    def used(self) -> int:
        """How many cells are in use."""
        return self.end - sum(self._sizes)

    def find(self, n: int) -> int:
        """Return the first cell of a free run of n: the lowest one, or else that at the end."""
        for first, size in zip(self._firsts, self._sizes, strict=True):
            if size >= n:
                return first
        return self.end

    def take(self, first: int, n: int) -> None:
        """Take these cells. Raises ValueError if one of them is in use."""
        if first >= self.end:
            if first > self.end:
                self._insert(self.end, first - self.end)
            self.end = first + n
            return
        at = bisect_right(self._firsts, first) - 1
        stop = first + n
        if at < 0 or stop > self._firsts[at] + self._sizes[at]:
            raise ValueError(f"cells {first} to {stop} are in use")
        free_first, free_stop = self._firsts[at], self._firsts[at] + self._sizes[at]
        del self._firsts[at], self._sizes[at]
        self._insert(free_first, first - free_first)
        self._insert(stop, free_stop - stop)

    def give_back(self, first: int, n: int) -> None:
        """Let others take these cells, which are in use."""
        stop = first + n
        at = bisect_right(self._firsts, first)
        if at < len(self._firsts) and self._firsts[at] == stop:
            stop += self._sizes[at]
            del self._firsts[at], self._sizes[at]
        if at and self._firsts[at - 1] + self._sizes[at - 1] == first:
            first = self._firsts[at - 1]
            del self._firsts[at - 1], self._sizes[at - 1]
        if stop == self.end:
            self.end = first
        else:
            self._insert(first, stop - first)

    def _insert(self, first: int, n: int) -> None:
        if n:
            at = bisect_right(self._firsts, first)
            self._firsts.insert(at, first)
            self._sizes.insert(at, n)
