# SPDX-License-Identifier: Apache-2.0
"""The series of one unit: the numbers in the files of its cgroups, as totals and gauges."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import isnan
from typing import Any

from shmetrics.binding import ring
from shmetrics.gatherer.devices import DeviceSeries
from shmetrics.gatherer.instruments import INFO, Instruments, labels_of
from shmetrics.units._files import CAME_OR_WENT, SAME
from shmetrics.units.families import START_TIME
from shmetrics.units.opening import (
    Opened,
    controllers_of,
    descriptors,
    open_files,
    reason_of,
)
from shmetrics.units.plan import Slot
from shmetrics.units.unit import Unit


class CgroupSeries:
    """The series of one unit's cgroups, from its first pass to its last."""

    __slots__ = (
        *("_begins", "_children", "_controllers", "_count", "_counters", "_devices", "_gauges"),
        *("_has_devices", "_has_failed", "_info", "_instruments", "_is_reopened", "_labels"),
        "_rests",
        *("_opened", "_slots", "_start", "_totals", "_values", "unit"),
    )

    def __init__(self, unit: Unit, instruments: Instruments, is_new: bool) -> None:
        """Open the files of a unit.

        Args:
            unit: the unit.
            instruments: where its numbers go.
            is_new: whether it was not there a pass ago, so that its counters have just begun.
        """
        self._instruments = instruments
        self._labels = labels_of(unit)
        self._slots: tuple[Slot, ...] = ()
        self._children: list[Any] = []  # by place, None where there is no number
        self._start: Any = None
        self._devices = DeviceSeries(instruments.of_units, self._labels)
        self._info: tuple[str, ...] = ()
        self._begins = is_new
        self._has_failed = self._is_reopened = self._rests = False
        self._has_devices = True  # until it is known that it has none
        self.unit = unit
        self._open()
        self._describe()

    def renew(self, unit: Unit) -> None:
        """Go on with another life of the unit, or with other labels of it."""
        if labels_of(unit) != self._labels:
            self._forget()
            self._labels = labels_of(unit)
            self._devices = DeviceSeries(self._instruments.of_units, self._labels)
        self._begins = self._begins or unit.generation != self.unit.generation
        self.unit = unit
        self._opened.files.close()
        self._open()
        self._describe()

    def look_again(self) -> None:
        """Open the files again if others are there by now: controllers of v2 come and go."""
        controllers = controllers_of(self.unit.directories)
        if self._has_failed or controllers != self._controllers:
            self._is_reopened = True
            self._opened.files.close()
            self._open()

    def record(self) -> None:
        """Read all files, and record what has changed."""
        if self._has_failed:
            self.look_again()
        files = self._opened.files
        if self._rests:
            count = self._instruments.count_failure
            files.open(descriptors(self._opened.plan, self.unit.directories, count))
            self._rests = False
        self._has_failed = files.read() > 0
        rows = files.devices() if self._opened.plan.has_devices else ()
        if self._has_failed:
            for number in files.errors():
                self._instruments.count_failure(reason_of(number))
        settled = files.settle()
        if settled == CAME_OR_WENT:
            self._rearrange()
        if settled != SAME:  # what has not changed is shown already
            self._counters.set_totals(self._totals)
            levels = self._values[len(self._totals) :]
            for gauge, value in zip(self._gauges, levels, strict=True):
                if gauge is not None:
                    gauge.set(value)
        if rows or self._has_devices:
            self._devices.record(rows, self._begins)
            self._has_devices = bool(rows)
        self._begins = False

    def numbers(self) -> Iterator[tuple[Slot, float]]:
        """Yield the numbers that are there, with the series that each belongs to."""
        for slot, value in zip(self._slots, self._values, strict=True):
            if not isnan(value):
                yield slot, value

    @property
    def n_files(self) -> int:
        """Return how many descriptors it keeps from one pass to the next."""
        return len(self._opened.plan.files)

    def rest(self) -> None:
        """Close the files until the next pass: others need the descriptors."""
        self._opened.files.close()
        self._rests = True

    def close(self) -> None:
        """Close the files. The series stay as they are, until this process ends."""
        self._opened.files.close()

    def remove(self) -> None:
        """Close the files, and remove all series: the unit is gone."""
        self.close()
        self._forget()

    def _open(self) -> None:
        """Open the files. What is shown stays until they are read."""
        shown = dict(zip(self._slots, self._children, strict=True))
        self._controllers = controllers_of(self.unit.directories)
        count = self._instruments.count_failure
        self._opened: Opened = open_files(self.unit.directories, self._controllers, count)
        self._rests = False
        self._slots = self._opened.plan.slots
        self._values = memoryview(self._opened.files).cast("d")
        self._totals = self._values[: self._opened.plan.form.n_counters]
        self._has_failed = False
        self._children = [shown.pop(slot, None) for slot in self._slots]
        for slot, child in shown.items():
            if child is not None:  # nothing is read for it any more
                self._remove(slot)
        self._arrange()

    def _rearrange(self) -> None:
        """Make the series of numbers that have come, and remove those of numbers that have gone."""
        for place, value in enumerate(self._values):
            slot, child = self._slots[place], self._children[place]
            if isnan(value):
                if child is not None:
                    self._children[place] = None
                    self._remove(slot)
                continue
            begins = self._begins or (child is None and self._is_reopened)
            if child is None:
                child = self._children[place] = self._child(slot)
            if begins and place < self._opened.plan.form.n_counters:
                child.new_generation(value)
        self._is_reopened = False
        self._arrange()

    def _arrange(self) -> None:
        """Put the series together that are set together."""
        n_counters = self._opened.plan.form.n_counters
        self._counters = ring.ObservedArray(self._children[:n_counters])
        self._gauges = self._children[n_counters:]

    def _describe(self) -> None:
        """Show when the unit began, and what is known of it."""
        began = _began(self.unit)
        if began is not None:
            if self._start is None:
                self._start = self._child(Slot(START_TIME))
            self._start.set(began)
        uid = "" if self.unit.uid is None else str(self.unit.uid)
        said = {**self.unit.labels, "uid": uid}
        info = (*self._labels, *(said.get(name, "") for name in INFO))
        if self._info and info != self._info:
            self._instruments.info.remove(*self._info)
        self._info = info
        self._instruments.info.labels(*info).set(1)

    def _child(self, slot: Slot) -> Any:
        return self._instruments.of_units[slot.family].labels(*self._labels, *slot.labels)

    def _remove(self, slot: Slot) -> None:
        self._instruments.of_units[slot.family].remove(*self._labels, *slot.labels)

    def _forget(self) -> None:
        for slot, child in zip(self._slots, self._children, strict=True):
            if child is not None:
                self._remove(slot)
        self._children = [None] * len(self._children)
        if self._start is not None:
            self._start = None
            self._remove(Slot(START_TIME))
        self._devices.close()
        self._instruments.info.remove(*self._info)
        self._info = ()


def _began(unit: Unit) -> float | None:
    """Return when the cgroup of a unit was made, in Unix time, or None if it has none.

    It is the oldest change of its directories, as cAdvisor has it: the kernel keeps no other time.
    """
    times = []
    for directory in set(unit.directories.values()):
        try:
            times.append(os.stat(directory).st_mtime)
        except OSError:
            continue  # it has just gone
    return min(times) if times else None
