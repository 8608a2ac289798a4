# SPDX-License-Identifier: Apache-2.0
"""Gauges over processes: of living ones from their lanes, of dead ones from the store.

A gauge's multiprocess_mode (as in prometheus_client) says how the values of several processes with
the same labels are combined, and whether a dead process still counts. A value that is not finite
counts as long as its process lives. What a dead process leaves to a sum, a minimum or a maximum has
to be a number that later values can change; otherwise it is counted as lost.

Where every process has a series of its own, that of a dead process leaves after a while. A
restarted collector does not know when a process died, and waits that long once more.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from shmetrics import layout
from shmetrics.definitions import Refusal, check_pid
from shmetrics.dictionary import Definition
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.series_index import OVERFLOW_ROW
from shmetrics.store.shares import NOBODY

FEW_LEFT = 64  # dead processes whose series are not looked through
_COMBINED = frozenset(("sum", "min", "max"))  # modes that compute one value of all processes

Add = Callable[["GaugeValue", int], None]
"""Adds a gauge's value to a cell of the store, or 1 if the value is not finite; only once, however
often it is called."""


class GaugeValue(NamedTuple):
    """The gauge of one process.

    Attributes:
        family: the gauge's family of the node.
        values: its label values, without `pid`.
        pid: the value of the `pid` label, see lanes/pids.py.
        value: its value.
        moment: when it was set, see boot.moment(); for modes that need it. 0: never.
        series: the series' id in the process's lane.
    """

    family: Family
    values: tuple[str, ...]
    pid: str
    value: float
    moment: int
    series: int = 0


def per_process(definition: Definition) -> bool:
    """Return whether every process has a series of its own, told apart by the label `pid`."""
    return definition.mode.endswith("all")


class _Left(NamedTuple):
    """The series that one dead process has left.

    Attributes:
        since: when it died, in seconds.
        series: the series.
    """

    since: float
    series: set[tuple[Family, tuple[str, ...]]]


class Gauges:
    """The gauge families of the node. Their rows in the store hold what dead processes have left.

    A row whose stamp is 0 holds nothing.
    """

    def __init__(
        self,
        families: Families,
        dead_seconds: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Restore what dead processes have left.

        Args:
            families: all families of the node.
            dead_seconds: the time after which the series of a dead process leave; 0 for never.
            now: returns seconds, of a clock that never goes back.
        """
        self._families = families
        self._dead_seconds = dead_seconds
        self._now = now
        self._left: dict[str, _Left] = {}  # by pid; who died first comes first
        self._most_left = FEW_LEFT
        for family in families:
            if family.definition.type == layout.TYPE_GAUGE:
                self._restore(family)

    @property
    def n_left(self) -> int:
        """Return the number of dead processes that are remembered."""
        return len(self._left)

    def _restore(self, family: Family) -> None:
        """Note series of dead processes. What only older versions kept becomes nothing: values that
        are not finite, and an overflow series."""
        if family.definition.label_names and not family.folds(family.overflow_values):
            family.cells(OVERFLOW_ROW)[:] = 0
        if family.definition.mode in _COMBINED:
            for cells in family.all_cells():  # older versions stored values that are not finite
                cells[~np.isfinite(cells[:, layout.CELL_VALUE].view(np.float64))] = 0
        elif per_process(family.definition):
            for values in family.series.values:
                self._note(values[-1], family, values)

    def _note(self, pid: str, family: Family, values: tuple[str, ...]) -> None:
        """Note a series that a dead process has left."""
        left = self._left.get(pid)
        if left is None:
            if len(self._left) >= self._most_left:
                self._forget_gone()
            left = self._left[pid] = _Left(self._now(), set())
        left.series.add((family, values))

    def _forget_gone(self) -> None:
        """Forget series that are gone otherwise: to make room, or because they were idle.

        The next look is when there are twice as many.
        """
        for pid, left in list(self._left.items()):
            left.series.difference_update([each for each in left.series if each[0].folds(each[1])])
            if not left.series:
                del self._left[pid]
        self._most_left = 2 * len(self._left) + FEW_LEFT

    def define(self, definition: Definition, owner: int = NOBODY) -> Family | Refusal:
        """Return the node's family for an emitter's definition, with the label `pid` if need be.

        Args:
            definition: the definition of an emitter.
            owner: the owner for whom it is made, see shares.py.

        Returns:
            The family, or a refusal with its reason.
        """
        if not per_process(definition):
            return self._families.define(definition, owner)
        refusal = check_pid(definition)
        if refusal is not None:
            return refusal
        return self._families.define(
            definition._replace(label_names=(*definition.label_names, "pid")), owner
        )

    def begin(self, pid: str) -> None:
        """Drop what an earlier process has left under a pid that a new process has now."""
        if pid in self._left:
            self._drop([self._left.pop(pid)])

    def check(self) -> None:
        """Remove the series of processes that have been dead for long enough."""
        if not self._dead_seconds:
            return
        before = self._now() - self._dead_seconds
        pids = itertools.takewhile(lambda pid: self._left[pid].since <= before, self._left)
        self._drop([self._left.pop(pid) for pid in list(pids)])

    def _drop(self, left: Iterable[_Left]) -> None:
        """Remove what dead processes have left."""
        leaving = self._families.leaving
        for family, values in itertools.chain.from_iterable(one.series for one in left):
            if not family.folds(values):  # else it was idle, and was removed
                row = family.row(values)
                family.cells(row)[layout.CELL_STAMP] = 0  # the overflow series has it, and stays
                leaving.add(family, row)
        leaving.remove()
        leaving.show()

    def retire(
        self, values: Iterable[GaugeValue], add: Add, bad_values: int, owner: int = NOBODY
    ) -> int:
        """Take over the gauges of a dead process.

        All of this may be repeated after a kill, because `add` does its work only once.

        Args:
            values: the gauges.
            add: adds a gauge to a cell of the store, see `Add`.
            bad_values: the cell that counts values that are left out because they are not finite.
            owner: the owner that the process counted for, see shares.py.

        Returns:
            The number of gauges for which the store had no room.
        """
        lost = 0
        for gauge in values:
            mode = gauge.family.definition.mode
            if mode in _COMBINED and not math.isfinite(gauge.value):
                add(gauge, bad_values)
            elif not mode.startswith("live"):
                lost += not self._keep(gauge, add, owner)
        return lost

    def _keep(self, gauge: GaugeValue, add: Add, owner: int) -> bool:
        """Combine the value of a dead process with the one in its row.

        Returns:
            Whether there is a row for it. It does not count in the overflow series: what gauges of
            several label sets come to means nothing.
        """
        row = gauge.family.counted_own_row(labels_of(gauge), owner)
        if row is None:
            return False
        cells = gauge.family.cells(row)
        mode = gauge.family.definition.mode
        if mode == "sum":
            add(gauge, gauge.family.cell(row) + layout.CELL_VALUE)
        else:
            stored = cells.view(np.float64)
            kept = gauge.value, gauge.moment
            if cells[layout.CELL_STAMP] != 0:
                before = float(stored[layout.CELL_VALUE]), int(cells[layout.CELL_STAMP])
                kept = _merge(mode, before, kept)
            stored[layout.CELL_VALUE] = kept[0]
        cells[layout.CELL_STAMP] = max(gauge.moment, int(cells[layout.CELL_STAMP]), 1)
        if per_process(gauge.family.definition):
            self._note(gauge.pid, gauge.family, gauge.family.values(row))
        return True

    def collect(self, family: Family, living: Iterable[GaugeValue]) -> dict[tuple[str, ...], float]:
        """Return the family's values now, by label values.

        Args:
            family: a gauge family.
            living: the gauges of living processes in this family.
        """
        mode = family.definition.mode.removeprefix("live")
        merged: dict[tuple[str, ...], tuple[float, int]] = {}
        has_left = not family.definition.mode.startswith("live")
        for values, cells in zip(family.series.values, family.rows(), strict=True):
            if has_left and cells[layout.CELL_STAMP] != 0:
                value = float(cells.view(np.float64)[layout.CELL_VALUE])
                merged[values] = (value, int(cells[layout.CELL_STAMP]))
        for gauge in living:
            labels = labels_of(gauge)
            new = (gauge.value, gauge.moment)
            before = merged.get(labels)
            merged[labels] = new if before is None else _merge(mode, before, new)
        return {labels: value for labels, (value, _) in merged.items()}

    def collect_shapes(
        self, shapes: Sequence[Family], living: Mapping[Family, Iterable[GaugeValue]]
    ) -> tuple[tuple[str, ...], dict[tuple[str, ...], float]]:
        """Return the values of several shapes of one name, combined in the mode of the newest.

        Args:
            shapes: the families, the newest first.
            living: the gauges of living processes, by family.

        Returns:
            The label names of all shapes, and the values by label values; "" is no label.
        """
        newest = shapes[0].definition
        mode = newest.mode.removeprefix("live")
        has_pid = per_process(newest)
        own = {shape: _own_names(shape.definition) for shape in shapes}
        names = tuple(dict.fromkeys(name for shape in shapes for name in own[shape]))
        names += ("pid",) * (has_pid and "pid" not in names)
        merged: dict[tuple[str, ...], tuple[float, int]] = {}

        def add(shape: Family, values: Iterable[str], pid: str, new: tuple[float, int]) -> None:
            labels = dict(zip(own[shape], values, strict=True))
            if has_pid:
                labels["pid"] = pid
            found = tuple([labels.get(name, "") for name in names])
            before = merged.get(found)
            merged[found] = new if before is None else _merge(mode, before, new)

        for shape in reversed(shapes):  # the newest has the last word
            if not newest.mode.startswith("live"):
                for values, cells in zip(shape.series.values, shape.rows(), strict=True):
                    if cells[layout.CELL_STAMP] != 0:
                        value = float(cells.view(np.float64)[layout.CELL_VALUE])
                        pid = values[-1] if per_process(shape.definition) else ""
                        kept = values[: len(own[shape])]
                        add(shape, kept, pid, (value, int(cells[layout.CELL_STAMP])))
            for gauge in living.get(shape, ()):
                add(shape, gauge.values, gauge.pid, (gauge.value, gauge.moment))
        return names, {labels: value for labels, (value, _) in merged.items()}


def _own_names(definition: Definition) -> tuple[str, ...]:
    """Return the label names of a definition, without the collector's `pid`."""
    return definition.label_names[:-1] if per_process(definition) else definition.label_names


def sum_per_process(values: Iterable[GaugeValue]) -> list[GaugeValue]:
    """Add up gauges of one process that label rules have given the same labels.

    This is for modes with a series per process; the other modes combine the values of all processes
    anyway.
    """
    combined = []
    sums: dict[tuple[Family, tuple[str, ...]], GaugeValue] = {}
    for gauge in values:
        if per_process(gauge.family.definition):
            before = sums.get((gauge.family, gauge.values))
            value = gauge.value if before is None else before.value + gauge.value
            sums[gauge.family, gauge.values] = gauge._replace(value=value)
        else:
            combined.append(gauge)
    return [*combined, *sums.values()]


def labels_of(gauge: GaugeValue) -> tuple[str, ...]:
    """Return a gauge's label values in the node's family, with `pid` if it has that."""
    if per_process(gauge.family.definition):
        return (*gauge.values, gauge.pid)
    return gauge.values


def _merge(mode: str, one: tuple[float, int], other: tuple[float, int]) -> tuple[float, int]:
    """Combine two values of one series, each with its moment.

    In `min` and `max`, NaN is neither least nor greatest, as in PromQL. In `all`, the same pid was
    used again, and the later process counts.
    """
    if mode == "sum":
        return one[0] + other[0], max(one[1], other[1])
    if mode == "min":
        return min(one, other, key=lambda valued: (math.isnan(valued[0]), valued[0]))
    if mode == "max":
        return max(one, other, key=lambda valued: (not math.isnan(valued[0]), valued[0]))
    if mode == "mostrecent":
        return max(one, other, key=lambda valued: valued[1])
    return other
