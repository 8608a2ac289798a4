# SPDX-License-Identifier: Apache-2.0
"""Scrapes, and the changes of series that they have shown.

A series that makes room for another takes its last total with it. So it stays until a scrape has
shown that total, if there is a scraper.
"""

from __future__ import annotations

from collections.abc import Callable

SCRAPE_SECONDS = 300.0  # every scraper has come within this time


class Scrapes:
    """The numbers of all changes, as they came, and the last one that a scrape has shown.

    It is quiet if no scraper has come within `SCRAPE_SECONDS`: then there is none, and nobody waits
    for a last total.
    """

    def __init__(self) -> None:
        """Begin without any change, and without a clock."""
        self._changes = self._shown = 0
        self._now: Callable[[], float] | None = None
        self._at = 0.0

    def begin(self, now: Callable[[], float]) -> None:
        """Count the time without a scraper from now on.

        Args:
            now: returns seconds, of a clock that never goes back.
        """
        self._now, self._at = now, now()

    def change(self) -> int:
        """Return the number of another change."""
        self._changes += 1
        return self._changes

    def note(self) -> None:
        """Note that all series have been shown to a scraper."""
        self._shown = self._changes
        if self._now is not None:
            self._at = self._now()

    @property
    def is_quiet(self) -> bool:
        """Return whether no scraper has come for a while."""
        return self._now is not None and self._now() - self._at >= SCRAPE_SECONDS

    def shown(self) -> int:
        """Return the number of the last change that nobody waits for any more."""
        return self._changes if self.is_quiet else self._shown
