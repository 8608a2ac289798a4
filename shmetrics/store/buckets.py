# SPDX-License-Identifier: Apache-2.0
"""The buckets of a family of histograms or calls, as sums of the counts in its rows.

A row has one count for each interval between two *fine* bounds: the classic bounds that the family
was defined with, and exponential ones. Classic and exponential buckets are sums of these intervals.
After them, a row has one *coarse* count per classic bucket, for values that were spilled: of these
only the classic bucket is known.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shmetrics.store._cells import Scale, sum_runs
from shmetrics.store.exponential import ExponentialBounds

CountArray = npt.NDArray[np.uint64]


class Buckets:
    """The buckets of one family.

    `counts` is always an array (rows, n_counts): the counts of rows.
    """

    def __init__(self, bounds: tuple[float, ...], exponential: ExponentialBounds | None) -> None:
        """Find the fine bounds.

        Args:
            bounds: the classic bounds, finite and rising.
            exponential: the exponential bounds; None for a family without them.
        """
        between = exponential.bounds() if exponential else ()
        fine = sorted({*bounds, *between})
        self.scale = Scale(array("d", (*fine, math.inf)), array("d", bounds))
        self._fine = fine
        self._bounds = bounds
        self._classic_ends = _ends(fine, bounds)
        self._exponential_ends = _ends(fine, between)
        self._columns = _columns(bounds, between)

    @property
    def n_counts(self) -> int:
        """Return the number of counts in a row."""
        return self.scale.n_counts

    def place(self, value: float) -> int:
        """Return the index of the count that takes a value."""
        return self.scale.place(value)

    def classic(self, counts: CountArray) -> CountArray:
        """Return the classic buckets, each alone: (rows, classic bounds + 1), uint64.

        The last column has the values above the highest bound.
        """
        fine, coarse = self._parted(counts)
        if not self.scale.coarse_at:
            return fine
        sums: CountArray = coarse.copy()
        sum_runs(fine, self._classic_ends, sums)
        return sums

    def exponential(self, counts: CountArray) -> CountArray:
        """Return the exponential buckets, each alone: (rows, exponential bounds + 1), uint64.

        The first column has the values up to the lowest bound, the last one those above the
        highest. Coarse counts are laid evenly on the buckets within their classic bucket.
        """
        fine, coarse = self._parted(counts)
        sums = np.zeros((len(counts), len(self._exponential_ends)), np.uint64)
        sum_runs(fine, self._exponential_ends, sums)
        for bucket in np.flatnonzero(coarse.any(axis=0)).tolist():
            _spread(coarse[:, bucket], sums[:, self._columns[bucket]])
        return sums

    def projected(self, counts: CountArray, onto: Buckets) -> CountArray:
        """Return the counts as those of a family with other bounds: (rows, its n_counts), uint64.

        Each goes to the first count whose bound is not lower. So a value is counted in a bucket
        that it belongs to, or in one above that; in the buckets up to a bound that both families
        have, the same values are counted. What is known by its classic bucket only goes to such a
        count, if the other family has these.

        Args:
            counts: the counts of rows.
            onto: the buckets that they get.
        """
        if (self._fine, self._bounds) == (onto._fine, onto._bounds):
            return counts
        n_fine = onto.scale.coarse_at or onto.n_counts
        fine, coarse = self._parted(counts) if self.scale.coarse_at else (None, counts)
        onto_fine = np.zeros((len(counts), n_fine), np.uint64)
        onto_coarse = np.zeros((len(counts), onto.n_counts - n_fine), np.uint64)
        if fine is not None:
            sum_runs(fine, _ends(self._fine, onto._fine), onto_fine)
        takes_coarse = onto_coarse if onto.scale.coarse_at else onto_fine
        sum_runs(coarse, _ends(self._bounds, onto._bounds), takes_coarse)
        return np.hstack([onto_fine, onto_coarse])

    def _parted(self, counts: CountArray) -> tuple[CountArray, CountArray]:
        """Return the fine and the coarse counts. Without exponential bounds all counts are fine."""
        at = self.scale.coarse_at
        return (counts[:, :at], counts[:, at:]) if at else (counts, counts[:, :0])


def _ends(fine: Sequence[float], bounds: Sequence[float]) -> array[int]:
    """Return the number of intervals up to each bound; the last one is that of all intervals."""
    return array("I", [*(bisect_right(fine, bound) for bound in bounds), len(fine) + 1])


def _columns(bounds: Sequence[float], exponential: Sequence[float]) -> list[slice]:
    """Return the exponential buckets on which the coarse count of each classic bucket is laid.

    These are the exponential buckets that lie wholly in the classic one. If there are none, or the
    classic one begins at zero or below, it is the exponential bucket of its upper bound. So a
    quantile stays within the classic bucket, or in the exponential bucket that contains its upper
    bound.
    """
    columns = []
    for low, high in zip((-math.inf, *bounds), (*bounds, math.inf), strict=True):
        column = bisect_left(exponential, high)
        begin, end = bisect_left(exponential, low) + 1, bisect_right(exponential, high)
        is_wide = low > 0 and begin < end and math.isfinite(high)
        columns.append(slice(begin, end) if is_wide else slice(column, column + 1))
    return columns


def _spread(spilled: CountArray, columns: CountArray) -> None:
    """Lay each row's coarse count on its columns, one after the other, again and again.

    So no column falls when the count rises: a falling count would look like a restart of the
    process.

    Args:
        spilled: the coarse counts, (rows,).
        columns: the exponential buckets that take them, (rows, columns); changed in place.
    """
    n = columns.shape[1]
    rounds, rest = np.divmod(spilled, np.uint64(n))
    columns += rounds[:, None]
    columns += np.arange(n, dtype=np.uint64) < rest[:, None]
