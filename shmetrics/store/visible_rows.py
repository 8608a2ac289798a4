# SPDX-License-Identifier: Apache-2.0
"""The visible rows of a family: the rows that are shown, in the order in which they came."""

from __future__ import annotations

from array import array
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from shmetrics.store.series import Series

Numbers = TypeVar("Numbers", np.uint64, np.float64)


class VisibleRows:
    """The rows of a family that are shown.

    Rows are only added: to hide one, begin with a new object.

    The escaped text of labels is kept with `series`.
    """

    def __init__(self, label_names: tuple[str, ...]) -> None:
        """Begin without rows."""
        self.series = Series(label_names)
        self._rows = array("q")
        self._is_in_order = True  # the rows follow each other, as in most families

    def add(self, row: int, values: tuple[str, ...]) -> None:
        """Show a row, which has these label values."""
        if self._rows and row != self._rows[-1] + 1:
            self._is_in_order = False
        self._rows.append(row)
        self.series.append(values)

    def select(self, table: npt.NDArray[Numbers]) -> npt.NDArray[Numbers]:
        """Return the visible rows of an array, along its first axis.

        This is a view where the rows follow each other, and else a copy.
        """
        if self._is_in_order and self._rows:
            return table[self._rows[0] : self._rows[-1] + 1]
        return table[np.array(self._rows, np.int64)]

    def positions(self, rows: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the position of each row among the visible ones, or -1: (rows,), int64."""
        visible = np.array(self._rows, np.int64)
        positions = np.full(max(visible.max(initial=-1), rows.max(initial=0)) + 1, -1, np.int64)
        positions[visible] = np.arange(len(visible))
        return positions[rows]
