# SPDX-License-Identifier: Apache-2.0
"""Unused families: families that no living process has, and that make room for others.

A family without series leaves at once. A family with totals stays as long as there is room; when
another family or series needs it, the family goes that nobody has held for longest. By then its
last totals have been scraped, or nobody scrapes. An unused family also leaves if it contradicts the
family of another user.

An old shape, that is a family whose name a newer definition has, stays for a while, so that its
last totals are scraped. It is the first to go if there is no room. Before it goes, the newest shape
takes over the totals of the series that both have, see inheritance.py.
"""

from __future__ import annotations

from collections.abc import Callable

from shmetrics.store.families import Families, parts_of
from shmetrics.store.family import Family
from shmetrics.store.idle import IdleSeries
from shmetrics.store.inheritance import Inheritance
from shmetrics.store.log import StoreFull

SCRAPE_SECONDS = 300.0  # every scraper has come within this time
MOST_AT_ONCE = 1000  # families that one tick removes, in some 0.1 s


class UnusedFamilies:
    """The watch on the families of emitters, which finds those that no process holds."""

    def __init__(
        self,
        families: Families,
        idle: IdleSeries,
        inheritance: Inheritance,
        now: Callable[[], float],
        old_shape_seconds: float = SCRAPE_SECONDS,
    ) -> None:
        """Begin without any observation.

        Args:
            families: all families of the node.
            idle: tells which families have only idle series.
            inheritance: lets the newest shape of a name take over an old one's totals.
            now: returns seconds, of a clock that never goes back.
            old_shape_seconds: the time for which an old shape stays that nobody holds.
        """
        self._families = families
        self._idle = idle
        self._inheritance = inheritance
        self._now = now
        self._old_shape_seconds = old_shape_seconds
        self._since: dict[Family, float] = {}
        self._scraped_at = 0.0
        # The owners of whom nothing can go until the next tick or scrape.
        self._owners_without_spent: set[int | None] = set()

    def note_scrape(self) -> None:
        """Note that all families have been shown to a scraper."""
        self._scraped_at = self._now()
        self._owners_without_spent.clear()

    def check(self) -> None:
        """Remove unused families that have nothing to show, now or ever again."""
        now = self._now()
        self._owners_without_spent.clear()
        unused = [family for family in self._families.of_emitters() if not family.is_held]
        self._since = {family: self._since.get(family, now) for family in unused}
        gone = [family for family in unused if self._is_done(family)]
        old = [
            family
            for family, since in self._since.items()
            if since <= now - self._old_shape_seconds
            and self._is_old(family)
            and not self._is_done(family)
        ]
        # The last shape of a name has left it first: sums stay the same to the last bit.
        passed_on, _ = self._inheritance.pass_on(old[: -MOST_AT_ONCE - 1 : -1])
        self._remove([*gone, *passed_on][:MOST_AT_ONCE])

    def _is_done(self, family: Family) -> bool:
        """Return whether a family has no series, or only an idle overflow series."""
        return all(not len(part) or self._idle.has_only_idle(part) for part in parts_of(family))

    def _is_old(self, family: Family) -> bool:
        """Return whether its name has a newer definition than this family's.

        None has while lanes are read after a start: any of them may hold it.
        """
        if self._families.is_catching_up:
            return False
        name = self._families.names.get(family.definition.name)
        return name is not None and name.newest is not family

    def free_room(self, owner: int | None) -> bool:
        """Remove some unused families to make room.

        Args:
            owner: the owner whose families may go; None for all.

        Returns:
            Whether any was removed.
        """
        if owner in self._owners_without_spent:
            return False
        now = self._now()
        since = {
            family: self._since.get(family, now)
            for family in self._families.of_emitters()
            if not family.is_held and owner in (None, family.owner)
        }
        old = {family for family in since if self._is_old(family)}
        spent = [
            family
            for family, at in since.items()
            if family in old or self._is_spent(family, at, now)
        ]
        # Some more at once, so that a thousand new families do not ask a thousand times.
        spent.sort(key=lambda family: (family not in old, since[family]))
        spent = spent[: 1 + len(spent) // 16]
        passed_on, n_series = self._inheritance.pass_on(family for family in spent if family in old)
        if n_series:  # else there is no room even for that, and they go with their totals
            stay = old.difference(passed_on)
            spent = [family for family in spent if family not in stay]
        if (spent and self._remove(spent)) or n_series:
            return True
        self._owners_without_spent.add(owner)
        return False

    def remove_if_unused(self, family: Family, owner: int) -> bool:
        """Remove an unused family that contradicts the definition of another owner.

        Args:
            family: the family that is in the way.
            owner: the owner of the new definition.

        Returns:
            Whether it was removed.
        """
        now = self._now()
        since = self._since.get(family, now)
        if family.is_held or family.owner == owner or not self._is_spent(family, since, now):
            return False
        return self._remove([family])

    def _is_spent(self, family: Family, since: float, now: float) -> bool:
        """Return whether nobody needs a family any more that no process has held since then.

        It has nothing to show, or it was scraped since, or `SCRAPE_SECONDS` have passed.
        """
        return self._is_done(family) or since <= self._scraped_at or since <= now - SCRAPE_SECONDS

    def _remove(self, families: list[Family]) -> bool:
        """Remove families; return False if the disk is full and some could not be removed."""
        for family in families:
            self._since.pop(family, None)
        try:
            self._families.remove(families)
        except StoreFull:
            return False
        return True
