# SPDX-License-Identifier: Apache-2.0
"""A family of the node: its definition, its series, and the row of cells that each of them has.

Three rooms have its parts: the index has the row of each series (series_index.py), the chunks have
the cells of each row (chunks.py), and the quota has the number of each owner's series
(series_quota.py). Here they go together. What changes a family is written to the store's log first,
and then noted in these parts; a later collector notes the same when it reads the log.

Row 0 is the overflow series', so that there is always a place to count a series that has no row of
its own. In a family without labels it is the only series. A row's cells are zeroed before the log
names its next series. A chunk without series is given back. Where cells are short, series move to
other rows, see packing.py.

Everything in the store has an owner. A series counts for the user whose process brought it, and a
row without a series for the owner for whom its chunk was made.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable

import numpy as np
import numpy.typing as npt

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.label_rules.rule import FamilyRules
from shmetrics.store.chunks import Chunk, Chunks
from shmetrics.store.holders import Holders
from shmetrics.store.limits import Limits
from shmetrics.store.log import REMOVAL_BYTES, StoreFull
from shmetrics.store.log_entry import Entry, EntryKind
from shmetrics.store.series import Series
from shmetrics.store.series_index import OVERFLOW_ROW, SeriesIndex
from shmetrics.store.series_quota import SeriesQuota
from shmetrics.store.shares import NOBODY
from shmetrics.store.store import Store
from shmetrics.store.visible_rows import VisibleRows

OVERFLOW = layout.OVERFLOW_VALUE
MOST_REMOVED = REMOVAL_BYTES // 32  # series that are removed with one write to the log


class Family:
    """A family: its definition, its series, and their cells.

    Attributes:
        index: the row of each series.
        chunks: the cells of each row.
        quota: the number of each owner's series.
        visible: the rows that are shown.
        hidden: the rows that have a series and are not shown.
    """

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
        self.store = store
        width = layout.cells_of(definition.type, len(definition.bounds))
        self.index = SeriesIndex(definition.name)
        self.chunks = Chunks(store, id, definition.name, width)
        self.quota = SeriesQuota(limits.series_per_family)
        self.visible = VisibleRows(definition.label_names)
        self.hidden: frozenset[int] = frozenset()
        self.holders = Holders()
        self.entry_bytes = 0  # of its definition in the log
        self.is_limited = True  # False if the label values are few, and the collector's own
        self.is_full_for: int | None = None  # the owner whose share was full; None: the store was
        self.ruling = FamilyRules((), definition)  # for values from processes; set by Families
        self.overflow_values = (OVERFLOW,) * len(definition.label_names)
        self._limits = limits
        self._on_overflow = on_overflow
        self._now = now

    @property
    def width(self) -> int:
        """Return the number of cells of a row."""
        return self.chunks.width

    @property
    def is_held(self) -> bool:
        """Return whether a lane or the collector holds the family."""
        return bool(self.holders)

    # ---- finding a series -------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self.index)

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
        row = self.own_row(values, owner)
        return self.overflow_row() if row is None else row

    def own_row(self, values: tuple[str, ...], owner: int = NOBODY) -> int | None:
        """Return the same as row(), but None beyond the limits."""
        row = self.index.row(values)
        if row is not None:
            return row
        if self._fits(values, owner):
            try:
                return self._append(values, owner)
            except StoreFull as full:
                self.is_full_for = full.owner  # room for the overflow series is reserved
        return None

    def overflow_row(self) -> int:
        """Return the row of the overflow series, and make it if it is new. Raises StoreFull."""
        if self.overflow_values not in self.index:
            self._append(self.overflow_values, self.owner)
        return OVERFLOW_ROW

    def counted_row(self, values: tuple[str, ...], owner: int = NOBODY) -> int:
        """Return the same as row(), for a change without a lane.

        A series that is folded is reported to `on_overflow`.
        """
        row = self.counted_own_row(values, owner)
        if row is None:
            row = self.overflow_row()
            self.index.note_change(row, self.store.scrapes.change())
        return row

    def counted_own_row(self, values: tuple[str, ...], owner: int = NOBODY) -> int | None:
        """Return the same as own_row(), for a change without a lane.

        A series that has no row of its own is reported to `on_overflow`.
        """
        row = self.own_row(values, owner)
        if row is None:
            self._on_overflow(self)
        else:
            self.index.note_change(row, self.store.scrapes.change())
        return row

    def folds(self, values: tuple[str, ...]) -> bool:
        """Return whether these label values have no series of their own."""
        return values not in self.index

    def values(self, row: int) -> tuple[str, ...]:
        """Return the label values of a row. Raises LookupError if it has no series."""
        return self.index.values(row)

    def interned(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return the family's own copy of these label values, which a thousand lanes can share."""
        row = self.index.row(values)
        return values if row is None else self.index.values(row)

    def bind(self, row: int) -> None:
        """Keep a series from being removed while a lane counts into it."""
        self.index.bind(row)

    def unbind(self, row: int) -> None:
        """Undo one bind()."""
        self.index.unbind(row, self.store.scrapes.change())

    def is_bound(self, row: int) -> bool:
        """Return whether a lane counts into a series."""
        return self.index.is_bound(row)

    # ---- making a series --------------------------------------------------------------------

    def _fits(self, values: tuple[str, ...], owner: int) -> bool:
        """Return whether the limits allow an owner a new series with these label values."""
        if not self.is_limited:
            return all(len(value) <= self._limits.label_bytes for value in values)
        return self._limits.allow(values) and (
            not self.has_reached_limit(owner) or self.store.free_room_in(self.id, owner)
        )

    def has_reached_limit(self, owner: int) -> bool:
        """Return whether an owner may have no more series here."""
        return self.quota.is_reached(owner)

    def _append(self, values: tuple[str, ...], owner: int) -> int:
        """Make a series and show it; return its row. Raises StoreFull."""
        row = self.store.attempt(lambda: self._try_to_append(values, owner))
        self.visible.add(row, self.values(row))
        return row

    def _try_to_append(self, values: tuple[str, ...], owner: int) -> int:
        """Make a series in the store; return its row.

        Raises StoreFull if something has to be removed for it.
        """
        row, rows = self._next_row(values)
        created = self._now()
        series = Entry.series(self.id, row, values, created, owner)
        entries = [series]
        reserved_bytes = self.store.reserved_bytes
        run, chunk = None, None
        if row == OVERFLOW_ROW:
            reserved_bytes -= self.overflow_bytes
        elif rows:
            run = self.chunks.find_cells(rows, series.size_bytes, owner)
        else:  # the row may be in a chunk that was made for another owner
            is_own = self.chunks.of(row).owner == owner
            self.store.check_share(owner, series.size_bytes, 0 if is_own else self.width)
        if run is not None:
            entry, chunk = self.chunks.place(row, run, owner)
            entries.insert(0, entry)
        else:
            self.cells(row)[:] = 0  # before the log names the series
        self.store.append(entries, run, reserved_bytes)
        self.store.reserved_bytes = reserved_bytes
        if chunk is not None:
            self.add_chunk(chunk)
        self.note_series(series, values, created)
        return row

    def _next_row(self, values: tuple[str, ...]) -> tuple[int, int]:
        """Return the row for new label values, and the rows of a chunk to make for it, or 0."""
        if values == self.overflow_values:
            return OVERFLOW_ROW, 0
        row = self.index.next_row()
        return (row, 0) if self.chunks.has(row) else self.chunks.next_place()

    # ---- removing series --------------------------------------------------------------------

    def remove(self, rows: Iterable[int], expired: bool = True) -> None:
        """Remove the series of these rows, and chunks that are left without series.

        No lane may be bound to them.

        Args:
            rows: the rows.
            expired: whether they count as expired, if they are emitters'.

        Raises:
            StoreFull: the disk is full. Then some of the series are gone.
        """
        is_expired = expired and self.is_limited
        rest = iter(rows)
        while batch := list(itertools.islice(rest, MOST_REMOVED)):
            self.store.remove([Entry.removed(self.id, row, is_expired) for row in batch])
            self.free_rows(batch)
            self.drop_vacant(batch)

    def free_rows(self, rows: Collection[int]) -> None:
        """Forget the series of rows whose removal is in the log, and use the rows again."""
        reserved_bytes = self.store.reserved_bytes - self.overflow_bytes
        for row in rows:
            self.forget_series(row)
        self.index.free(rows)
        self.store.reserved_bytes = reserved_bytes + self.overflow_bytes

    def drop_vacant(self, rows: Iterable[int]) -> None:
        """Give back the chunks of these rows that have no series any more.

        The first chunk stays, because it has the row of the overflow series. Raises StoreFull if
        the disk is full.
        """
        chunks = {chunk.first_row: chunk for chunk in map(self.chunks.of, rows)}
        chunks.pop(OVERFLOW_ROW, None)
        self.drop_chunks([chunk for chunk in chunks.values() if self.index.is_vacant(chunk.rows)])

    def drop_chunks(self, chunks: list[Chunk]) -> None:
        """Give back chunks without series. Raises StoreFull if the disk is full."""
        if chunks:
            self.store.remove([Entry.vacated(self.id, chunk.first_row) for chunk in chunks])
            for chunk in chunks:
                self._forget_chunk(chunk)

    # ---- what the log names -----------------------------------------------------------------

    @property
    def overflow_bytes(self) -> int:
        """Return the bytes of the log that the overflow series will need; 0 if it is there."""
        return 0 if self.index.has(OVERFLOW_ROW) else self.overflow_entry_bytes

    @property
    def overflow_entry_bytes(self) -> int:
        """Return the bytes of the log that the overflow series needs."""
        return Entry.series(self.id, OVERFLOW_ROW, self.overflow_values, 0.0, NOBODY).size_bytes

    def restore(self, entry: Entry) -> None:
        """Apply an entry of the log that is about this family.

        Raises:
            ValueError: its cells are in use, or cannot be.
            LookupError: it names a row that is not there.
            struct.error: its payload is too short.
        """
        if entry.kind in (EntryKind.CHUNK, EntryKind.PLACED):
            self.chunks.restore(entry)
        elif entry.kind == EntryKind.VACATED:
            self._forget_chunk(self.chunks.of(entry.id))
        elif entry.kind == EntryKind.SERIES:
            self.chunks.of(entry.id)  # raises LookupError without cells
            created, values = entry.created_and_values()
            self.note_series(entry, values, created)
        else:
            self.forget_series(entry.id)

    def settle(self) -> None:
        """Prepare the family for use after the whole log was read."""
        self.free_unused()
        self.show_all()

    def free_unused(self) -> None:
        """Use all rows again that have no series."""
        self.index.free_all(chunk.rows for chunk in self.chunks)

    def add_chunk(self, chunk: Chunk) -> None:
        """Add a chunk that the log names."""
        self.chunks.add(chunk)
        self.index.free(chunk.rows)

    def _forget_chunk(self, chunk: Chunk) -> None:
        """Forget a chunk whose end is in the log."""
        self.chunks.drop(chunk)
        self.index.withdraw(chunk.rows)

    def note_series(self, entry: Entry, values: tuple[str, ...], created: float) -> None:
        """Note a series that the log names.

        Args:
            entry: its entry.
            values: its label values, which may have characters that the entry cannot have.
            created: the Unix time since when it counts, in seconds.
        """
        self.index.put(entry.id, values, created, entry.owner, self.store.scrapes.change())
        self._count(entry.id, entry.owner, entry.size_bytes, 1)

    def forget_series(self, row: int) -> None:
        """Forget the series of a row whose removal is in the log. Raises LookupError."""
        entry = Entry.series(self.id, row, self.values(row), 0.0, NOBODY)
        self._count(row, self.index.owner(row), entry.size_bytes, -1)
        self.index.forget(row)
        if row in self.hidden:
            self.hidden -= {row}  # the next series that has the row is shown

    def _count(self, row: int, owner: int, log_bytes: int, sign: int) -> None:
        """Count the room of a series as its owner's (sign 1), or no more (sign -1)."""
        chunk = self.chunks.of(row)
        self.quota.add(owner, sign)
        if owner == chunk.owner:
            self.store.shares.add(owner, sign * log_bytes, 0)
        else:
            self.store.shares.add(owner, sign * log_bytes, sign * self.width)
            self.store.shares.add(chunk.owner, 0, -sign * self.width)

    # ---- showing series ---------------------------------------------------------------------

    def show_all(self) -> None:
        """Show every series but those of the hidden rows; the overflow series comes last."""
        self.visible = VisibleRows(self.definition.label_names)
        for row, values in self.index:
            if row != OVERFLOW_ROW and row not in self.hidden:
                self.visible.add(row, values)
        if self.index.has(OVERFLOW_ROW) and OVERFLOW_ROW not in self.hidden:
            self.visible.add(OVERFLOW_ROW, self.values(OVERFLOW_ROW))

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
        return self.visible.select(self.index.all_created())

    # ---- cells ------------------------------------------------------------------------------

    def cell(self, row: int) -> int:
        """Return the index of a row's first cell in the store. Raises LookupError."""
        return self.chunks.cell(row)

    def cells(self, row: int) -> npt.NDArray[np.uint64]:
        """Return a writable view of a row's cells, (width,), uint64. Raises LookupError."""
        return self.chunks.cells(row)

    def all_cells(self) -> list[npt.NDArray[np.uint64]]:
        """Return views of all rows that were ever used, in parts of (rows, width), uint64.

        The rows of gaps are zero.
        """
        return self.chunks.cells_below(self.index.end)

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
