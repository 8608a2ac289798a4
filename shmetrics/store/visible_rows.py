# SPDX-License-Identifier: Apache-2.0
"""Which rows of a family are shown, in the order of their coming."""

from __future__ import annotations

from array import array
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from shmetrics.tables.table import Series

Numbers = TypeVar("Numbers", np.uint64, np.float64)


class VisibleRows:
    """Rows are only added: to hide one, begin another. Label text is kept with the series."""

    def __init__(self, label_names: tuple[str, ...]) -> None:
        self.series = Series(label_names)
        self._rows = array("q")
        self._is_in_order = True  # one row after the other: by far the most

    def add(self, row: int, values: tuple[str, ...]) -> None:
        if self._rows and row != self._rows[-1] + 1:
            self._is_in_order = False
        self._rows.append(row)
        self.series.append(values)

    def select(self, table: npt.NDArray[Numbers]) -> npt.NDArray[Numbers]:
        """What a table says of these rows, first axis."""
        if self._is_in_order and self._rows:
            return table[self._rows[0] : self._rows[-1] + 1]
        return table[np.array(self._rows, np.int64)]

    def positions(self, rows: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """The place of each of these rows among what is shown, or -1."""
        visible = np.array(self._rows, np.int64)
        positions = np.full(max(visible.max(initial=-1), rows.max(initial=0)) + 1, -1, np.int64)
        positions[visible] = np.arange(len(visible))
        return positions[rows]
