# SPDX-License-Identifier: Apache-2.0
"""The collector as the web sees it: an interface."""

from __future__ import annotations

from typing import Protocol

from shmetrics.tables.table import Table


class NodeView(Protocol):
    """A node's data. Each answer has everything that was recorded before the call."""

    def drain(self) -> None:
        """Drain every lane."""

    def tables(self, native: bool = False) -> list[Table]:
        """Drain every lane and return all tables, with native buckets if asked."""

    def lanes(self) -> list[dict[str, object]]:
        """Return one dictionary per lane."""

    def calls(self) -> list[dict[str, object]]:
        """Return one dictionary per open call, the oldest first."""

    def failed_calls(self) -> list[dict[str, object]]:
        """Return one dictionary per call that failed lately, the latest first."""

    def healthy(self) -> tuple[bool, str]:
        """Return whether the collector works, and its state in words."""

    def ready(self) -> tuple[bool, str]:
        """Return whether processes can register, and the state in words."""
