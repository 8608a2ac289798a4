# SPDX-License-Identifier: Apache-2.0
"""A metric family as the exposition gets it: who it is, and one row of numbers per series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from shmetrics.render._text import EXEMPLAR_BYTES, EXEMPLAR_FIELDS

Kind = Literal["counter", "gauge", "histogram", "info", "unknown"]

# What follows the family's name in its samples, in the order in which they appear.
SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "counter": ("_total", "_created"),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "info": ("_info",),
    "unknown": ("",),
}


class Series:
    """The label values of a family, a row per series. Rows are added, never changed or removed.

    names: label names, each once, in any order; a histogram cannot have one called le.
    values: the rows, each as long as names.

    Escaped label text is kept for as long as a Series lives, so keep the Series.
    """

    __slots__ = ("__weakref__", "names", "values")

    def __init__(self, names: Iterable[str], values: Iterable[tuple[str, ...]] = ()) -> None:
        self.names = tuple(names)
        self.values: list[tuple[str, ...]] = []
        for row in values:
            self.append(row)

    def append(self, row: tuple[str, ...]) -> None:
        """Adds a series. Raises ValueError unless there is one value per label name."""
        if len(row) != len(self.names):
            raise ValueError(f"{len(row)} label values for {len(self.names)} names")
        self.values.append(row)

    def labels(self, row: int) -> dict[str, str]:
        """The labels of one series."""
        return dict(zip(self.names, self.values[row], strict=True))


def _no_numbers() -> npt.NDArray[np.float64]:
    return np.empty(0)


def _no_buckets() -> npt.NDArray[np.uint64]:
    return np.empty((0, 1), np.uint64)


def _no_exemplars() -> npt.NDArray[np.void]:
    return np.empty(0, EXEMPLAR)


# A trace that stands for what a table shows: of a histogram's row those in one bucket, of a
# counter's row all (bucket 0). stamp_ns: Unix time. span: zero if there is none.
EXEMPLAR = np.dtype(
    {
        "names": [name for name, _, _ in EXEMPLAR_FIELDS],
        "formats": [kind for _, kind, _ in EXEMPLAR_FIELDS],
        "offsets": [offset for _, _, offset in EXEMPLAR_FIELDS],
        "itemsize": EXEMPLAR_BYTES,
    }
)


@dataclass(frozen=True, eq=False)
class Native:
    """A histogram's counts in exponential buckets, as Prometheus's native histograms have them.

    Bucket i takes in what is in (base**(i-1), base**i], where base is 2**(2**-schema).
    schema: -4 to 8, the number of times that a doubling is halved into buckets.
    zero_threshold: what is not above it is in zeros. It is the lower bound of column 0, or less.
    first: the index of column 0's bucket; column c is bucket first + c.
    zeros: (n,), uint64.
    counts: (n, columns), uint64, what fell in each bucket alone. The last column holds, too, what
        is above all of them.

    A row's zeros and counts add up to what its buckets in the Table add up to.
    """

    schema: int
    zero_threshold: float
    first: int
    zeros: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Table:
    """One family at one moment. Its first n series have numbers; n is the length of the arrays.

    name: without _total or any other suffix, and ending in _unit if there is a unit.
    values: (n,), float64 or uint64; of everything but a histogram.
    bounds: finite upper bounds of a histogram's buckets, rising; the last bucket has none.
    buckets: (n, len(bounds) + 1), uint64, what fell in each bucket alone: not cumulated.
    sums: (n,), float64.
    created: (n,), float64, Unix seconds, of a counter or a histogram; or None.
    native: a histogram's counts in finer buckets, where they are known; or None.
    exemplars: (any,), EXEMPLAR, of a counter or a histogram, sorted by row and bucket, each pair at
        most once; contiguous.

    Arrays may be views with any strides. They show one moment, and nobody writes to them: they are
    read until the last client has its answer.
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
        """How many series are shown."""
        return len(self.buckets if self.kind == "histogram" else self.values)

    @property
    def has_sum(self) -> bool:
        """False for a histogram of negative values: its sum can fall, so it is not shown."""
        return not self.bounds or self.bounds[0] >= 0

    @property
    def has_created(self) -> bool:
        """Whether it says since when its series count."""
        return self.created is not None and "_created" in SUFFIXES[self.kind]

    def sample_names(self) -> list[str]:
        """Every name under which this family's samples can appear."""
        return [self.name + suffix for suffix in SUFFIXES[self.kind]]
