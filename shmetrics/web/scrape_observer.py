# SPDX-License-Identifier: Apache-2.0
"""The reports of the web on scrapes: an interface for counting them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class ScrapeObserver(Protocol):
    """An observer of scrapes, called for each event when it happens, in the loop's thread."""

    def rendered(self) -> None:
        """Note that all lanes were drained and tables made, for one scrape or for many."""

    def scraped(self, seconds: float, size_bytes: int) -> None:
        """Note that a scrape was answered, with its duration, and its size uncompressed."""

    def left_out(self, escaping: str, families: Mapping[str, str]) -> None:
        """Note the families that a scheme of names cannot show, and the reason for each."""


class NullScrapeObserver:
    """An observer that ignores all events."""

    def rendered(self) -> None:
        pass

    def scraped(self, seconds: float, size_bytes: int) -> None:
        pass

    def left_out(self, escaping: str, families: Mapping[str, str]) -> None:
        pass
