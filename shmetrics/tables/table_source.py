# SPDX-License-Identifier: Apache-2.0
"""The seam for everything that is shown: a source of tables."""

from __future__ import annotations

from typing import Protocol

from shmetrics.tables.table import Table


class TableSource(Protocol):
    """A source of tables: the families, the calls in flight, or the collector's own registry."""

    def tables(self, native: bool = False) -> list[Table]:
        """Return what there is at this moment. native: with native buckets, where there are."""
