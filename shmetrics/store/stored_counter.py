# SPDX-License-Identifier: Apache-2.0
"""Counters of the collector's own work, kept in the store beside those of the emitters.

A restarted collector goes on with them, so that nothing is missed that happens while none runs.
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
    """A counter of the collector's own. It counts once store_in() has given it a place."""

    def __init__(self, name: str, help: str, *label_names: str) -> None:
        """Begin without a place.

        Args:
            name: its name, without the prefix `shmetrics_` and the suffix `_total`.
            help: its help text.
            label_names: its label names.
        """
        self.name = name
        self._definition = Definition(
            layout.TYPE_COUNTER, f"shmetrics_{name}", help, "", "", label_names, ()
        )
        self._stored_in: tuple[Families, Family] | None = None
        self._cells: dict[tuple[str, ...], int] = {}

    def store_in(self, families: Families) -> None:
        """Count in these families' store from now on, where earlier collectors have stopped.

        Raises:
            StoreFull: the store has no room for the counter.
        """
        self._stored_in = families, families.define_own(self._definition, is_limited=False)
        self._cells = {}
        if not self._definition.label_names:
            self.cell()  # so that it is shown as 0 before anything was counted

    def cell(self, *values: str) -> int:
        """Return the index of the cell that counts for these label values. Raises StoreFull."""
        cell = self._cells.get(values)
        if cell is None:
            _, family = self._storage()
            cell = self._cells[values] = family.cell(family.row(values))
        return cell

    def forget(self, gone: Iterable[tuple[str, ...]]) -> None:
        """Remove the series of these label values. Raises StoreFull if the disk is full."""
        _, family = self._storage()
        rows = [family.row(values) for values in gone if not family.folds(values)]
        for row in rows:
            self._cells.pop(family.values(row), None)
        family.remove(rows)
        family.show_all()

    def labels(self, *values: str) -> CounterChild:
        """Return the counter with these label values."""
        return CounterChild(self, values)

    def inc(self, amount: float = 1.0, values: tuple[str, ...] = ()) -> None:
        """Add to the total of these label values.

        If they are new and the store has no room for them, this is logged instead of raised: the
        event that is counted happens all the same.
        """
        try:
            self._cell_view(values)[0] += amount
        except StoreFull as error:
            _rate_limited.warning(self.name, f"{self.name} {values} cannot be counted: {error}")

    def set_total(self, total: float) -> None:
        """Set the total of a counter without labels that is counted exactly elsewhere."""
        self._cell_view(())[0] = total

    def _cell_view(self, values: tuple[str, ...]) -> npt.NDArray[np.float64]:
        """Return a view of the cell of these label values, (1,), float64. Raises StoreFull."""
        families, _ = self._storage()
        cell = self.cell(*values)
        return families.store.cells[cell : cell + 1].view(np.float64)

    def _storage(self) -> tuple[Families, Family]:
        """Return the families and the family in which it is kept.

        Raises RuntimeError before store_in().
        """
        if self._stored_in is None:
            raise RuntimeError(f"{self._definition.name} is not kept anywhere yet")
        return self._stored_in


class CounterChild:
    """A stored counter with label values."""

    def __init__(self, counter: StoredCounter, values: tuple[str, ...]) -> None:
        """Refer to a counter with these label values."""
        self._counter = counter
        self._values = values

    def inc(self, amount: float = 1.0) -> None:
        """Add to the total, see StoredCounter.inc()."""
        self._counter.inc(amount, self._values)
