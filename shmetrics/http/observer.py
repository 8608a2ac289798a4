# SPDX-License-Identifier: Apache-2.0
"""What the web tells of itself while it answers."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Told as it happens, in the loop's thread."""

    def scraped(self, seconds: float, size_bytes: int) -> None:
        """A scrape was answered: what it took, and its size uncompressed."""

    def rendered(self) -> None:
        """Every lane was drained and the numbers taken; for one scrape or for many."""

    def refused(self, reason: str) -> None:
        """A client got no answer, or was cut off; one of shmetrics.http.refusals."""

    def reloaded(self, result: str) -> None:
        """The web configuration file has changed: "taken" or "refused"."""


class NullObserver:
    """Counts nothing."""

    def scraped(self, seconds: float, size_bytes: int) -> None:
        pass

    def rendered(self) -> None:
        pass

    def refused(self, reason: str) -> None:
        pass

    def reloaded(self, result: str) -> None:
        pass
