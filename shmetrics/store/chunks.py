# SPDX-License-Identifier: Apache-2.0
"""The chunks of a family: the places of its rows among the cells of the store.

A chunk has consecutive rows, and their cells in one piece. The first chunk has row 0, and stays as
long as the family. Another one that is given back leaves a gap among the rows until a new chunk
takes its place.

Every chunk is made for an owner. Here all of its cells count as this owner's; the family counts
those of a series for the owner of the series instead.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shmetrics.store.log import StoreFull
from shmetrics.store.log_entry import Entry
from shmetrics.store.store import CellRun, Store

FIRST_CHUNK_ROWS = 16
MAX_CHUNK_ROWS = 4096
FIRST_CHUNK_CELLS, MAX_CHUNK_CELLS = 512, 256 * 1024  # limits for families with wide rows


class Chunk(NamedTuple):
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


class Chunks:
    """The chunks of one family, in the order of their rows.

    Attributes:
        width: the number of cells of a row, which stays once there is a chunk.
    """

    def __init__(self, store: Store, family_id: int, name: str, width: int) -> None:
        """Begin without chunks.

        Args:
            store: the store that has the cells.
            family_id: the family's number in the log.
            name: the family's name, for messages.
            width: the number of cells of a row.
        """
        self.width = width
        self._store = store
        self._family_id = family_id
        self._name = name
        self._chunks: list[Chunk] = []
        self._first_rows: list[int] = []  # of the chunks

    def __iter__(self) -> Iterator[Chunk]:
        """Iterate over the chunks."""
        return iter(self._chunks)

    # ---- looking up -------------------------------------------------------------------------

    @property
    def end(self) -> int:
        """Return the row after the last chunk."""
        return self._chunks[-1].rows.stop if self._chunks else 0

    def has(self, row: int) -> bool:
        """Return whether a chunk has this row."""
        at = bisect_right(self._first_rows, row) - 1
        return at >= 0 and row in self._chunks[at].rows

    def of(self, row: int) -> Chunk:
        """Return the chunk of a row. Raises LookupError if there is no such row."""
        at = bisect_right(self._first_rows, row) - 1
        if at < 0 or row not in self._chunks[at].rows:
            raise LookupError(f"{self._name}: there is no row {row}")
        return self._chunks[at]

    def at(self, run: CellRun) -> Chunk:
        """Return the chunk that has these cells. Raises StopIteration without one."""
        return next(chunk for chunk in self._chunks if chunk.run == run)

    def cell(self, row: int) -> int:
        """Return the index of a row's first cell in the store. Raises LookupError."""
        chunk = self.of(row)
        return chunk.run.first + (row - chunk.first_row) * self.width

    def cells(self, row: int) -> npt.NDArray[np.uint64]:
        """Return a writable view of a row's cells, (width,), uint64. Raises LookupError."""
        chunk = self.of(row)
        cells: npt.NDArray[np.uint64] = chunk.cells[row - chunk.first_row]
        return cells

    def cells_below(self, row: int) -> list[npt.NDArray[np.uint64]]:
        """Return views of all rows below this one, in parts of (rows, width), uint64.

        The rows of gaps are zero.
        """
        parts, end = [], 0
        for chunk in self._chunks:
            if chunk.first_row >= row:
                break
            if chunk.first_row > end:
                parts.append(np.zeros((chunk.first_row - end, self.width), np.uint64))
            parts.append(chunk.cells[: row - chunk.first_row])
            end = chunk.rows.stop
        return parts

    # ---- making a chunk ---------------------------------------------------------------------

    @property
    def first_chunk_rows(self) -> int:
        """Return the number of rows of the first chunk."""
        return max(2, min(FIRST_CHUNK_ROWS, FIRST_CHUNK_CELLS // self.width))

    def next_place(self) -> tuple[int, int]:
        """Return the first row and the number of rows of the next chunk.

        It is in the first gap that is there, or after all chunks.
        """
        rows = min(
            max(self.first_chunk_rows, self.end),
            MAX_CHUNK_ROWS,
            max(1, MAX_CHUNK_CELLS // self.width),
        )
        for before, after in itertools.pairwise(self._chunks):
            gap = after.first_row - before.rows.stop
            if gap:
                return before.rows.stop, min(rows, gap)
        return self.end, rows

    def find_cells(self, rows: int, log_bytes: int, owner: int) -> CellRun:
        """Return free cells for so many rows, or for half of them until there are enough.

        Args:
            rows: the number of rows.
            log_bytes: the bytes of the log that the owner needs beside them.
            owner: the owner whose share has to have room for all of it.

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

    def place(self, first_row: int, run: CellRun, owner: int) -> tuple[Entry, Chunk]:
        """Return the log entry of a chunk in these cells, and the chunk for add() or replace()."""
        rows = run.n // self.width
        entry = Entry.placed(self._family_id, first_row, rows, run.first, owner)
        return entry, Chunk(first_row, run, owner, self._view(run))

    def _view(self, run: CellRun) -> npt.NDArray[np.uint64]:
        """Return a view of a run of cells, (rows, width)."""
        return self._store.cells[run.first : run.first + run.n].reshape(-1, self.width)

    # ---- what the log names -----------------------------------------------------------------

    def restore(self, entry: Entry) -> None:
        """Add or replace the chunk of an entry of the log.

        Raises:
            ValueError: its cells are in use, or cannot be.
            struct.error: its payload is too short.
        """
        first_cell, first_row, rows = entry.place()
        run = CellRun(first_cell, rows * self.width)
        self._store.claim(run)
        if first_row is None:
            first_row = self.end
        _, chunk = self.place(first_row, run, entry.owner)
        if first_row in self._first_rows:
            self.replace(chunk)
        else:
            self.add(chunk)

    def add(self, chunk: Chunk) -> None:
        """Add a chunk that the log names."""
        at = bisect_right(self._first_rows, chunk.first_row)
        self._chunks.insert(at, chunk)
        self._first_rows.insert(at, chunk.first_row)
        self._store.shares.add(chunk.owner, 0, chunk.run.n)

    def replace(self, chunk: Chunk) -> None:
        """Let a chunk take the place of the one with the same rows, which is given back.

        Raises ValueError if there is none.
        """
        at = self._first_rows.index(chunk.first_row)
        before = self._chunks[at]
        if (before.rows, before.owner) != (chunk.rows, chunk.owner):
            raise ValueError(f"{self._name}: another chunk at row {chunk.first_row}")
        self._chunks[at] = chunk
        self._store.give_back(before.run)

    def drop(self, chunk: Chunk) -> None:
        """Drop a chunk whose end is in the log, and give its cells back."""
        at = self._first_rows.index(chunk.first_row)
        del self._chunks[at], self._first_rows[at]
        self._store.give_back(chunk.run)
        self._store.shares.add(chunk.owner, 0, -chunk.run.n)

    def drop_all(self) -> None:
        """Drop all chunks of a family whose end is in the log, and give their cells back."""
        for chunk in list(self._chunks):
            self.drop(chunk)

    def renew_views(self) -> None:
        """Renew the views of cells after the store has moved them in memory."""
        self._chunks = [chunk._replace(cells=self._view(chunk.run)) for chunk in self._chunks]
