# SPDX-License-Identifier: Apache-2.0
"""A family of the node: its series, and the row of cells that each of them has.

Rows come in chunks. Row 0 is reserved for the overflow series, so that there is always a place to
count a series that has no row of its own; in a family without labels it is the only series. The row
of a removed series is used again, the lowest first; its cells are zeroed before the log names the
next series. A chunk without series is given back, and leaves a gap among the rows until another
chunk takes its place. Where cells are short, series move to other rows, see packing.py.

Everything in the store has an owner. A series counts for the user whose process brought it, and a
row without a series for the owner for whom its chunk was made.
"""

from __future__ import annotations

import heapq
import itertools
import struct
import sys
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shmetrics import layout
from shmetrics.dictionary import Definition, decode_strings, encode_strings
from shmetrics.label_rules.rule import FamilyRules
from shmetrics.store.holders import Holders
from shmetrics.store.limits import Limits
from shmetrics.store.log import REMOVAL_BYTES, Entry, EntryKind, StoreFull
from shmetrics.store.series import Series
from shmetrics.store.shares import NOBODY
from shmetrics.store.store import CellRun, Store
from shmetrics.store.visible_rows import VisibleRows

OVERFLOW = layout.OVERFLOW_VALUE
OVERFLOW_ROW = 0
FIRST_CHUNK_ROWS = 16
MAX_CHUNK_ROWS = 4096
MOST_REMOVED = REMOVAL_BYTES // 32  # series that are removed with one write to the log
FIRST_CHUNK_CELLS, MAX_CHUNK_CELLS = 512, 256 * 1024  # limits for families with wide rows

_CREATED = struct.Struct("=d")


class _Chunk(NamedTuple):
    """A chunk of consecutive rows.

    Attributes:
        first_row: the number of its first row.
        run: its cells in the store.
        owner: the owner of the rows that have no series.
        cells: a view of its cells, (rows, width), uint64.
    """

    first_row: int
    run: CellRun
    owner: int
    cells: npt.NDArray[np.uint64]

    @property
    def rows(self) -> range:
        """Return the numbers of the chunk's rows."""
        return range(self.first_row, self.first_row + len(self.cells))


class Fill(NamedTuple):
    """How full a chunk is.

    Attributes:
        run: its cells in the store.
        owner: the owner of the rows that have no series.
        rows: the number of its rows.
        used: the number of them that have a series.
    """

    run: CellRun
    owner: int
    rows: int
    used: int


class Family:
    """A family: its definition, its series, and their cells."""

    total_type: type[np.float64 | np.uint64] = np.float64  # of cells that are no counts

    def __init__(
        self,
        id: int,
        definition: Definition,
        store: Store,
        limits: Limits,
        on_overflow: Callable[[Family], None],
        now: Callable[[], float],
        owner: int = NOBODY,
    ) -> None:
        """Begin without rows.

        Args:
            id: the family's number in the log.
            definition: its definition.
            store: the store that has its cells.
            limits: how much of the emitters' families is kept.
            on_overflow: called with the family when label values are folded into its overflow
                series.
            now: returns the Unix time in seconds, for the beginning of a series.
            owner: the owner for whom the family is made, see shares.py.
        """
        self.id = id
        self.definition = definition
        self.owner = owner
        self.width = layout.cells_of(definition.type, len(definition.bounds))
        self.is_limited = True  # False if the label values are few, and the collector's own
        self.longest_label_bytes = 0
        self.is_full_for: int | None = None  # the owner whose share was full; None: the store was
        self.ruling = FamilyRules((), definition)  # for values from processes; set by Families
        self.visible = VisibleRows(definition.label_names)
        self.hidden: frozenset[int] = frozenset()  # rows that are not shown
        self._store = store
        self._limits = limits
        self._on_overflow = on_overflow
        self._now = now
        self._rows: dict[tuple[str, ...], int] = {}
        self._values: list[tuple[str, ...] | None] = []  # by row, up to the last one ever used
        self._created = array("d")
        self._bound = array("I")  # by row: how many series of lanes count into it
        self._owners = array("I")  # by row
        self._changed = array("Q")  # by row: the number of the last change, see scrapes.py
        self.holders = Holders()
        self.entry_bytes = 0  # of its definition in the log
        self._series_of: Counter[int] = Counter()  # by owner
        self._free: list[int] = []  # a heap of rows that had a series and have none
        self._chunks: list[_Chunk] = []
        self._first_rows: list[int] = []  # of the chunks
        self.overflow_values = (OVERFLOW,) * len(definition.label_names)

    # ---- the log ----------------------------------------------------------------------------

    @property
    def first_chunk_rows(self) -> int:
        """Return the number of rows of the first chunk."""
        return max(2, min(FIRST_CHUNK_ROWS, FIRST_CHUNK_CELLS // self.width))

    def place(self, run: CellRun) -> tuple[Entry, _Chunk]:
        """Return the log entry of a first chunk in these cells, and the chunk for add_chunk()."""
        return self._place(0, run, self.owner)

    def _place(self, first_row: int, run: CellRun, owner: int) -> tuple[Entry, _Chunk]:
        """Return the log entry of a chunk in these cells, and the chunk for add_chunk()."""
        rows = run.n // self.width
        entry = Entry.placed(self.id, first_row, rows, run.first, owner)
        return entry, _Chunk(first_row, run, owner, self._cells_of(run))

    def _cells_of(self, run: CellRun) -> npt.NDArray[np.uint64]:
        """Return a view of a run of cells, (rows, width)."""
        return self._store.cells[run.first : run.first + run.n].reshape(-1, self.width)

    def _series_entry(
        self, row: int, values: tuple[str, ...], created: float, owner: int = NOBODY
    ) -> Entry:
        """Return the log entry of a series."""
        payload = _CREATED.pack(created) + encode_strings(values)
        return Entry(EntryKind.SERIES, 0, row, self.id, payload, owner)

    @property
    def overflow_bytes(self) -> int:
        """Return the bytes of the log that the overflow series will need; 0 if it is there."""
        if len(self._values) > OVERFLOW_ROW and self._values[OVERFLOW_ROW] is not None:
            return 0
        return self._series_entry(OVERFLOW_ROW, self.overflow_values, 0.0).size_bytes

    def restore(self, entry: Entry) -> None:
        """Apply an entry of the log that is about this family.

        Raises:
            ValueError: its cells are in use, or cannot be.
            LookupError: it names a row that is not there.
            struct.error: its payload is too short.
        """
        if entry.kind in (EntryKind.CHUNK, EntryKind.PLACED):
            first_cell, first_row, rows = entry.place()
            run = CellRun(first_cell, rows * self.width)
            self._store.claim(run)
            if first_row is None:
                first_row = self._capacity
            chunk = _Chunk(first_row, run, entry.owner, self._cells_of(run))
            if first_row in self._first_rows:
                self._replace(chunk)
            else:
                self.add_chunk(chunk)
        elif entry.kind == EntryKind.VACATED:
            self._vacate(self._chunk_of(entry.id))
        elif entry.kind == EntryKind.SERIES:
            (created,) = _CREATED.unpack_from(entry.payload)
            self._chunk_of(entry.id)
            values = decode_strings(entry.payload[_CREATED.size :])
            self._put(entry.id, values, created, entry)
        else:
            self._forget(entry.id)

    def settle(self) -> None:
        """Prepare the family for use after the whole log was read."""
        self._note_free()
        self.show_all()

    def _note_free(self) -> None:
        """Note all rows that had a series and have none."""
        self._free = [
            row
            for chunk in self._chunks
            for row in chunk.rows
            if row != OVERFLOW_ROW and row < len(self._values) and self._values[row] is None
        ]  # ascending, so it is a heap

    def look_up_cells(self) -> None:
        """Renew the views of cells after the store has moved them."""
        self._chunks = [chunk._replace(cells=self._cells_of(chunk.run)) for chunk in self._chunks]

    # ---- chunks -----------------------------------------------------------------------------

    @property
    def _capacity(self) -> int:
        """Return the row after the last chunk."""
        return self._chunks[-1].rows.stop if self._chunks else 0

    def _next_place(self) -> tuple[int, int]:
        """Return the first row and the number of rows of the next chunk.

        It is in the first gap that is there, or after all chunks.
        """
        rows = min(
            max(self.first_chunk_rows, self._capacity),
            MAX_CHUNK_ROWS,
            max(1, MAX_CHUNK_CELLS // self.width),
        )
        for before, after in itertools.pairwise(self._chunks):
            gap = after.first_row - before.rows.stop
            if gap:
                return before.rows.stop, min(rows, gap)
        return self._capacity, rows

    def add_chunk(self, chunk: _Chunk) -> None:
        """Add a chunk that the log names."""
        at = bisect_right(self._first_rows, chunk.first_row)
        self._chunks.insert(at, chunk)
        self._first_rows.insert(at, chunk.first_row)
        self._store.shares.add(chunk.owner, 0, chunk.run.n)
        for row in range(chunk.first_row, min(chunk.rows.stop, len(self._values))):
            heapq.heappush(self._free, row)

    def _replace(self, chunk: _Chunk) -> None:
        """Let a chunk take the place of the one with the same rows, which is given back.

        Raises ValueError if there is none.
        """
        at = self._first_rows.index(chunk.first_row)
        before = self._chunks[at]
        if (before.rows, before.owner) != (chunk.rows, chunk.owner):
            raise ValueError(f"{self.definition.name}: another chunk at row {chunk.first_row}")
        self._chunks[at] = chunk
        self._store.give_back(before.run)

    def _chunk_of(self, row: int) -> _Chunk:
        """Return the chunk of a row. Raises LookupError if there is no such row."""
        at = bisect_right(self._first_rows, row) - 1
        if at < 0 or row not in self._chunks[at].rows:
            raise LookupError(f"{self.definition.name}: there is no row {row}")
        return self._chunks[at]

    def _vacant(self, rows: Iterable[int]) -> list[_Chunk]:
        """Return the chunks of these rows that have no series.

        The first chunk is never among them, because it has the place of the overflow series.
        """
        chunks = {chunk.first_row: chunk for chunk in map(self._chunk_of, rows)}
        chunks.pop(OVERFLOW_ROW, None)
        return [
            chunk
            for chunk in chunks.values()
            if not any(self._values[row] is not None for row in chunk.rows[: self._n_used(chunk)])
        ]

    def _n_used(self, chunk: _Chunk) -> int:
        """Return the number of the chunk's rows that were ever used."""
        return max(min(len(self._values), chunk.rows.stop) - chunk.first_row, 0)

    def _vacate(self, chunk: _Chunk) -> None:
        """Drop a chunk whose end is in the log, and give its cells back."""
        at = self._first_rows.index(chunk.first_row)
        del self._chunks[at], self._first_rows[at]
        self._store.give_back(chunk.run)
        self._store.shares.add(chunk.owner, 0, -chunk.run.n)
        n = len(self._values)
        while n and self._values[n - 1] is None:
            n -= 1
        for column in (self._values, self._created, self._bound, self._owners, self._changed):
            del column[n:]

    def give_back_all(self) -> None:
        """Give the cells of all chunks back.

        The family has no series then, and cannot be used any more.
        """
        for chunk in self._chunks:
            self._store.give_back(chunk.run)
            self._store.shares.add(chunk.owner, 0, -chunk.run.n)
        self._chunks.clear()
        self._first_rows.clear()

    # ---- series -----------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self._rows)

    def row(self, values: tuple[str, ...], owner: int = NOBODY) -> int:
        """Return the row of these label values, and make a series if it is new.

        Args:
            values: the label values.
            owner: the owner for whom a new series is made.

        Returns:
            The row; beyond the limits, that of the overflow series.

        Raises:
            StoreFull: there is no room even for the overflow series.
        """
        row = self._rows.get(values)
        if row is not None:
            return row
        if self._fits(values, owner):
            try:
                return self._append(values, owner)
            except StoreFull as full:
                self.is_full_for = full.owner  # room for the overflow series is reserved
        return self.overflow_row()

    def overflow_row(self) -> int:
        """Return the row of the overflow series, and make it if it is new. Raises StoreFull."""
        if self.overflow_values not in self._rows:
            self._append(self.overflow_values, self.owner)
        return OVERFLOW_ROW

    def _fits(self, values: tuple[str, ...], owner: int) -> bool:
        """Return whether the limits allow an owner a new series with these label values."""
        if not self.is_limited:
            return all(len(value) <= self._limits.label_bytes for value in values)
        return self._limits.allow(values) and (
            not self.has_reached_limit(owner) or self._store.free_room_in(self.id, owner)
        )

    def has_reached_limit(self, owner: int) -> bool:
        """Return whether an owner may have no more series here."""
        return self._series_of[owner] >= self._limits.series_per_family

    def short(self, part: int) -> list[int]:
        """Return the owners who may not have one part of so many of their limit more here."""
        most = self._limits.series_per_family - self._limits.series_per_family // part
        return [owner for owner, n in self._series_of.items() if n > most]

    def most_series(self) -> int:
        """Return the number of series of the owner that has the most."""
        return max(self._series_of.values(), default=0)

    def interned(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return the family's own copy of these label values, which a thousand lanes can share."""
        row = self._rows.get(values)
        return values if row is None else self.values(row)

    def folds(self, values: tuple[str, ...]) -> bool:
        """Return whether these label values have no series of their own."""
        return values not in self._rows

    def counted_row(self, values: tuple[str, ...], owner: int = NOBODY) -> int:
        """Return the same as row(), for a change without a lane.

        A series that is folded is reported to `on_overflow`.
        """
        row = self.row(values, owner)
        self._changed[row] = self._store.scrapes.change()
        if self.folds(values):
            self._on_overflow(self)
        return row

    def _append(self, values: tuple[str, ...], owner: int) -> int:
        """Make a series and show it; return its row. Raises StoreFull."""
        row = self._store.attempt(lambda: self._try_to_append(values, owner))
        self.visible.add(row, self.values(row))
        return row

    def _try_to_append(self, values: tuple[str, ...], owner: int) -> int:
        """Make a series in the store; return its row.

        Raises StoreFull if something has to be removed for it.
        """
        row, rows = self._next_row(values)
        created = self._now()
        reserved_bytes = self._store.reserved_bytes
        entries = [self._series_entry(row, values, created, owner)]
        run, chunk = None, None
        if row == OVERFLOW_ROW:
            reserved_bytes -= self.overflow_bytes
        elif rows:
            run = self._find_rows(rows, entries[0].size_bytes, owner)
        else:  # the row may be in a chunk that was made for another owner
            is_own = self._chunk_of(row).owner == owner
            self._store.check_share(owner, entries[0].size_bytes, 0 if is_own else self.width)
        if run is not None:
            entry, chunk = self._place(row, run, owner)
            entries.insert(0, entry)
        else:
            self.cells(row)[:] = 0  # before the log names the series
        self._store.append(entries, run, reserved_bytes)
        self._store.reserved_bytes = reserved_bytes
        if chunk is not None:
            self.add_chunk(chunk)
        if self._free and row == self._free[0]:
            heapq.heappop(self._free)
        self._put(row, values, created, entries[-1])
        return row

    def _find_rows(self, rows: int, log_bytes: int, owner: int) -> CellRun:
        """Return free cells for so many rows, or for half of them until there are enough.

        Raises:
            StoreFull: there is no room for a single row.
        """
        while True:
            try:
                self._store.check_share(owner, log_bytes, rows * self.width)
                return self._store.find(rows * self.width)
            except StoreFull:
                if rows == 1:
                    raise
                rows //= 2

    def _next_row(self, values: tuple[str, ...]) -> tuple[int, int]:
        """Return the row for new label values, and the rows of a chunk to make for it, or 0."""
        if values == self.overflow_values:
            return OVERFLOW_ROW, 0
        if self._free:
            return self._free[0], 0
        row = max(len(self._values), OVERFLOW_ROW + 1)
        has_chunk = any(row in chunk.rows for chunk in reversed(self._chunks))
        return (row, 0) if has_chunk else self._next_place()

    def _put(self, row: int, values: tuple[str, ...], created: float, entry: Entry) -> None:
        """Note a series that the log names."""
        while len(self._values) <= row:
            self._values.append(None)
            self._created.append(0.0)
            self._bound.append(0)
            self._owners.append(NOBODY)
            self._changed.append(0)
        values = tuple(map(sys.intern, values))  # most series differ in few values
        longest = max((len(value.encode()) for value in values), default=0)
        self.longest_label_bytes = max(self.longest_label_bytes, longest)
        self._rows[values] = row
        self._values[row] = values
        self._created[row] = created
        self._owners[row] = entry.owner
        self._changed[row] = self._store.scrapes.change()
        self._count(row, entry.size_bytes, 1)

    def _count(self, row: int, log_bytes: int, sign: int) -> None:
        """Count the room of a series as its owner's (sign 1), or no more (sign -1)."""
        owner, chunk = self._owners[row], self._chunk_of(row)
        self._series_of[owner] += sign
        if owner == chunk.owner:
            self._store.shares.add(owner, sign * log_bytes, 0)
        else:
            self._store.shares.add(owner, sign * log_bytes, sign * self.width)
            self._store.shares.add(chunk.owner, 0, -sign * self.width)

    def values(self, row: int) -> tuple[str, ...]:
        """Return the label values of a row. Raises LookupError if it has no series."""
        values = self._values[row]
        if values is None:
            raise LookupError(f"{self.definition.name}: row {row} has no series")
        return values

    def has(self, row: int) -> bool:
        """Return whether a row has a series."""
        return row < len(self._values) and self._values[row] is not None

    # ---- removing series --------------------------------------------------------------------

    @property
    def is_held(self) -> bool:
        """Return whether a lane or the collector holds the family."""
        return bool(self.holders)

    def bind(self, row: int) -> None:
        """Keep a series from being removed while a lane counts into it."""
        self._bound[row] += 1

    def unbind(self, row: int) -> None:
        """Undo one bind()."""
        self._bound[row] -= 1
        self._changed[row] = self._store.scrapes.change()

    def is_bound(self, row: int) -> bool:
        """Return whether a lane counts into a series."""
        return self._bound[row] > 0

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

    def remove(self, rows: Iterable[int], expired: bool = True) -> None:
        """Remove the series of these rows, and chunks that are left without series.

        No lane may be bound to them.

        Args:
            rows: the rows.
            expired: whether they count as expired, if they are emitters'.

        Raises:
            StoreFull: the disk is full. Then some of the series are gone.
        """
        rest = iter(rows)
        while batch := list(itertools.islice(rest, MOST_REMOVED)):
            self._remove(batch, expired and self.is_limited)

    def _remove(self, rows: list[int], counted: bool) -> None:
        """Remove at most `MOST_REMOVED` series. counted: as expired. Raises StoreFull."""
        uncounted = not counted
        entries = [Entry(EntryKind.REMOVED, uncounted, row, self.id, b"") for row in rows]
        self._store.remove(entries)
        self._forget_all(rows)
        self.drop_vacant(rows)

    def _forget_all(self, rows: Iterable[int]) -> None:
        """Forget the series of rows whose removal is in the log, and use the rows again."""
        reserved = self._store.reserved_bytes - self.overflow_bytes
        for row in rows:
            self._forget(row)
            if row != OVERFLOW_ROW:
                heapq.heappush(self._free, row)
        self._store.reserved_bytes = reserved + self.overflow_bytes

    def drop_vacant(self, rows: Iterable[int]) -> None:
        """Give back the chunks of these rows that have no series any more.

        Raises StoreFull if the disk is full.
        """
        self._give_back_chunks(self._vacant(rows))

    def _give_back_chunks(self, chunks: list[_Chunk]) -> None:
        """Remove chunks without series from the log and from the family. Raises StoreFull."""
        if chunks:
            entries = [
                Entry(EntryKind.VACATED, 0, chunk.first_row, self.id, b"") for chunk in chunks
            ]
            self._store.remove(entries)
            gone = {row for chunk in chunks for row in chunk.rows}
            self._free = [row for row in self._free if row not in gone]
            heapq.heapify(self._free)
            for chunk in chunks:
                self._vacate(chunk)

    def _forget(self, row: int) -> None:
        """Forget the series of a row whose removal is in the log."""
        self._count(row, self._series_entry(row, self.values(row), 0.0).size_bytes, -1)
        del self._rows[self.values(row)]
        self._values[row] = None
        if row in self.hidden:
            self.hidden -= {row}  # the next series that has the row is shown

    def show_all(self) -> None:
        """Show every series but those of the hidden rows; the overflow series comes last."""
        self.visible = VisibleRows(self.definition.label_names)
        for row, values in enumerate(self._values):
            if values is not None and row != OVERFLOW_ROW and row not in self.hidden:
                self.visible.add(row, values)
        overflow = self._values[OVERFLOW_ROW] if self._values else None
        if overflow is not None and OVERFLOW_ROW not in self.hidden:
            self.visible.add(OVERFLOW_ROW, overflow)

    # ---- moving series ----------------------------------------------------------------------

    def fill(self) -> list[Fill]:
        """Return how full each chunk is, but the first one, which stays where it is."""
        return [
            Fill(chunk.run, chunk.owner, len(chunk.cells), len(self._rows_used(chunk)))
            for chunk in self._chunks[1:]
        ]

    def _rows_used(self, chunk: _Chunk) -> list[int]:
        """Return the rows of a chunk that have a series."""
        rows = chunk.rows[: self._n_used(chunk)]
        return [row for row in rows if self._values[row] is not None]

    def rows_in(self, run: CellRun) -> list[int]:
        """Return the rows with a series of the chunk that has these cells."""
        return self._rows_used(self._chunk_in(run))

    def free_rows(self) -> int:
        """Return the number of rows that another series could have."""
        rows = sum(len(chunk.cells) for chunk in self._chunks)
        return rows - len(self._rows) - self.folds(self.overflow_values)

    def _rows_free(self, chunk: _Chunk) -> list[int]:
        """Return the rows of a chunk that a series can have."""
        return [
            row
            for row in chunk.rows
            if row != OVERFLOW_ROW and (row >= len(self._values) or self._values[row] is None)
        ]

    def _chunk_in(self, run: CellRun) -> _Chunk:
        """Return the chunk that has these cells. Raises StopIteration without one."""
        return next(chunk for chunk in self._chunks if chunk.run == run)

    def add_chunk_in(self, run: CellRun, owner: int) -> CellRun:
        """Make a chunk without series in free cells.

        Args:
            run: the cells, of which as many are taken as the next gap among the rows has room for.
            owner: the owner for whom it is made.

        Returns:
            The cells that it has.

        Raises:
            StoreFull: the log has no room.
        """
        first_row, rows = self._next_place()
        run = CellRun(run.first, min(rows * self.width, run.n))
        entry, chunk = self._place(first_row, run, owner)
        self._store.append([entry], run, self._store.reserved_bytes)
        self.add_chunk(chunk)
        return run

    def move_out(self, run: CellRun, most: int, into: CellRun | None = None) -> dict[int, int]:
        """Move series out of a chunk.

        Their cells are copied. Whoever counts into them has to follow before the next drain.

        Args:
            run: the cells of the chunk.
            most: the most series to move.
            into: the cells of the chunk to move them into; None for the lowest rows of all others.

        Returns:
            The row of each series that has moved, by the row that it had.

        Raises:
            StoreFull: the log has no room.
        """
        chunk = self._chunk_in(run)
        targets = self._chunks if into is None else [self._chunk_in(into)]
        free = [row for each in targets if each is not chunk for row in self._rows_free(each)]
        used = self._rows_used(chunk)
        moved = dict(zip(used[:most], free, strict=False))
        if moved:
            self._move(moved)
            self._note_free()
        return moved

    def drop_chunk(self, run: CellRun) -> None:
        """Give back a chunk without series. Raises StoreFull if the disk is full."""
        self._give_back_chunks([self._chunk_in(run)])

    def _move(self, moved: dict[int, int]) -> None:
        """Move series to other rows: all of them or none. Raises StoreFull."""
        entries = [Entry(EntryKind.REMOVED, True, row, self.id, b"") for row in moved]
        for old, new in moved.items():
            self.cells(new)[:] = self.cells(old)  # before the log names the series
            entries.append(
                self._series_entry(new, self.values(old), self._created[old], self._owners[old])
            )
        self._store.append(entries, free_bytes=self._store.reserved_bytes)
        self.hidden |= {new for old, new in moved.items() if old in self.hidden}
        for (old, new), entry in zip(moved.items(), entries[len(moved) :], strict=True):
            values = self.values(old)
            self._forget(old)
            self._put(new, values, self._created[old], entry)
            self._changed[new] = self._changed[old]
            self._bound[new], self._bound[old] = self._bound[old], 0

    # ---- taking over totals -----------------------------------------------------------------

    def rows_beside(self, row: int) -> range:
        """Return the rows of the chunk that has this one. Raises LookupError."""
        return self._chunk_of(row).rows

    def inherit(self, old: Family, heirs: Mapping[int, int]) -> None:
        """Let series take over the totals of an old shape's series: all of them or none.

        Their whole chunk is copied to other cells. Whoever counts there has to follow before the
        next drain.

        Args:
            old: the old shape. Nobody counts into its series, and they are gone then.
            heirs: the rows of the series here, all of one chunk, by the rows in the old shape.

        Raises:
            StoreFull: there is no room for the copy, or in the log.
        """
        chunk = self._chunk_of(next(iter(heirs.values())))
        entry, moved = self._place(chunk.first_row, self._store.find(chunk.run.n), chunk.owner)
        places = np.array(list(heirs.values()), np.int64) - chunk.first_row
        cells = chunk.cells.copy()
        cells[places] = self.joined(cells[places], old, np.stack([*map(old.cells, heirs)]))
        taken = [
            self._series_entry(
                row,
                self.values(row),
                min(self._created[row], old._created[there]),
                self._owners[row],
            )
            for there, row in heirs.items()
        ]
        entries = [
            entry,
            *(Entry(EntryKind.REMOVED, True, row, self.id, b"") for row in heirs.values()),
            *taken,
            *(Entry(EntryKind.REMOVED, True, row, old.id, b"") for row in heirs),
        ]
        reserved_bytes = self._store.reserved_bytes
        if OVERFLOW_ROW in heirs:
            reserved_bytes += old._series_entry(OVERFLOW_ROW, old.overflow_values, 0.0).size_bytes
        self._store.append(entries, moved.run, reserved_bytes, cells.ravel())
        self._replace(moved)
        for there, row, series in zip(heirs, heirs.values(), taken, strict=True):
            values, created = self.values(row), min(self._created[row], old._created[there])
            self._forget(row)
            self._put(row, values, created, series)
        old._forget_all(heirs)

    def joined(
        self, cells: npt.NDArray[np.uint64], old: Family, others: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.uint64]:
        """Return the totals of series and of an old shape's series together: (rows, width), uint64.

        Args:
            cells: the cells of series of this family, (rows, width).
            old: the old shape.
            others: the cells of its series, (rows, its width).
        """
        return (cells.view(self.total_type) + others.view(self.total_type)).view(np.uint64)

    # ---- cells ------------------------------------------------------------------------------

    def cell(self, row: int) -> int:
        """Return the index of a row's first cell in the store. Raises LookupError."""
        chunk = self._chunk_of(row)
        return chunk.run.first + (row - chunk.first_row) * self.width

    def cells(self, row: int) -> npt.NDArray[np.uint64]:
        """Return a writable view of a row's cells, (width,), uint64. Raises LookupError."""
        chunk = self._chunk_of(row)
        cells: npt.NDArray[np.uint64] = chunk.cells[row - chunk.first_row]
        return cells

    def chunks(self) -> Iterator[tuple[int, range]]:
        """Yield the first row of each chunk, and the range of its cells in the store."""
        for first_row, (first, n), *_ in self._chunks:
            yield first_row, range(first, first + n)

    def all_cells(self) -> list[npt.NDArray[np.uint64]]:
        """Return views of all rows that were ever used, in parts of (rows, width), uint64.

        The rows of gaps are zero.
        """
        parts, end = [], 0
        for chunk in self._chunks:
            if chunk.first_row >= len(self._values):
                break
            if chunk.first_row > end:
                parts.append(np.zeros((chunk.first_row - end, self.width), np.uint64))
            parts.append(chunk.cells[: self._n_used(chunk)])
            end = chunk.rows.stop
        return parts

    def all_created(self) -> npt.NDArray[np.float64]:
        """Return the Unix time since when each row counts, (rows,), float64: all rows ever used."""
        return np.array(self._created, np.float64)  # a copy: the array grows

    @property
    def series(self) -> Series:
        """Return the label values of the visible rows; rows() and created() have the same order."""
        return self.visible.series

    def rows(self, n: int | None = None) -> npt.NDArray[np.uint64]:
        """Return a copy of the first n cells, or all, of the visible rows: (series, n), uint64."""
        cells = [cells[:, :n] for cells in self.all_cells()]
        if not cells:
            return np.empty((0, self.width), np.uint64)[:, :n]
        return self.visible.select(np.concatenate(cells))

    def created(self) -> npt.NDArray[np.float64]:
        """Return the Unix time since when each visible row counts, (series,), float64."""
        return self.visible.select(self.all_created())
