# SPDX-License-Identifier: Apache-2.0
"""A table: one metric family as it is exposed, with one row of numbers per series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from shmetrics.store.series import EXEMPLAR, Native, Series

__all__ = ["EXEMPLAR", "SUFFIXES", "Kind", "Native", "Series", "Table"]

Kind = Literal["counter", "gauge", "histogram", "info", "unknown"]

# The suffixes of a family's samples, in the order in which they appear.
SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "counter": ("_total", "_created"),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "info": ("_info",),
    "unknown": ("",),
}

_FULL_NAME_SUFFIXES: dict[Kind, str] = {"counter": "_total", "info": "_info"}


def _no_numbers() -> npt.NDArray[np.float64]:
    """Return an empty column."""
    return np.empty(0)


def _no_buckets() -> npt.NDArray[np.uint64]:
    """Return an empty table of buckets."""
    return np.empty((0, 1), np.uint64)


def _no_exemplars() -> npt.NDArray[np.void]:
    """Return no exemplars."""
    return np.empty(0, EXEMPLAR)


@dataclass(frozen=True, eq=False)
class Table:
    """One family at one moment. Its first n series have numbers; n is the length of the arrays.

    Arrays may be views with any strides. They show one moment, and are not written to: they are
    read until the last client has its answer.

    Attributes:
        name: the name without `_total` or any other suffix; it ends in `_unit` if there is a unit.
        kind: the type of the family in the exposition formats.
        help: the help text.
        series: the label values; may have more rows than the arrays.
        unit: the unit, or "".
        values: (n,), float64 or uint64; empty for a histogram.
        bounds: finite upper bounds of a histogram's buckets, rising; the last bucket has none.
        buckets: (n, len(bounds) + 1), uint64, each bucket alone, not cumulated.
        sums: (n,), float64; for a histogram.
        created: (n,), float64, Unix seconds, NaN for a row whose start is not known; for a counter
            or a histogram; or None.
        native: a histogram's counts in exponential buckets, where they are known; or None.
        exemplars: (any,), EXEMPLAR, for a counter or a histogram; contiguous, sorted by row and
            bucket, at most one for each pair of these.
    """

    name: str
    kind: Kind
    help: str
    series: Series
    unit: str = ""
    values: npt.NDArray[np.float64] | npt.NDArray[np.uint64] = field(default_factory=_no_numbers)
    bounds: tuple[float, ...] = ()
    buckets: npt.NDArray[np.uint64] = field(default_factory=_no_buckets)
    sums: npt.NDArray[np.float64] = field(default_factory=_no_numbers)
    created: npt.NDArray[np.float64] | None = None
    native: Native | None = None
    exemplars: npt.NDArray[np.void] = field(default_factory=_no_exemplars)

    def __len__(self) -> int:
        """Return the number of series that have numbers."""
        return len(self.buckets if self.kind == "histogram" else self.values)

    @property
    def has_sum(self) -> bool:
        """Return False for a histogram of negative values: its sum can fall, so it is not shown."""
        return not self.bounds or self.bounds[0] >= 0

    @property
    def has_created(self) -> bool:
        """Return whether the series say since when they count."""
        return self.created is not None and "_created" in SUFFIXES[self.kind]

    @property
    def full_name(self) -> str:
        """Return the name that all formats but OpenMetrics give the family: that of its samples."""
        return self.name + _FULL_NAME_SUFFIXES.get(self.kind, "")

    def sample_names(self) -> list[str]:
        """Return every name under which this family's samples can appear."""
        return [self.name + suffix for suffix in SUFFIXES[self.kind]]
