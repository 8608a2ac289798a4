# SPDX-License-Identifier: Apache-2.0
"""The cells of the store that are in use: runs are taken, given back, and taken again."""

from __future__ import annotations

from bisect import bisect_right


class Extents:
    """Free runs of cells below `end`. From `end` on, all cells are free."""

    def __init__(self) -> None:
        """Begin with all cells free."""
        self.end = 0
        self._firsts: list[int] = []  # the free runs' first cells, ascending; no two runs touch
        self._sizes: list[int] = []

    @property
    def used(self) -> int:
        """Return the number of cells in use."""
        return self.end - sum(self._sizes)

    def find(self, n: int) -> int:
        """Return the first of n free cells in a row: in the lowest free run, or at the end."""
        for first, size in zip(self._firsts, self._sizes, strict=True):
            if size >= n:
                return first
        return self.end

    def take(self, first: int, n: int) -> None:
        """Mark n cells from first on as used. Raises ValueError if one of them is in use."""
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
        """Mark n used cells from first on as free."""
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
        """Add a free run, unless it is empty."""
        if n:
            at = bisect_right(self._firsts, first)
            self._firsts.insert(at, first)
            self._sizes.insert(at, n)
