# SPDX-License-Identifier: Apache-2.0
"""Spent series: series that no living process has, and that make room for others.

As long as there is room, they stay: a total does not end with the process that has counted it. When
a limit or the store leaves no room for a new series, those go that nobody has changed for longest,
once their last totals were shown. A tick lets some go before, so that there is room for the series
that come between two scrapes. If one comes back, it begins at zero, which is a counter reset for
whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

import numpy as np
import numpy.typing as npt

from shmetrics import layout
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.idle import IdleSeries

MOST_AT_ONCE = 4096  # series that go for one new one: some 20 ms
MARGIN = 16  # this part of a limit, and of the store, is kept free
PART_AT_ONCE = 16  # this part of them goes for one, so that a thousand do not ask as often

HeldSeries = Callable[[], Container[tuple[Family, tuple[str, ...]]]]


class SpentSeries:
    """The remover of series that no living process has, and whose last total was shown."""

    def __init__(
        self,
        families: Families,
        idle: IdleSeries,
        held: HeldSeries,
        are_all_bound: Callable[[], bool],
    ) -> None:
        """Begin without any observation.

        Args:
            families: all families of the node.
            idle: removes series.
            held: returns the series of living gauges, which no lane is bound to, as (family, label
                values).
            are_all_bound: returns whether each lane that was there before the collector has said
                which series it has.
        """
        self._families = families
        self._idle = idle
        self._held = held
        self._are_all_bound = are_all_bound
        # The families and owners of whom nothing can go until the next tick or scrape.
        self._without_spent: set[tuple[Family | None, int | None]] = set()

    def look_again(self) -> None:
        """Look for spent series once more, because time has passed or a scraper has come."""
        self._without_spent.clear()

    def check(self) -> None:
        """Remove some spent series of each family that has nearly as many as it may."""
        self.look_again()
        for family in self._families:
            if family.is_limited:
                for owner in family.quota.short(MARGIN):
                    self.free_room_in(family.id, owner)

    def free_room(self, owner: int | None) -> bool:
        """Remove some spent series of any family.

        Args:
            owner: the owner whose series may go; None for all.

        Returns:
            Whether any was removed.
        """
        return self._free((None, owner), [each for each in self._families if each.is_limited])

    def free_room_in(self, family_id: int, owner: int) -> bool:
        """Remove some spent series of an owner in one family; return whether any was removed."""
        family = self._families.of_id(family_id)
        return self._free((family, owner), [family])

    def _free(self, asked: tuple[Family | None, int | None], families: Iterable[Family]) -> bool:
        """Remove the series that were changed longest ago; return whether any was removed."""
        if asked in self._without_spent or not self._are_all_bound():
            return False
        found = [(family, *self._spent(family, asked[1])) for family in families]
        changed = np.concatenate([np.empty(0, np.uint64), *(each[2] for each in found)])
        if len(changed):
            most = min(1 + len(changed) // PART_AT_ONCE, MOST_AT_ONCE)
            last = np.partition(changed, most - 1)[most - 1]
            parts = [(family, rows[changes <= last]) for family, rows, changes in found]
            if sum(self._idle.remove(family, rows.tolist()) for family, rows in parts):
                return True
        self._without_spent.add(asked)
        return False

    def _spent(
        self, family: Family, owner: int | None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Return the rows of a family's spent series, and the numbers of their last changes."""
        rows, changes = family.index.left(owner)
        are_spent = changes <= self._families.store.scrapes.shown()
        if family.definition.type == layout.TYPE_GAUGE and are_spent.any():
            held = self._held()
            for at in np.flatnonzero(are_spent).tolist():
                are_spent[at] = (family, family.values(int(rows[at]))) not in held
        return rows[are_spent], changes[are_spent]
