# SPDX-License-Identifier: Apache-2.0
"""Families that count in buckets: histograms, and calls with starts, ends and exceptions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.sample_names import CALL_EXCEPTIONS
from shmetrics.store._cells import Scale
from shmetrics.store.buckets import Buckets, CountArray
from shmetrics.store.exponential import ExponentialBounds
from shmetrics.store.family import Family
from shmetrics.store.log import StoreFull
from shmetrics.store.series import Native
from shmetrics.store.shares import owner_of

_OURS = owner_of(os.geteuid())  # series that come from no lane count as the collector's user's


class HistogramFamily(Family):
    """A family whose rows end in counts of buckets, see buckets.py."""

    first_count = layout.HISTOGRAM_BUCKETS
    exponential: ExponentialBounds | None = None
    buckets: Buckets

    def count_in(self, exponential: ExponentialBounds | None) -> None:
        """Set the exponential bounds of the family, or None, before it has any rows."""
        self.exponential = exponential
        self.buckets = Buckets(self.definition.bounds, exponential)
        self.chunks.width = self.first_count + self.buckets.n_counts

    @property
    def scale(self) -> Scale:
        """Return the places of values in a row, for the drain."""
        return self.buckets.scale

    def count_coarse(self, cell: int) -> None:
        """Count in a cell of the store the values of which only the classic bucket is known."""
        self.scale.count_coarse(self.store.cells, cell)

    def classic(self) -> CountArray:
        """Return the classic buckets of the visible rows: (series, classic bounds + 1), uint64.

        Each bucket is alone, not cumulated.
        """
        return self._sums(self.buckets.classic)

    def native(self) -> Native | None:
        """Return the exponential buckets of the visible rows, or None if the family has none."""
        if self.exponential is None:
            return None
        return native_of(self.exponential, self._sums(self.buckets.exponential))

    def counts(self, onto: HistogramFamily) -> CountArray:
        """Return the counts of the visible rows as those of another shape: (series, its n_counts).

        Args:
            onto: the shape that they are shown as.
        """
        return self._sums(lambda counts: self.buckets.projected(counts, onto.buckets))

    def totals(self) -> npt.NDArray[Any]:
        """Return the cells before the counts, of the visible rows: (series, cells)."""
        return self.rows(self.first_count).view(self.total_type)

    def shown_sums(self, totals: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the sums of the values, as they are shown: (rows,).

        Args:
            totals: the cells before the counts, (rows, cells).
        """
        sums: npt.NDArray[np.float64] = totals[:, layout.CELL_SUM]
        return sums

    def joined(
        self, cells: npt.NDArray[np.uint64], old: Family, others: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.uint64]:
        """Return the totals and the counts of both together, see Family.joined()."""
        assert isinstance(old, HistogramFamily)
        at = self.first_count
        totals = super().joined(cells[:, :at], old, others[:, :at])
        counts = old.buckets.projected(others[:, at:], self.buckets)
        return np.hstack([totals, cells[:, at:] + counts])

    def _sums(self, of: Callable[[CountArray], CountArray]) -> CountArray:
        """Return what `of` makes of the counts of all rows, for the visible ones."""
        parts = [of(cells[:, self.first_count :]) for cells in self.all_cells()]
        if not parts:
            parts = [of(np.empty((0, self.buckets.n_counts), np.uint64))]
        return self.visible.select(np.concatenate(parts))


def native_of(bounds: ExponentialBounds, counts: CountArray) -> Native:
    """Return counts in exponential buckets, (rows, bounds + 1), uint64, as formats have them."""
    return Native(
        schema=bounds.schema,
        zero_threshold=bounds.bound(0),
        first=bounds.lowest + 1,
        zeros=counts[:, 0],
        counts=counts[:, 1:],
    )


class CallFamily(HistogramFamily):
    """Calls: their starts, ends and durations.

    Their exceptions are a family of counters of its own.
    """

    first_count = layout.CALLS_BUCKETS
    total_type = np.uint64
    exceptions: Family | None = None  # set by Families: it has an id of its own

    def shown_sums(self, totals: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the durations in seconds: (rows,)."""
        seconds: npt.NDArray[np.float64] = totals[:, layout.CELL_DURATION] / 1e9
        return seconds

    def _ruled_row(self, values: tuple[str, ...]) -> int:
        """Return the row of label values after the label rules. Raises StoreFull."""
        return self.counted_row(self.ruling.values(values), _OURS)

    def start(self, values: tuple[str, ...]) -> None:
        """Count a call that has begun. Raises StoreFull."""
        self.cells(self._ruled_row(values))[layout.CELL_STARTS] += np.uint64(1)

    def end(self, values: tuple[str, ...]) -> None:
        """Count a call that has ended. Raises StoreFull."""
        self.cells(self._ruled_row(values))[layout.CELL_ENDS] += np.uint64(1)

    def observe(self, values: tuple[str, ...], seconds: float) -> None:
        """Count the duration of a call. Raises StoreFull."""
        cells = self.cells(self._ruled_row(values))
        cells[layout.CELL_DURATION] += np.uint64(round(seconds * 1e9))
        cells[self.first_count + self.scale.place(seconds)] += np.uint64(1)

    def exception(self, values: tuple[str, ...], exception: str) -> None:
        """Count a call that an exception of this class has ended. Raises StoreFull."""
        if self.exceptions is None:
            raise StoreFull(f"no room for the exceptions of {self.definition.name}")
        ruled = *self.ruling.values(values), self.ruling.value("exception", exception)
        cells = self.exceptions.cells(self.exceptions.counted_row(ruled, _OURS))
        cells.view(np.float64)[0] += 1.0


def exceptions_of(definition: Definition) -> Definition:
    """Return the definition of the exception counters that belong to a family of calls."""
    return Definition(
        layout.TYPE_COUNTER,
        definition.name + CALL_EXCEPTIONS,
        f"{definition.help}: exceptions",
        "",
        "",
        (*definition.label_names, "exception"),
        (),
    )
