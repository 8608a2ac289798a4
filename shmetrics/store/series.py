# SPDX-License-Identifier: Apache-2.0
"""The parts of a family's series that are shown: label values, native counts, exemplars."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shmetrics.store._cells import EXEMPLAR_BYTES, EXEMPLAR_FIELDS

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


class Series:
    """The label values of a family, one row per series. Rows are added, never changed or removed.

    The escaped text of labels is kept as long as a Series lives, so keep the Series.

    Attributes:
        names: the label names, each once, in any order; a histogram cannot have one called `le`.
        values: the rows, each as long as `names`.
        is_sparse: whether labels with an empty value are left out: to Prometheus they are no
            labels.
    """

    __slots__ = ("__weakref__", "is_sparse", "names", "values")

    def __init__(
        self,
        names: Iterable[str],
        values: Iterable[tuple[str, ...]] = (),
        is_sparse: bool = False,
    ) -> None:
        """Begin with these label names and rows. Raises ValueError if a row has another length."""
        self.names = tuple(names)
        self.is_sparse = is_sparse
        self.values: list[tuple[str, ...]] = []
        for row in values:
            self.append(row)

    def append(self, row: tuple[str, ...]) -> None:
        """Add a series. Raises ValueError unless there is one value per label name."""
        if len(row) != len(self.names):
            raise ValueError(f"{len(row)} label values for {len(self.names)} names")
        self.values.append(row)

    def renamed(self, names: tuple[str, ...]) -> Series:
        """Return the same rows with other label names: a row added to one is added to both."""
        other = Series(names, is_sparse=self.is_sparse)
        other.values = self.values
        return other

    def labels(self, row: int) -> dict[str, str]:
        """Return the labels of one series as a dictionary."""
        return dict(zip(self.names, self.values[row], strict=True))


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
