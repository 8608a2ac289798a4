# SPDX-License-Identifier: Apache-2.0
"""Exemplars: the newest trace of each bucket of a histogram, and of each counter.

The drain keeps them by the first cell of their series in the store. They are in memory only, and
gone with the collector: a detail that may be lost.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from shmetrics.store._cells import ExemplarTable
from shmetrics.store.family import Family
from shmetrics.store.series import EXEMPLAR

_NONE = np.empty(0, EXEMPLAR)


class Exemplars:
    """The exemplars of all families, and a snapshot of them that a scrape reads."""

    def __init__(self, max_exemplars: int) -> None:
        """Begin without exemplars.

        Args:
            max_exemplars: the number of exemplars that are kept; 0 keeps none.
        """
        self.table = ExemplarTable(max_exemplars) if max_exemplars else None
        self._snapshot = _NONE
        self._displaced = 0

    def __len__(self) -> int:
        """Return the number of exemplars."""
        return 0 if self.table is None else len(self.table)

    def displaced(self) -> int:
        """Return how many exemplars have made room for others since the last call."""
        before = self._displaced
        if self.table is not None:
            self._displaced = self.table.displaced
        return self._displaced - before

    def take_snapshot(self) -> None:
        """Copy all exemplars, for the calls of of_family() that follow."""
        if self.table is None:
            return
        exemplars = np.empty(len(self.table), EXEMPLAR)
        self.table.copy_to(exemplars.view(np.uint8))
        self._snapshot = _sorted(exemplars)  # until of_family(), a row is the series' first cell

    def of_family(self, family: Family) -> npt.NDArray[np.void]:
        """Return a family's exemplars in the snapshot, sorted by row and bucket.

        The row of each is the position of its series among the visible rows of the family.
        """
        if not len(self._snapshot):
            return _NONE
        parts = []
        for chunk in family.chunks:
            first = chunk.run.first
            start, end = np.searchsorted(self._snapshot["row"], (first, first + chunk.run.n))
            part = self._snapshot[start:end].copy()
            part["row"] = chunk.first_row + (part["row"] - first) // family.width
            parts.append(part)
        exemplars = np.concatenate(parts)
        positions = family.visible.positions(exemplars["row"])
        exemplars["row"] = positions
        return _sorted(exemplars[positions >= 0])

    def forget(self, family: Family, rows: Iterable[int]) -> None:
        """Drop the exemplars of series that are removed: other series will get their cells."""
        if self.table is not None:
            for row in rows:
                self.table.forget(family.cell(row), len(family.definition.bounds) + 1)


def _sorted(exemplars: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return the exemplars sorted by row and bucket."""
    return exemplars[np.lexsort((exemplars["bucket"], exemplars["row"]))]
