# SPDX-License-Identifier: Apache-2.0
"""Exemplars: the newest trace of each bucket, and of each counter.

The drain keeps them by the store's first cell of their series. They are detail: in memory only,
and gone with the collector.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from shmetrics.lanes import _drain
from shmetrics.store.family import Family
from shmetrics.tables.table import EXEMPLAR

_NONE = np.empty(0, EXEMPLAR)


class Exemplars:
    """The exemplars of all families, and a snapshot of them that a scrape reads."""

    def __init__(self, most: int) -> None:
        """most: 0 keeps none."""
        self._table = _drain.ExemplarTable(most) if most else None
        self._snapshot = _NONE
        self._displaced = 0

    def keep_from(self, drain: _drain.LaneDrain) -> None:
        """Keeps what this lane brings."""
        if self._table is not None:
            drain.keep_exemplars(self._table)

    def __len__(self) -> int:
        return 0 if self._table is None else len(self._table)

    def displaced(self) -> int:
        """How many have made room for those of other buckets since the last call."""
        before = self._displaced
        if self._table is not None:
            self._displaced = self._table.displaced
        return self._displaced - before

    def take_snapshot(self) -> None:
        """Takes a copy of all of them."""
        if self._table is None:
            return
        found = np.empty(len(self._table), EXEMPLAR)
        self._table.copy_to(found.view(np.uint8))
        self._snapshot = _sorted(found)  # as yet, row is the first cell

    def of_family(self, family: Family) -> npt.NDArray[np.void]:
        """The family's, by the places in which its series are shown, and by bucket."""
        if not len(self._snapshot):
            return _NONE
        parts = []
        for first_row, cells in family.chunks():
            start, end = np.searchsorted(self._snapshot["row"], (cells.start, cells.stop))
            part = self._snapshot[start:end].copy()
            part["row"] = first_row + (part["row"] - cells.start) // family.width
            parts.append(part)
        found = np.concatenate(parts)
        positions = family.visible.positions(found["row"])
        found["row"] = positions
        return _sorted(found[positions >= 0])

    def forget(self, family: Family, rows: Iterable[int]) -> None:
        """Drops those of series that are no more: others will have their cells."""
        if self._table is not None:
            for row in rows:
                self._table.forget(family.cell(row), len(family.definition.bounds) + 1)


def _sorted(found: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    return found[np.lexsort((found["bucket"], found["row"]))]
