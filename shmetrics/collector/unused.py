# SPDX-License-Identifier: Apache-2.0
"""Families that no living process has: they give their place to others.

One without series leaves at once. One with totals stays as long as there is room: but where another
family, or series, has none, the one goes that nobody has had for longest. Its last totals have been
scraped by then, or nobody scrapes. Nor does it stand in the way of another user's family, which it
contradicts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from shmetrics.collector.families import Families, parts_of
from shmetrics.collector.family import Family
from shmetrics.collector.idle import Idle
from shmetrics.collector.log import StoreFull

SCRAPE_SECONDS = 300.0  # within which whoever scrapes has done so


class Unused:
    """Watches the families of emitters. now: seconds, of a clock that never goes back."""

    def __init__(self, families: Families, idle: Idle, now: Callable[[], float]) -> None:
        self._families = families
        self._idle = idle
        self._now = now
        self._since: dict[Family, float] = {}
        self._scraped = 0.0
        self._none_of: set[int | None] = set()  # owners of whom nothing can go, as things are

    def scraped(self) -> None:
        """All families have been shown to somebody."""
        self._scraped = self._now()
        self._none_of.clear()

    def check(self) -> None:
        """Lets go of those that have nothing to show, now or ever again."""
        now = self._now()
        self._none_of.clear()
        unused = [family for family in self._families.of_emitters() if not family.is_held]
        self._since = {family: self._since.get(family, now) for family in unused}
        with contextlib.suppress(StoreFull):  # on the disk: then later
            for family in unused:
                if self._is_done(family):
                    self._remove(family)

    def _is_done(self, family: Family) -> bool:
        return all(not len(part) or self._idle.has_only_idle(part) for part in parts_of(family))

    def make_way(self, owner: int | None) -> bool:
        """Lets go of one that is this owner's, or anybody's if there is none. Whether it did."""
        if owner in self._none_of:
            return False
        now = self._now()
        since = {
            family: self._since.get(family, now)
            for family in self._families.of_emitters()
            if not family.is_held and owner in (None, family.owner)
        }
        spent = [family for family, at in since.items() if self._is_spent(family, at, now)]
        if spent:
            with contextlib.suppress(StoreFull):  # on the disk
                self._remove(min(spent, key=since.__getitem__))
                return True
        self._none_of.add(owner)
        return False

    def give_way(self, family: Family, owner: int) -> bool:
        """Lets go of a family that contradicts one of another owner's. Whether it did."""
        now = self._now()
        since = self._since.get(family, now)
        if family.is_held or family.owner == owner or not self._is_spent(family, since, now):
            return False
        with contextlib.suppress(StoreFull):  # on the disk
            self._remove(family)
            return True
        return False

    def _is_spent(self, family: Family, since: float, now: float) -> bool:
        """Whether nothing more has to be known of one that nobody has had since then."""
        return self._is_done(family) or since <= self._scraped or since <= now - SCRAPE_SECONDS

    def _remove(self, family: Family) -> None:
        self._since.pop(family, None)
        self._families.remove(family)
