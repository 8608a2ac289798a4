# SPDX-License-Identifier: Apache-2.0
"""A family of the node: its series, and the row of cells that each of them has.

Rows come in chunks. Row 0 is kept for the overflow series, so that there is always a place to count
what has no series of its own; without labels it is the only series. The row of a series that was
removed is used again: its cells are zeroed before the log names the next one.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from shmetrics import _drain, _ring
from shmetrics.collector.limits import Limits
from shmetrics.collector.log import Entry, Kind, StoreFull
from shmetrics.collector.shown import Shown
from shmetrics.collector.store import Store
from shmetrics.dictionary import Definition, decode_strings, encode_strings
from shmetrics.exposition.table import Series
from shmetrics.label_rules.rule import Ruling

OVERFLOW = _ring.OVERFLOW_VALUE
OVERFLOW_ROW = 0
FIRST_CHUNK_ROWS = 16
MAX_CHUNK_ROWS = 4096
FIRST_CHUNK_CELLS, MAX_CHUNK_CELLS = 512, 256 * 1024  # where rows are wide

_CREATED = struct.Struct("=d")
_FIRST_CELL = struct.Struct("=Q")


class Family:
    """One family: its definition, its series, and their cells."""

    def __init__(
        self,
        id: int,
        definition: Definition,
        store: Store,
        limits: Limits,
        on_overflow: Callable[[Family], None],
        now: Callable[[], float],
    ) -> None:
        self.id = id
        self.definition = definition
        self.width = _drain.cells_of(definition.type, len(definition.bounds))
        self.is_limited = True  # False: the label values are the collector's own, and few
        self.longest_label_bytes = 0
        self.ruling = Ruling((), definition)  # of what comes from processes; set by Families
        self.shown = Shown(definition.label_names)
        self._store = store
        self._limits = limits
        self._on_overflow = on_overflow
        self._now = now
        self._rows: dict[tuple[str, ...], int] = {}
        self._values: list[tuple[str, ...] | None] = []  # by row, as far as rows were ever used
        self._created = array("d")
        self._bound = array("I")  # to how many lanes' series
        self._free: list[int] = []
        self._chunks: list[npt.NDArray[np.uint64]] = []
        self._first_rows: list[int] = []
        self._first_cells: list[int] = []
        self._capacity = 0
        self.overflow_values = (OVERFLOW,) * len(definition.label_names)

    # ---- the log ----------------------------------------------------------------------------

    @property
    def first_chunk_rows(self) -> int:
        return max(2, min(FIRST_CHUNK_ROWS, FIRST_CHUNK_CELLS // self.width))

    def _next_chunk_rows(self) -> int:
        return min(self._capacity, MAX_CHUNK_ROWS, max(1, MAX_CHUNK_CELLS // self.width))

    def chunk_entry(self, first_cell: int, rows: int) -> Entry:
        return Entry(Kind.CHUNK, 0, rows, self.id, _FIRST_CELL.pack(first_cell))

    def _series_entry(self, row: int, values: tuple[str, ...], created: float) -> Entry:
        payload = _CREATED.pack(created) + encode_strings(values)
        return Entry(Kind.SERIES, 0, row, self.id, payload)

    @property
    def overflow_bytes(self) -> int:
        """What the overflow series will need of the log."""
        if len(self._values) > OVERFLOW_ROW and self._values[OVERFLOW_ROW] is not None:
            return 0
        return self._series_entry(OVERFLOW_ROW, self.overflow_values, 0.0).size_bytes

    def restore(self, entry: Entry) -> None:
        """Takes back what an entry says of it. Raises ValueError, LookupError or struct.error."""
        if entry.kind == Kind.CHUNK:
            (first,) = _FIRST_CELL.unpack_from(entry.payload)
            self._store.claim(first, entry.id * self.width)
            self.add_chunk(first, entry.id)
        elif entry.kind == Kind.SERIES:
            (created,) = _CREATED.unpack_from(entry.payload)
            if entry.id >= self._capacity:
                raise LookupError(f"row {entry.id} of {self._capacity}")
            self._put(entry.id, decode_strings(entry.payload[_CREATED.size :]), created)
        else:
            self._forget(entry.id)

    def settle(self) -> None:
        """The whole log was read."""
        self._free = [
            row for row, values in enumerate(self._values) if values is None and row != OVERFLOW_ROW
        ]
        self._free.reverse()  # the first ones are used first
        self.show_all()

    def add_chunk(self, first: int, rows: int) -> None:
        cells = self._store.cells[first : first + rows * self.width]
        self._chunks.append(cells.reshape(rows, self.width))
        self._first_rows.append(self._capacity)
        self._first_cells.append(first)
        self._capacity += rows

    # ---- series -----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, values: tuple[str, ...]) -> int:
        """The row of these label values; beyond the limits, the overflow series' row.

        Raises StoreFull if there is no room for even that.
        """
        found = self._rows.get(values)
        if found is not None:
            return found
        if self._fits(values):
            try:
                return self._append(values)
            except StoreFull:
                pass  # the overflow series has a place of its own
        return self.overflow_row()

    def overflow_row(self) -> int:
        """The row of the overflow series. Raises StoreFull."""
        if self.overflow_values not in self._rows:
            self._append(self.overflow_values)
        return OVERFLOW_ROW

    def _fits(self, values: tuple[str, ...]) -> bool:
        if not self.is_limited:
            return all(len(value) <= self._limits.label_bytes for value in values)
        return len(self._rows) < self._limits.series_per_family and self._limits.allow(values)

    def kept(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """The same values as the family has them, if it has: a thousand lanes need no copies."""
        row = self._rows.get(values)
        return values if row is None else self.values(row)

    def folds(self, values: tuple[str, ...]) -> bool:
        """Whether these label values have no series of their own."""
        return values not in self._rows

    def counted_row(self, values: tuple[str, ...]) -> int:
        """As row(), and counts if that is not their own."""
        row = self.row(values)
        if self.folds(values):
            self._on_overflow(self)
        return row

    def _append(self, values: tuple[str, ...]) -> int:
        row = self._next_row(values)
        created = self._now()
        kept = self._store.reserved_bytes
        if row == OVERFLOW_ROW:
            kept -= self.overflow_bytes
        entries = [self._series_entry(row, values, created)]
        chunk_rows = self._next_chunk_rows() if row >= self._capacity else 0
        if chunk_rows:
            first = self._store.next_cell
            entries.insert(0, self.chunk_entry(first, chunk_rows))
        else:
            self.cells(row)[:] = 0  # before the log says whose they are
        self._store.append(entries, chunk_rows * self.width, kept)
        self._store.reserved_bytes = kept
        if chunk_rows:
            self.add_chunk(first, chunk_rows)
        if self._free and row == self._free[-1]:
            self._free.pop()
        self._put(row, values, created)
        self.shown.add(row, self.values(row))
        return row

    def _next_row(self, values: tuple[str, ...]) -> int:
        if values == self.overflow_values:
            return OVERFLOW_ROW
        return self._free[-1] if self._free else max(len(self._values), OVERFLOW_ROW + 1)

    def _put(self, row: int, values: tuple[str, ...], created: float) -> None:
        while len(self._values) <= row:
            self._values.append(None)
            self._created.append(0.0)
            self._bound.append(0)
        values = tuple(map(sys.intern, values))  # most series differ in few of them
        longest = max((len(value.encode()) for value in values), default=0)
        self.longest_label_bytes = max(self.longest_label_bytes, longest)
        self._rows[values] = row
        self._values[row] = values
        self._created[row] = created

    def values(self, row: int) -> tuple[str, ...]:
        """The label values of a series."""
        found = self._values[row]
        if found is None:
            raise LookupError(f"{self.definition.name}: row {row} has no series")
        return found

    # ---- series that go ---------------------------------------------------------------------

    def bind(self, row: int) -> None:
        """A lane counts there from now on: the series cannot be removed."""
        self._bound[row] += 1

    def unbind(self, row: int) -> None:
        self._bound[row] -= 1

    def used(self) -> npt.NDArray[np.bool_]:
        """Which rows have a series."""
        return np.fromiter((values is not None for values in self._values), np.bool_)

    def unbound(self) -> npt.NDArray[np.bool_]:
        """Which rows no lane counts into."""
        return np.fromiter((lanes == 0 for lanes in self._bound), np.bool_)

    def remove(self, rows: Iterable[int]) -> None:
        """Gives back the rows of these series, which nobody may have bound. Raises StoreFull."""
        rows = list(rows)
        self._store.append(
            [Entry(Kind.REMOVED, 0, row, self.id, b"") for row in rows],
            kept_bytes=self._store.reserved_bytes,
        )
        for row in rows:
            self._forget(row)
        self._free.extend(rows)

    def _forget(self, row: int) -> None:
        del self._rows[self.values(row)]
        self._values[row] = None

    def show_all(self, hidden: frozenset[int] = frozenset()) -> None:
        """Shows every series but those that are hidden."""
        self.shown = Shown(self.definition.label_names)
        for row, values in enumerate(self._values):
            if values is not None and row != OVERFLOW_ROW and row not in hidden:
                self.shown.add(row, values)
        overflow = self._values[OVERFLOW_ROW] if self._values else None
        if overflow is not None and OVERFLOW_ROW not in hidden:
            self.shown.add(OVERFLOW_ROW, overflow)

    # ---- cells ------------------------------------------------------------------------------

    def cell(self, row: int) -> int:
        """Index of a row's first cell in the store."""
        chunk = bisect_right(self._first_rows, row) - 1
        return self._first_cells[chunk] + (row - self._first_rows[chunk]) * self.width

    def cells(self, row: int) -> npt.NDArray[np.uint64]:
        """One row's cells; writable."""
        chunk = bisect_right(self._first_rows, row) - 1
        cells: npt.NDArray[np.uint64] = self._chunks[chunk][row - self._first_rows[chunk]]
        return cells

    def chunks(self) -> Iterator[tuple[int, range]]:
        """The first row of each chunk, and its cells in the store."""
        for first_row, first, chunk in zip(
            self._first_rows, self._first_cells, self._chunks, strict=True
        ):
            yield first_row, range(first, first + chunk.size)

    def all_cells(self) -> list[npt.NDArray[np.uint64]]:
        """All rows that were ever used, in parts, (rows, width) each; not copied."""
        return [
            chunk[: len(self._values) - first]
            for chunk, first in zip(self._chunks, self._first_rows, strict=True)
            if first < len(self._values)
        ]

    def all_created(self) -> npt.NDArray[np.float64]:
        """Of all rows that were ever used."""
        return np.array(self._created, np.float64)  # a copy: the array grows

    @property
    def series(self) -> Series:
        """The label values of what is shown; rows() and created() are in the same order."""
        return self.shown.series

    def rows(self, n: int | None = None) -> npt.NDArray[np.uint64]:
        """The first n cells of what is shown, (series, n), as a copy; or all of them."""
        cells = [cells[:, :n] for cells in self.all_cells()]
        if not cells:
            return np.empty((0, self.width), np.uint64)[:, :n]
        return self.shown.of(np.concatenate(cells))

    def created(self) -> npt.NDArray[np.float64]:
        """Unix time since when each of them counts."""
        return self.shown.of(self.all_created())
