# SPDX-License-Identifier: Apache-2.0
"""Families that no living process has: they give their place to others.

One without series leaves at once. One with totals stays as long as there is room: but where another
family, or series, has none, the one goes that nobody has had for longest. Its last totals have been
scraped by then, or nobody scrapes. Nor does it stand in the way of another user's family, which it
contradicts.
"""

from __future__ import annotations

from collections.abc import Callable

from shmetrics.store.families import Families, parts_of
from shmetrics.store.family import Family
from shmetrics.store.idle import IdleSeries
from shmetrics.store.log import StoreFull

SCRAPE_SECONDS = 300.0  # within which whoever scrapes has done so
MOST_AT_ONCE = 1000  # families that one tick removes: some 0.1 s


class UnusedFamilies:
    """Watches the families of emitters. now: seconds, of a clock that never goes back."""

    def __init__(self, families: Families, idle: IdleSeries, now: Callable[[], float]) -> None:
        self._families = families
        self._idle = idle
        self._now = now
        self._since: dict[Family, float] = {}
        self._scraped_at = 0.0
        self._owners_without_spent: set[int | None] = (
            set()
        )  # owners of whom nothing can go, as things are

    def note_scrape(self) -> None:
        """All families have been shown to somebody."""
        self._scraped_at = self._now()
        self._owners_without_spent.clear()

    def check(self) -> None:
        """Lets go of those that have nothing to show, now or ever again."""
        now = self._now()
        self._owners_without_spent.clear()
        unused = [family for family in self._families.of_emitters() if not family.is_held]
        self._since = {family: self._since.get(family, now) for family in unused}
        self._remove([family for family in unused if self._is_done(family)][:MOST_AT_ONCE])

    def _is_done(self, family: Family) -> bool:
        return all(not len(part) or self._idle.has_only_idle(part) for part in parts_of(family))

    def make_way(self, owner: int | None) -> bool:
        """Lets go of what is this owner's, or anybody's if there is none. Whether it did."""
        if owner in self._owners_without_spent:
            return False
        now = self._now()
        since = {
            family: self._since.get(family, now)
            for family in self._families.of_emitters()
            if not family.is_held and owner in (None, family.owner)
        }
        spent = [family for family, at in since.items() if self._is_spent(family, at, now)]
        # Some more at once, so that it is not asked for each of a thousand.
        spent.sort(key=since.__getitem__)
        if spent and self._remove(spent[: 1 + len(spent) // 16]):
            return True
        self._owners_without_spent.add(owner)
        return False

    def give_way(self, family: Family, owner: int) -> bool:
        """Lets go of a family that contradicts one of another owner's. Whether it did."""
        now = self._now()
        since = self._since.get(family, now)
        if family.is_held or family.owner == owner or not self._is_spent(family, since, now):
            return False
        return self._remove([family])

    def _is_spent(self, family: Family, since: float, now: float) -> bool:
        """Whether nothing more has to be known of one that nobody has had since then."""
        return self._is_done(family) or since <= self._scraped_at or since <= now - SCRAPE_SECONDS

    def _remove(self, families: list[Family]) -> bool:
        """Whether all of them could be removed; if not, the disk is full."""
        for family in families:
            self._since.pop(family, None)
        try:
            self._families.remove(families)
        except StoreFull:
            return False
        return True
