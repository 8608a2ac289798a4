# SPDX-License-Identifier: Apache-2.0
"""What is made once per series, and kept for as long as the series lives.

Between two scrapes a series changes its numbers only, so its labels are made when it first shows
up, and copied from then on.
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
        """Takes in the rows up to end, all if it is None, that were added since the last time."""


Made = TypeVar("Made", bound=Labels)


class LabelCache(Generic[Made]):
    """The labels of every Series, in one format. make: of no rows yet, from the names of the
    labels and the constant ones."""

    def __init__(self, make: Callable[[tuple[str, ...], Constants], Made]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Series, dict[Constants, Made]] = WeakKeyDictionary()
        self._lock = threading.Lock()  # two scrapes may render at once

    def __len__(self) -> int:
        """Of how many Series there are labels."""
        return len(self._made)

    def of(self, series: Series, constants: Constants, end: int | None = None) -> Made:
        """The labels of the rows that series has now; of those up to end at least."""
        with self._lock:
            by_constants = self._made.setdefault(series, {})
            made = by_constants.get(constants)
            if made is None:
                made = by_constants[constants] = self._make(series.names, constants)
            made.extend(series.values, end)
            return made
