# SPDX-License-Identifier: Apache-2.0
"""The relocation of series: out of one chunk of their family, into other rows.

The cells of a series are copied first, and then one write to the log moves it: a kill leaves it in
the old place or in the new one, with the same total. Whoever counts into it has to follow before
the next drain. The first chunk of a family stays where it is.
"""

from __future__ import annotations

from typing import NamedTuple

from shmetrics.store.chunks import Chunk
from shmetrics.store.family import Family
from shmetrics.store.log_entry import Entry
from shmetrics.store.store import CellRun


class Occupancy(NamedTuple):
    """The occupancy of a chunk: the number of its rows, and of those with a series.

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


def occupancies(family: Family) -> list[Occupancy]:
    """Return the occupancy of each chunk of a family, but of the first one."""
    return [
        Occupancy(chunk.run, chunk.owner, len(chunk.cells), len(_rows_used(family, chunk)))
        for chunk in list(family.chunks)[1:]
    ]


def rows_in(family: Family, run: CellRun) -> list[int]:
    """Return the rows with a series of the chunk that has these cells."""
    return _rows_used(family, family.chunks.at(run))


def _rows_used(family: Family, chunk: Chunk) -> list[int]:
    """Return the rows of a chunk that have a series."""
    return list(family.index.rows_used(chunk.rows))


def count_free_rows(family: Family) -> int:
    """Return the number of rows that another series could have."""
    rows = sum(len(chunk.cells) for chunk in family.chunks)
    return rows - len(family) - family.folds(family.overflow_values)


def make_chunk(family: Family, run: CellRun, owner: int) -> CellRun:
    """Make a chunk without series in free cells.

    Args:
        family: the family that gets it.
        run: the cells, of which as many are taken as the next gap among the rows has room for.
        owner: the owner for whom it is made.

    Returns:
        The cells that it has.

    Raises:
        StoreFull: the log has no room.
    """
    first_row, rows = family.chunks.next_place()
    run = CellRun(run.first, min(rows * family.width, run.n))
    entry, chunk = family.chunks.place(first_row, run, owner)
    family.store.append([entry], run, family.store.reserved_bytes)
    family.add_chunk(chunk)
    return run


def move_out(
    family: Family, run: CellRun, most: int, into: CellRun | None = None
) -> dict[int, int]:
    """Move series out of a chunk.

    Args:
        family: their family.
        run: the cells of the chunk.
        most: the most series to move.
        into: the cells of the chunk to move them into; None for the lowest rows of all others.

    Returns:
        The row of each series that has moved, by the row that it had.

    Raises:
        StoreFull: the log has no room. Then none has moved.
    """
    chunk = family.chunks.at(run)
    targets = list(family.chunks) if into is None else [family.chunks.at(into)]
    free = [
        row
        for target in targets
        if target is not chunk
        for row in family.index.rows_unused(target.rows)
    ]
    moved = dict(zip(_rows_used(family, chunk)[:most], free, strict=False))
    if moved:
        _move(family, moved)
        family.free_unused()
    return moved


def _move(family: Family, moved: dict[int, int]) -> None:
    """Move series to other rows: all of them or none. Raises StoreFull."""
    index = family.index
    series = []
    for old, new in moved.items():
        family.cells(new)[:] = family.cells(old)  # before the log names the series
        created, owner = index.created(old), index.owner(old)
        series.append(Entry.series(family.id, new, index.values(old), created, owner))
    entries = [*(Entry.removed(family.id, row) for row in moved), *series]
    family.store.append(entries, free_bytes=family.store.reserved_bytes)
    family.hidden |= {new for old, new in moved.items() if old in family.hidden}
    for (old, new), entry in zip(moved.items(), series, strict=True):
        values, created = index.values(old), index.created(old)
        family.forget_series(old)
        family.note_series(entry, values, created)
        index.hand_over(old, new)


def drop_chunk(family: Family, run: CellRun) -> None:
    """Give back a chunk without series. Raises StoreFull if the disk is full."""
    family.drop_chunks([family.chunks.at(run)])
