# SPDX-License-Identifier: Apache-2.0
"""The series of one unit: its files are read, and its numbers become totals and gauges."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import isnan
from typing import Any

from shmetrics.binding import ring
from shmetrics.gatherer.devices import DeviceSeries
from shmetrics.gatherer.instruments import INFO, Instruments, labels_of
from shmetrics.units._files import CAME_OR_WENT, SAME
from shmetrics.units.families import BY_NAME, START_TIME
from shmetrics.units.opening import Opened, controllers_of, open_files, reason_of
from shmetrics.units.plan import Slot
from shmetrics.units.unit import Unit


class UnitSeries:
    """The series of one unit, from its first pass to its last."""

    def __init__(self, unit: Unit, instruments: Instruments, is_new: bool) -> None:
        """Open the files of a unit.

        Args:
            unit: the unit.
            instruments: where its numbers go.
            is_new: whether it was not there a pass ago, so that its counters have just begun.
        """
        self._instruments = instruments
        self._count: Callable[[str], None] = lambda why: instruments.reads_failed.labels(why).inc()
        self._labels = labels_of(unit)
        self._children: dict[Slot, Any] = {}
        self._devices = DeviceSeries(instruments.of_units, self._labels)
        self._info: tuple[str, ...] = ()
        self._begins = is_new
        self._has_failed = self._is_reopened = False
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
        self._has_failed = files.read() > 0
        rows = files.devices() if self._opened.plan.has_devices else ()
        if self._has_failed:
            for number in files.errors():
                self._count(reason_of(number))
        settled = files.settle()
        if settled == CAME_OR_WENT:
            self._rearrange()
        if settled != SAME:  # what has not changed is shown already
            self._counters.set_totals(self._totals)
            values = self._values
            for place, gauge in self._gauges:
                gauge.set(values[place])
        if rows or self._has_devices:
            self._devices.record(rows, self._begins)
            self._has_devices = bool(rows)
        self._begins = False

    def close(self) -> None:
        """Close the files. The series stay as they are, until this process ends."""
        self._opened.files.close()

    def remove(self) -> None:
        """Close the files, and remove all series: the unit is gone."""
        self.close()
        self._forget()

    def _open(self) -> None:
        """Open the files. What is shown stays until they are read."""
        self._controllers = controllers_of(self.unit.directories)
        self._opened: Opened = open_files(self.unit.directories, self._controllers, self._count)
        self._values = memoryview(self._opened.files).cast("d")
        self._totals = self._values[: self._opened.plan.form.n_counters]
        self._has_failed = False
        self._arrange()

    def _rearrange(self) -> None:
        """Make the series of numbers that have come, and remove those of numbers that have gone."""
        slots = self._opened.plan.slots
        for slot in self._children.keys() - {*slots, Slot(START_TIME)}:
            self._remove(slot)
        for slot, value in zip(slots, self._values, strict=True):
            child = self._children.get(slot)
            if isnan(value):
                if child is not None:
                    self._remove(slot)
                continue
            begins = self._begins or (child is None and self._is_reopened)
            if child is None:
                child = self._children[slot] = self._child(slot)
            if begins and BY_NAME[slot.family].is_counter:
                child.new_generation(value)
        self._is_reopened = False
        self._arrange()

    def _arrange(self) -> None:
        """Put the series in the order of the values."""
        n_counters = self._opened.plan.form.n_counters
        in_order = [self._children.get(slot) for slot in self._opened.plan.slots]
        self._counters = ring.ObservedArray(in_order[:n_counters])
        self._gauges = [
            (place, child)
            for place, child in enumerate(in_order)
            if place >= n_counters and child is not None
        ]

    def _describe(self) -> None:
        """Show when the unit began, and what is known of it."""
        began = _began(self.unit)
        slot = Slot(START_TIME)
        if began is not None:
            if slot not in self._children:
                self._children[slot] = self._child(slot)
            self._children[slot].set(began)
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
        del self._children[slot]
        self._instruments.of_units[slot.family].remove(*self._labels, *slot.labels)

    def _forget(self) -> None:
        for slot in list(self._children):
            self._remove(slot)
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
