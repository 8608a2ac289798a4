# SPDX-License-Identifier: Apache-2.0
"""What the collector counts about its own work, kept in the store beside what it is told.

A restart goes on with these counts, so that nothing is missed that happens while no collector runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.log import StoreFull

_rate_limited = RateLimitedLog(logging.getLogger(__name__))


class StoredCounter:
    """A counter of the collector's. It has to be kept somewhere before it counts."""

    def __init__(self, name: str, help: str, *label_names: str) -> None:
        """name: without the prefix and `_total`."""
        self.name = name
        self._definition = Definition(
            layout.TYPE_COUNTER, f"shmetrics_{name}", help, "", "", label_names, ()
        )
        self._stored_in: tuple[Families, Family] | None = None
        self._cells: dict[tuple[str, ...], int] = {}

    def keep_in(self, families: Families) -> None:
        """Goes on with what the store holds. Raises StoreFull."""
        self._stored_in = families, families.define_own(self._definition, is_limited=False)
        self._cells = {}
        if not self._definition.label_names:
            self.cell()  # shows that nothing was counted yet

    def cell(self, *values: str) -> int:
        """The cell of the store that counts for these label values. Raises StoreFull."""
        found = self._cells.get(values)
        if found is None:
            _, family = self._storage()
            found = self._cells[values] = family.cell(family.row(values))
        return found

    def forget(self, gone: Iterable[tuple[str, ...]]) -> None:
        """Counts for these label values no more. Raises StoreFull where the disk is full."""
        _, family = self._storage()
        rows = [family.row(values) for values in gone if not family.folds(values)]
        for row in rows:
            self._cells.pop(family.values(row), None)
        family.remove(rows)
        family.show_all()

    def labels(self, *values: str) -> CounterChild:
        return CounterChild(self, values)

    def inc(self, amount: float = 1.0, values: tuple[str, ...] = ()) -> None:
        """Counts. If these label values are new and there is no room at all, the log has it: what
        is counted happens all the same."""
        try:
            self._cell_view(values)[0] += amount
        except StoreFull as error:
            _rate_limited.warning(self.name, f"{self.name} {values} cannot be counted: {error}")

    def set_total(self, total: float) -> None:
        """What is counted elsewhere, as exactly."""
        self._cell_view(())[0] = total

    def _cell_view(self, values: tuple[str, ...]) -> npt.NDArray[np.float64]:
        families, _ = self._storage()
        cell = self.cell(*values)
        return families.store.cells[cell : cell + 1].view(np.float64)

    def _storage(self) -> tuple[Families, Family]:
        if self._stored_in is None:
            raise RuntimeError(f"{self._definition.name} is not kept anywhere yet")
        return self._stored_in


class CounterChild:
    """A count with its label values."""

    def __init__(self, counter: StoredCounter, values: tuple[str, ...]) -> None:
        self._counter = counter
        self._values = values

    def inc(self, amount: float = 1.0) -> None:
        self._counter.inc(amount, self._values)
