# SPDX-License-Identifier: Apache-2.0
"""The buckets of a family of histograms or calls, and what its rows say of them.

A row has a count for each interval between two *fine* bounds: the classic ones that the family
was defined with, and exponential ones. Both kinds of buckets are sums of these intervals. Behind
them it has a count for each classic bucket, for what was spilled: of that nothing more is known.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shmetrics.store._scale import Scale, sum_runs
from shmetrics.store.exponential import ExponentialBounds

CountArray = npt.NDArray[np.uint64]


class Buckets:
    """counts, everywhere: (rows, n_counts), what rows count in buckets."""

    def __init__(self, bounds: tuple[float, ...], exponential: ExponentialBounds | None) -> None:
        """bounds: the classic ones. exponential: None if there are to be no others."""
        between = exponential.bounds() if exponential else ()
        fine = sorted({*bounds, *between})
        self.scale = Scale(array("d", (*fine, math.inf)), array("d", bounds))
        self._classic_ends = _ends(fine, bounds)
        self._exponential_ends = _ends(fine, between)
        self._columns = _columns(bounds, between)

    @property
    def n_counts(self) -> int:
        """How many counts a row has."""
        return self.scale.n_counts

    def place(self, value: float) -> int:
        """Which of a row's counts takes the value."""
        return self.scale.place(value)

    def classic(self, counts: CountArray) -> CountArray:
        """(rows, classic buckets): what fell in each of them alone, the last one up to infinity."""
        fine, coarse = self._parted(counts)
        if not self.scale.coarse_at:
            return fine
        sums: CountArray = coarse.copy()
        sum_runs(fine, self._classic_ends, sums)
        return sums

    def exponential(self, counts: CountArray) -> CountArray:
        """(rows, exponential bounds + 1): what is not above the lowest of these, what lies between
        each two, and what is above the highest."""
        fine, coarse = self._parted(counts)
        sums = np.zeros((len(counts), len(self._exponential_ends)), np.uint64)
        sum_runs(fine, self._exponential_ends, sums)
        for bucket in np.flatnonzero(coarse.any(axis=0)).tolist():
            _spread(coarse[:, bucket], sums[:, self._columns[bucket]])
        return sums

    def _parted(self, counts: CountArray) -> tuple[CountArray, CountArray]:
        """Fine counts and coarse ones; if there are no others, they are the classic buckets."""
        at = self.scale.coarse_at
        return (counts[:, :at], counts[:, at:]) if at else (counts, counts[:, :0])


def _ends(fine: Sequence[float], bounds: Sequence[float]) -> array[int]:
    """Up to which interval each of these buckets goes, and one more for what is above them."""
    return array("I", [*(bisect_left(fine, bound) + 1 for bound in bounds), len(fine) + 1])


def _columns(bounds: Sequence[float], exponential: Sequence[float]) -> list[slice]:
    """On which exponential buckets each classic one is laid, where only that one is known: on those
    that lie wholly in it; or, if none does or it begins at zero, on that of its upper bound.

    So a quantile stays within the classic bucket, or in one exponential bucket with its bound.
    """
    columns = []
    for low, high in zip((-math.inf, *bounds), (*bounds, math.inf), strict=True):
        column = bisect_left(exponential, high)
        begin, end = bisect_left(exponential, low) + 1, bisect_right(exponential, high)
        is_wide = low > 0 and begin < end and math.isfinite(high)
        columns.append(slice(begin, end) if is_wide else slice(column, column + 1))
    return columns


def _spread(spilled: CountArray, columns: CountArray) -> None:
    """Lays each row's number on its columns one after the other, again and again: no column falls
    when the number rises, which would look as if the process had begun anew."""
    n = columns.shape[1]
    rounds, rest = np.divmod(spilled, np.uint64(n))
    columns += rounds[:, None]
    columns += np.arange(n, dtype=np.uint64) < rest[:, None]
