# SPDX-License-Identifier: Apache-2.0
"""Leaving series: those that their processes have removed."""

from __future__ import annotations

import contextlib

import numpy as np

from shmetrics.store.exemplars import Exemplars
from shmetrics.store.family import Family
from shmetrics.store.histograms import CallFamily
from shmetrics.store.log import StoreFull
from shmetrics.store.series_index import OVERFLOW_ROW


class LeavingSeries:
    """The series that are about to leave. remove() takes few writes to the log for many of them."""

    def __init__(self, exemplars: Exemplars) -> None:
        """Begin without any.

        Args:
            exemplars: the exemplars of all series.
        """
        self._exemplars = exemplars
        self._rows: dict[Family, set[int]] = {}
        # Families of which rows were removed and are shown still. Of calls the label values, whose
        # exceptions have to go.
        self._changed: dict[Family, set[tuple[str, ...]]] = {}

    def add(self, family: Family, row: int) -> None:
        """Let the series of a row leave, unless a lane counts into it or it is for overflow."""
        if row != OVERFLOW_ROW and not family.is_bound(row):
            self._rows.setdefault(family, set()).add(row)

    def remove(self) -> None:
        """Remove the series from the store. They are shown until show() is called."""
        while self._rows:
            family, rows = self._rows.popitem()
            changed = self._changed.setdefault(family, set())
            if isinstance(family, CallFamily):
                changed.update(map(family.values, rows))
            self._remove(family, sorted(rows))

    def _remove(self, family: Family, rows: list[int]) -> None:
        """Remove rows of a family. If the disk is full, those that stay begin anew, at 0."""
        self._exemplars.forget(family, rows)
        for row in rows:
            family.cells(row)[:] = 0
        with contextlib.suppress(StoreFull):
            family.remove(rows, expired=False)

    def show(self) -> None:
        """Show the removed series no more, nor the exceptions of calls that have none any more."""
        while self._changed:
            family, calls = self._changed.popitem()
            exceptions = family.exceptions if isinstance(family, CallFamily) else None
            if exceptions is not None and calls:
                for row in np.flatnonzero(exceptions.index.used()).tolist():
                    if exceptions.values(row)[:-1] in calls:
                        self.add(exceptions, row)
                self.remove()
            family.show_all()
