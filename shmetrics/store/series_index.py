# SPDX-License-Identifier: Apache-2.0
"""The index of a family's series: the row of each, and what is noted of each row.

It is in memory only, and made from the log. Row 0 is reserved for the overflow series. A row that
had a series and has none is used again, the lowest first.
"""

from __future__ import annotations

import heapq
import sys
from array import array
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from shmetrics.store.shares import NOBODY

OVERFLOW_ROW = 0


class SeriesIndex:
    """The rows of one family's series, up to the last row that was ever used.

    Attributes:
        longest_label_bytes: the length of the longest label value that there ever was, in bytes.
    """

    def __init__(self, name: str) -> None:
        """Begin without series.

        Args:
            name: the family's name, for messages.
        """
        self.longest_label_bytes = 0
        self._name = name
        self._rows: dict[tuple[str, ...], int] = {}  # by label values
        self._values: list[tuple[str, ...] | None] = []  # by row
        self._created = array("d")
        self._bound = array("I")  # by row: how many series of lanes count into it
        self._owners = array("I")  # by row
        self._changed = array("Q")  # by row: the number of the last change, see scrapes.py
        self._free: list[int] = []  # a heap of rows that had a series and have none

    # ---- looking up -------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield the row and the label values of each series, by row."""
        for row, values in enumerate(self._values):
            if values is not None:
                yield row, values

    def __contains__(self, values: tuple[str, ...]) -> bool:
        """Return whether there is a series with these label values."""
        return values in self._rows

    def row(self, values: tuple[str, ...]) -> int | None:
        """Return the row of these label values, or None without a series."""
        return self._rows.get(values)

    def has(self, row: int) -> bool:
        """Return whether a row has a series."""
        return row < len(self._values) and self._values[row] is not None

    def values(self, row: int) -> tuple[str, ...]:
        """Return the label values of a row. Raises LookupError if it has no series."""
        values = self._values[row]
        if values is None:
            raise LookupError(f"{self._name}: row {row} has no series")
        return values

    def created(self, row: int) -> float:
        """Return the Unix time since when a row counts, in seconds."""
        return self._created[row]

    def owner(self, row: int) -> int:
        """Return the owner of a row's series, see shares.py."""
        return self._owners[row]

    # ---- series that come and go ------------------------------------------------------------

    def put(
        self, row: int, values: tuple[str, ...], created: float, owner: int, change: int
    ) -> None:
        """Note a series that the log names.

        Args:
            row: its row.
            values: its label values.
            created: the Unix time since when it counts, in seconds.
            owner: its owner, see shares.py.
            change: the number of this change, see scrapes.py.
        """
        while len(self._values) <= row:
            self._values.append(None)
            self._created.append(0.0)
            self._bound.append(0)
            self._owners.append(NOBODY)
            self._changed.append(0)
        if self._free and row == self._free[0]:
            heapq.heappop(self._free)
        values = tuple(map(sys.intern, values))  # most series differ in few values
        longest = max((len(value.encode()) for value in values), default=0)
        self.longest_label_bytes = max(self.longest_label_bytes, longest)
        self._rows[values] = row
        self._values[row] = values
        self._created[row] = created
        self._owners[row] = owner
        self._changed[row] = change

    def forget(self, row: int) -> None:
        """Forget the series of a row. Raises LookupError if it has none."""
        del self._rows[self.values(row)]
        self._values[row] = None

    def hand_over(self, old: int, new: int) -> None:
        """Hand the lanes and the last change of a row over to the row that has its series now."""
        self._changed[new] = self._changed[old]
        self._bound[new], self._bound[old] = self._bound[old], 0

    # ---- rows without a series --------------------------------------------------------------

    @property
    def end(self) -> int:
        """Return the row after the last one that was ever used."""
        return len(self._values)

    def next_row(self) -> int:
        """Return the row for a new series, which may be one that no chunk has yet."""
        return self._free[0] if self._free else max(self.end, OVERFLOW_ROW + 1)

    def rows_used(self, rows: range) -> Iterator[int]:
        """Yield those of consecutive rows that have a series."""
        for row in range(rows.start, min(rows.stop, self.end)):
            if self._values[row] is not None:
                yield row

    def is_vacant(self, rows: range) -> bool:
        """Return whether none of consecutive rows has a series."""
        return next(self.rows_used(rows), None) is None

    def rows_unused(self, rows: range) -> Iterator[int]:
        """Yield those of consecutive rows that a series can have: never the overflow series'."""
        for row in rows:
            if row != OVERFLOW_ROW and not self.has(row):
                yield row

    def free(self, rows: Iterable[int]) -> None:
        """Use rows again that have no series, as far as any row after them was ever used."""
        for row in rows:
            if row != OVERFLOW_ROW and row < self.end:
                heapq.heappush(self._free, row)

    def free_all(self, ranges: Iterable[range]) -> None:
        """Use all rows again that have no series.

        Args:
            ranges: the rows that have cells, ascending.
        """
        self._free = [
            row
            for rows in ranges
            for row in range(rows.start, min(rows.stop, self.end))
            if self._values[row] is None and row != OVERFLOW_ROW
        ]  # ascending, so it is a heap

    def withdraw(self, rows: range) -> None:
        """Use rows no more, which have no series and no cells, until they are free again."""
        self._free = [row for row in self._free if row not in rows]
        heapq.heapify(self._free)
        n = self.end
        while n and self._values[n - 1] is None:
            n -= 1
        for column in (self._values, self._created, self._bound, self._owners, self._changed):
            del column[n:]

    # ---- lanes ------------------------------------------------------------------------------

    def bind(self, row: int) -> None:
        """Note one more lane that counts into a series."""
        self._bound[row] += 1

    def unbind(self, row: int, change: int) -> None:
        """Undo one bind(), which is a change of this number."""
        self._bound[row] -= 1
        self._changed[row] = change

    def is_bound(self, row: int) -> bool:
        """Return whether a lane counts into a series."""
        return self._bound[row] > 0

    def note_change(self, row: int, change: int) -> None:
        """Note the number of the last change of a series, see scrapes.py."""
        self._changed[row] = change

    # ---- all rows ---------------------------------------------------------------------------

    def used(self) -> npt.NDArray[np.bool_]:
        """Return which rows have a series: (rows,), bool."""
        return np.fromiter((values is not None for values in self._values), np.bool_)

    def unbound(self) -> npt.NDArray[np.bool_]:
        """Return which rows no lane counts into: (rows,), bool."""
        return np.fromiter((lanes == 0 for lanes in self._bound), np.bool_)

    def left(self, owner: int | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Return the series that no lane counts into, but the overflow series.

        Args:
            owner: the owner whose series they are; None for all.

        Returns:
            Their rows, and the numbers of their last changes, (n,) each.
        """
        are_left = self.used() & self.unbound()
        are_left[OVERFLOW_ROW : OVERFLOW_ROW + 1] = False  # its row is reserved anyway
        if owner is not None:
            are_left &= np.array(self._owners) == owner
        rows = np.flatnonzero(are_left)
        return rows, np.array(self._changed, np.uint64)[rows]

    def all_created(self) -> npt.NDArray[np.float64]:
        """Return the Unix time since when each row counts, (rows,), float64."""
        return np.array(self._created, np.float64)  # a copy: the array grows
