# SPDX-License-Identifier: Apache-2.0
"""The series that a process has left behind in its earlier lanes, and has not used since.

They are a living process's: nobody else gets their room, and their families stay. They are kept
beside the process's lane, see lane_files.py, so that a later collector knows them, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from shmetrics.dictionary import Definition
from shmetrics.store.families import Families, parts_of
from shmetrics.store.family import Family
from shmetrics.store.holders import Holder
from shmetrics.store.packing import Moved

Kept = dict[int, list[tuple[str, ...]]]
"""Label values of series, by the number of their family in the store."""


class LeftBehind:
    """The series that one process has left behind: families and rows."""

    def __init__(self, families: Families, lane_id: int, process: str) -> None:
        """Begin without any.

        Args:
            families: all families of the node.
            lane_id: the lane in which the process goes on.
            process: its name for people.
        """
        self._families = families
        self._lane_id = lane_id
        self._process = process
        self._series: set[tuple[Family, int]] = set()
        self._held: dict[Family, Definition] = {}  # without the exceptions of calls

    def __contains__(self, series: tuple[Family, int]) -> bool:
        """Return whether a series is one of them."""
        return series in self._series

    def __iter__(self) -> Iterator[tuple[Family, int]]:
        """Iterate over a copy of the list."""
        return iter(list(self._series))

    def take(self, series: Collection[tuple[Family, int]]) -> None:
        """Take over series that are bound."""
        self._series.update(series)
        parts = {part for part, _ in series}
        for family in self._families.of_emitters():
            if family not in self._held and not parts.isdisjoint(parts_of(family)):
                definition = self._held[family] = family.definition
                self._families.hold(family, definition, self._holder(family))

    def give(self) -> set[tuple[Family, int]]:
        """Give them away, bound as they are."""
        series, self._series = self._series, set()
        self._release(self._held)
        return series

    def discard(self, series: tuple[Family, int]) -> None:
        """Unbind a series, if it is one of them."""
        if series in self._series:
            self._series.discard(series)
            series[0].unbind(series[1])

    def detach(self, parts: Collection[Family]) -> None:
        """Let go of families that are about to be removed, with their series."""
        for each in self:
            if each[0] in parts:
                self.discard(each)
        self._release([family for family in self._held if family in parts])

    def forget(self) -> None:
        """Let go of all."""
        for family, row in self.give():
            family.unbind(row)

    def _release(self, families: Collection[Family]) -> None:
        for family in list(families):
            definition = self._held.pop(family)
            self._families.release(family, definition, self._holder(family))

    def _holder(self, family: Family) -> Holder:
        """Return the process as a holder of the family; its lane has other numbers."""
        return Holder(self._lane_id, -1 - family.id, self._process)

    def follow(self, moved: Moved) -> None:
        """Note where series are that have moved in the store."""
        self._series = {
            (family, moved.get(family, {}).get(row, row)) for family, row in self._series
        }

    def kept(self) -> Kept:
        """Return them as a later collector finds them."""
        kept: Kept = {}
        for family, row in self._series:
            kept.setdefault(family.id, []).append(family.values(row))
        return kept

    def restore(self, kept: Kept) -> None:
        """Bind those that an earlier collector has kept, as far as they are there."""
        found = set()
        for family in self._families if kept else ():
            for values in kept.get(family.id, ()):
                if not family.folds(values):
                    found.add((family, family.row(values)))
        for family, row in found - self._series:
            family.bind(row)
        self.take(found)
