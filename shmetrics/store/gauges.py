# SPDX-License-Identifier: Apache-2.0
"""Gauges over processes: the living are read from their lanes, the dead kept in the store.

A gauge's multiprocess_mode says what becomes of the values that different processes have for the
same labels, and whether a dead process still counts. A value that is not finite counts as long as
its process lives: what a dead one leaves to a sum, a minimum or a maximum is a number that later
ones can change, or it is counted as lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.store.definitions import Refusal
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.log import StoreFull
from shmetrics.store.shares import NOBODY

_COMBINED = frozenset(("sum", "min", "max"))  # what all processes say together

Add = Callable[["GaugeValue", int], None]
"""Adds a gauge's value to a cell of the store or, if it is not finite, counts it there: once,
however often it is called."""


class GaugeValue(NamedTuple):
    """One process's gauge. pid: the label, see pid_label. moment: when it was set, see boot.moment,
    if the mode needs that. series: its id in the process's lane."""

    family: Family
    values: tuple[str, ...]
    pid: str
    value: float
    moment: int
    series: int = 0


def per_process(definition: Definition) -> bool:
    """True if every process has a series of its own, told apart by `pid`."""
    return definition.mode.endswith("all")


def pid_label(pid: int, lane_id: int) -> str:
    """What tells a process apart: its pid or, if the kernel does not say that, its lane's number.

    It says 0 of every process whose PID namespace it cannot see into, as in most containers.
    """
    return str(pid) if pid else f"lane-{lane_id}"


class Gauges:
    """The gauge families. Their rows in the store hold what dead processes leave behind.

    A row without a moment holds nothing.
    """

    def __init__(self, families: Families) -> None:
        self._families = families
        # What dead processes left: the series, by the pid.
        self._left_by_pid: dict[str, set[tuple[Family, tuple[str, ...]]]] = {}
        for family in families:
            if family.definition.type == layout.TYPE_GAUGE:
                self._restore(family)

    def _restore(self, family: Family) -> None:
        if family.definition.mode in _COMBINED:
            for cells in family.all_cells():  # other versions kept what is not finite
                cells[~np.isfinite(cells[:, layout.CELL_VALUE].view(np.float64))] = 0
        elif per_process(family.definition):
            for values in family.series.values:
                self._left_by_pid.setdefault(values[-1], set()).add((family, values))

    def define(self, definition: Definition, owner: int = NOBODY) -> Family | Refusal:
        """The node's family; as an emitter defines it but for the `pid` label."""
        if not per_process(definition):
            return self._families.define(definition, owner)
        if "pid" in definition.label_names:
            return Refusal("bad_label_name", f"{definition.name}: label pid is the collector's")
        return self._families.define(
            definition._replace(label_names=(*definition.label_names, "pid")), owner
        )

    def begin(self, pid: str) -> None:
        """A process has this pid now: what an earlier one left under it goes."""
        for family, values in self._left_by_pid.pop(pid, ()):
            if not family.folds(values):  # it may have been idle, and have left
                family.cells(family.row(values))[layout.CELL_STAMP] = 0

    def retire(
        self, values: Iterable[GaugeValue], add: Add, bad_values: int, owner: int = NOBODY
    ) -> int:
        """Takes over what a dead process's gauges said. How many found no room in the store.

        bad_values: the cell of the store that counts what is left out because it is no number that
        others can change. owner: whose the process was, see shares.py. But for what add does, all
        may be done again after a kill.
        """
        lost = 0
        for found in values:
            mode = found.family.definition.mode
            if mode in _COMBINED and not math.isfinite(found.value):
                add(found, bad_values)
            elif not mode.startswith("live"):
                try:
                    self._keep(found, add, owner)
                except StoreFull:
                    lost += 1
        return lost

    def _keep(self, found: GaugeValue, add: Add, owner: int) -> None:
        """Puts the value of a dead process together with what its row in the store has. add, owner:
        as in retire(). Raises StoreFull if there is no room for the row."""
        labels = labels_of(found)
        row = found.family.counted_row(labels, owner)
        cells = found.family.cells(row)
        mode = found.family.definition.mode
        if mode == "sum":
            add(found, found.family.cell(row) + layout.CELL_VALUE)
        else:
            stored = cells.view(np.float64)
            kept = found.value, found.moment
            if cells[layout.CELL_STAMP] != 0:
                before = float(stored[layout.CELL_VALUE]), int(cells[layout.CELL_STAMP])
                kept = _merge(mode, before, kept)
            stored[layout.CELL_VALUE] = kept[0]
        cells[layout.CELL_STAMP] = max(found.moment, int(cells[layout.CELL_STAMP]), 1)
        if per_process(found.family.definition) and not found.family.folds(labels):
            self._left_by_pid.setdefault(found.pid, set()).add((found.family, labels))

    def collect(self, family: Family, living: Iterable[GaugeValue]) -> dict[tuple[str, ...], float]:
        """The family's values now, by label values."""
        mode = family.definition.mode.removeprefix("live")
        found: dict[tuple[str, ...], tuple[float, int]] = {}
        for values, cells in zip(family.series.values, family.rows(), strict=True):
            if cells[layout.CELL_STAMP] != 0:
                value = float(cells.view(np.float64)[layout.CELL_VALUE])
                found[values] = (value, int(cells[layout.CELL_STAMP]))
        for one in living:
            labels = labels_of(one)
            ours = (one.value, one.moment)
            before = found.get(labels)
            found[labels] = ours if before is None else _merge(mode, before, ours)
        return {labels: value for labels, (value, _) in found.items()}


def sum_per_process(values: Iterable[GaugeValue]) -> list[GaugeValue]:
    """What gauges that label rules have given the same labels say together.

    Of those that have a series per process it is the sum; the other modes say it for all processes.
    """
    found = []
    sums: dict[tuple[Family, tuple[str, ...]], GaugeValue] = {}
    for one in values:
        if per_process(one.family.definition):
            before = sums.get((one.family, one.values))
            value = one.value if before is None else before.value + one.value
            sums[one.family, one.values] = one._replace(value=value)
        else:
            found.append(one)
    return [*found, *sums.values()]


def labels_of(found: GaugeValue) -> tuple[str, ...]:
    """Its label values in the node's family."""
    if per_process(found.family.definition):
        return (*found.values, found.pid)
    return found.values


def _merge(mode: str, one: tuple[float, int], other: tuple[float, int]) -> tuple[float, int]:
    """Two values of one series. What is no number is neither least nor greatest, as in PromQL. With
    `all` a pid was used again: the later one counts."""
    if mode == "sum":
        return one[0] + other[0], max(one[1], other[1])
    if mode == "min":
        return min(one, other, key=lambda found: (math.isnan(found[0]), found[0]))
    if mode == "max":
        return max(one, other, key=lambda found: (not math.isnan(found[0]), found[0]))
    if mode == "mostrecent":
        return max(one, other, key=lambda found: found[1])
    return other
