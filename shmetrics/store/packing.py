# SPDX-License-Identifier: Apache-2.0
"""Packing: series move together, so that cells become free in one piece.

A chunk of rows is given back once all of its series are gone, and a single one of them keeps it. So
when cells are short, the series of sparse chunks move into free rows of other chunks of their
family, or into a smaller chunk. When free cells are left in pieces that are too short, the series
that are farthest up in the store move down into them.

This module decides which series move, and when; relocation.py moves them. No event is under way
meanwhile, so no undo entry names the cells of a series that moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shmetrics.store import relocation
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.idle import IdleSeries
from shmetrics.store.log import StoreFull
from shmetrics.store.relocation import Occupancy
from shmetrics.store.store import CellRun

MOST_AT_ONCE = 10_000  # series that move for one new one, in some 0.2 s
MOST_IN_A_WRITE = 128  # series that one write to the log moves
WORTH_SHRINKING = 4  # a chunk is made smaller if this part of it is free
WORTH_LOWERING = 32  # series move down if this part of all cells is free


Moved = Mapping[Family, Mapping[int, int]]
"""The rows where series of a family are now, by the rows that they had."""


class Packing:
    """The packing of all families, for an owner or for all, who have no room for another series."""

    def __init__(
        self,
        families: Families,
        idle: IdleSeries,
        follow: Callable[[Moved], None],
        are_all_bound: Callable[[], bool],
    ) -> None:
        """Begin without any observation.

        Args:
            families: all families of the node.
            idle: follows the rows that it watches.
            follow: called with what has moved; lets every lane count where it is now.
            are_all_bound: returns whether each lane that was there before the collector has said
                which series it has.
        """
        self._families = families
        self._store = families.store
        self._idle = idle
        self._follow = follow
        self._are_all_bound = are_all_bound
        self._left = 0  # series that may still move for this new one
        self._origins: dict[Family, dict[int, int]] = {}  # the rows that they had, by those now
        self._packed: set[int | None] = set()  # the owners for whom there is nothing to gain

    def look_again(self) -> None:
        """Look for something to gain once more, because time has passed or series have gone."""
        self._packed.clear()

    def free_room(self, owner: int | None) -> bool:
        """Make cells free in one piece.

        Args:
            owner: the owner whose share is full; None if the store is.

        Returns:
            Whether there are more of them than before.
        """
        if owner in self._packed or not self._are_all_bound():
            return False
        self._left = MOST_AT_ONCE
        self._origins = {}
        try:
            self._store.log.make_room(self._store.log.half_bytes // 8)  # else the log is short
            if self._pack_all(owner) or (owner is None and self._lower()):
                return True
        except StoreFull:
            pass
        finally:
            self._tell()
        self._packed.add(owner)
        return False

    def _pack_all(self, owner: int | None) -> bool:
        """Pack every family; return whether cells are free now that were not."""
        used_cells = self._store.used_cells
        for family in self._families:
            if family.is_limited:
                while self._left > 0 and self._pack(family, owner):
                    pass
        return self._store.used_cells < used_cells

    def _pack(self, family: Family, owner: int | None) -> bool:
        """Empty the sparsest chunk of a family, or make it smaller; return whether it has."""
        chunks = relocation.occupancies(family)
        mine = [chunk for chunk in chunks if owner in (None, chunk.owner)]
        if not mine:
            return False
        sparsest = min(mine, key=lambda chunk: chunk.used / chunk.rows)
        others_free = relocation.count_free_rows(family) - (sparsest.rows - sparsest.used)
        if sparsest.used <= others_free:
            self._clear(family, sparsest)
            return True
        if (sparsest.rows - sparsest.used) * WORTH_SHRINKING < sparsest.rows:
            return False
        try:
            run = self._store.find(sparsest.used * family.width)
        except StoreFull:
            return False
        self._clear(family, sparsest, relocation.make_chunk(family, run, sparsest.owner))
        return True

    def _lower(self) -> bool:
        """Move the series that are farthest up into free cells below; return whether any moved."""
        if (self._store.n_cells - self._store.used_cells) * WORTH_LOWERING < self._store.n_cells:
            return False
        chunks = [
            (chunk, family)
            for family in self._families
            if family.is_limited
            for chunk in relocation.occupancies(family)
        ]
        chunks.sort(key=lambda each: -each[0].run.first)
        has_moved = False
        for chunk, family in chunks:
            rows = chunk.used
            while self._left > 0 and rows:
                run = self._store.lowest(rows * family.width)
                if run.first < chunk.run.first:
                    self._clear(family, chunk, relocation.make_chunk(family, run, chunk.owner))
                    has_moved = True
                    break
                rows //= 2
        return has_moved

    def _clear(self, family: Family, chunk: Occupancy, into: CellRun | None = None) -> None:
        """Move the series out of a chunk, as far as there is room where they go.

        Raises:
            StoreFull: the log has no room. Then some have moved.
        """
        self._families.exemplars.forget(family, relocation.rows_in(family, chunk.run))
        rest = chunk.used
        while rest:
            moved = relocation.move_out(family, chunk.run, MOST_IN_A_WRITE, into)
            if not moved:
                return
            origins = self._origins.setdefault(family, {})
            origins.update({new: origins.pop(old, old) for old, new in moved.items()})
            self._left -= len(moved)
            rest -= len(moved)
        relocation.drop_chunk(family, chunk.run)

    def _tell(self) -> None:
        """Tell everybody who counts into series, or watches them, where they are now."""
        moved = {
            family: {old: new for new, old in origins.items()}
            for family, origins in self._origins.items()
        }
        if moved:
            self._follow(moved)
            for family, rows in moved.items():
                self._idle.follow(family, rows)
