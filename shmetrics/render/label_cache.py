# SPDX-License-Identifier: Apache-2.0
"""A cache of the labels of series in some format, which keeps them as long as the series lives.

Between two scrapes only the numbers of a series change. So its labels are made when it first
appears, and are copied from then on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from shmetrics.tables.table import Series

Constants = tuple[tuple[str, str], ...]


class Labels(Protocol):
    """The labels of the first rows of one Series, in some format."""

    def extend(self, rows: list[tuple[str, ...]], end: int | None = None) -> None:
        """Add the labels of the rows that are new since the last call.

        Args:
            rows: the label values of all rows.
            end: stop before this row; None: take all rows.
        """


Made = TypeVar("Made", bound=Labels)


class LabelCache(Generic[Made]):
    """A cache of the labels of every Series, in one format."""

    def __init__(self, make: Callable[[tuple[str, ...], Constants, bool], Made]) -> None:
        """Make an empty cache.

        Args:
            make: makes labels without rows, from the names of the labels, the constant labels, and
                whether empty values are left out.
        """
        self._make = make
        self._made: WeakKeyDictionary[Series, dict[Constants, Made]] = WeakKeyDictionary()
        self._lock = threading.Lock()  # two scrapes may render at once

    def __len__(self) -> int:
        """Return the number of Series with labels here."""
        return len(self._made)

    def of(self, series: Series, constants: Constants, end: int | None = None) -> Made:
        """Return the labels of a series.

        Args:
            series: the series.
            constants: the constant labels, by name and value.
            end: labels of the rows before this one are enough; None: all rows.
        """
        with self._lock:
            by_constants = self._made.setdefault(series, {})
            made = by_constants.get(constants)
            if made is None:
                made = self._make(series.names, constants, series.is_sparse)
                by_constants[constants] = made
            made.extend(series.values, end)
            return made
