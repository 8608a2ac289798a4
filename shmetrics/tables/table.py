# SPDX-License-Identifier: Apache-2.0
"""A table: one metric family as it is exposed, with one row of numbers per series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from shmetrics.render._text import EXEMPLAR_BYTES, EXEMPLAR_FIELDS

Kind = Literal["counter", "gauge", "histogram", "info", "unknown"]

# The suffixes of a family's samples, in the order in which they appear.
SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "counter": ("_total", "_created"),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "info": ("_info",),
    "unknown": ("",),
}


class Series:
    """The label values of a family, one row per series. Rows are added, never changed or removed.

    The escaped text of labels is kept as long as a Series lives, so keep the Series.

    Attributes:
        names: the label names, each once, in any order; a histogram cannot have one called `le`.
        values: the rows, each as long as `names`.
    """

    __slots__ = ("__weakref__", "names", "values")

    def __init__(self, names: Iterable[str], values: Iterable[tuple[str, ...]] = ()) -> None:
        """Begin with these label names and rows. Raises ValueError if a row has another length."""
        self.names = tuple(names)
        self.values: list[tuple[str, ...]] = []
        for row in values:
            self.append(row)

    def append(self, row: tuple[str, ...]) -> None:
        """Add a series. Raises ValueError unless there is one value per label name."""
        if len(row) != len(self.names):
            raise ValueError(f"{len(row)} label values for {len(self.names)} names")
        self.values.append(row)

    def labels(self, row: int) -> dict[str, str]:
        """Return the labels of one series as a dictionary."""
        return dict(zip(self.names, self.values[row], strict=True))


def _no_numbers() -> npt.NDArray[np.float64]:
    """Return an empty column."""
    return np.empty(0)


def _no_buckets() -> npt.NDArray[np.uint64]:
    """Return an empty table of buckets."""
    return np.empty((0, 1), np.uint64)


def _no_exemplars() -> npt.NDArray[np.void]:
    """Return no exemplars."""
    return np.empty(0, EXEMPLAR)


# An exemplar: one trace that stands for the events in one bucket of a histogram's row, or for all
# events of a counter's row (bucket 0). stamp_ns is Unix time; span is zero if there is none.
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

    Bucket i takes the values in (base**(i-1), base**i], where base is 2**(2**-schema). A row's
    zeros and counts add up to the same as its buckets in the Table.

    Attributes:
        schema: -4 to 8: the number of times that a doubling is halved into buckets.
        zero_threshold: values up to it are in `zeros`. It is the lower bound of column 0, or less.
        first: the index of column 0's bucket; column c is bucket first + c.
        zeros: (n,), uint64.
        counts: (n, columns), uint64, each bucket alone. The last column also has the values above
            all buckets.
    """

    schema: int
    zero_threshold: float
    first: int
    zeros: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint64]


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
        created: (n,), float64, Unix seconds, for a counter or a histogram; or None.
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

    def sample_names(self) -> list[str]:
        """Return every name under which this family's samples can appear."""
        return [self.name + suffix for suffix in SUFFIXES[self.kind]]
