# SPDX-License-Identifier: Apache-2.0
"""The numbers of each unit at this moment, read once: for `shmetrics units`, and other tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isnan
from typing import NamedTuple

from shmetrics.units.device_names import name_of
from shmetrics.units.families import DEVICE_FAMILIES
from shmetrics.units.opening import controllers_of, open_files
from shmetrics.units.plan import Slot
from shmetrics.units.unit import Unit


class Reading(NamedTuple):
    """A unit, and its numbers by the families and labels that they belong to.

    Attributes:
        unit: the unit.
        values: the numbers of the unit itself.
        of_devices: those of its block devices, whose names are labels.
    """

    unit: Unit
    values: dict[Slot, float]
    of_devices: dict[Slot, float]

    def get(self, family: str) -> float | None:
        """Return the number of a family without labels of its own, None if there is none."""
        return self.values.get(Slot(family))


def read(units: Iterable[Unit]) -> Iterator[Reading]:
    """Read each unit once. What a unit does not have is left out."""
    for unit in units:
        directories = unit.directories
        opened = open_files(directories, controllers_of(directories), lambda reason: None)
        try:
            opened.files.read()
            rows = opened.files.devices() if opened.plan.has_devices else []
            values = memoryview(opened.files).cast("d").tolist()
        finally:
            opened.files.close()
        found = zip(opened.plan.slots, values, strict=True)
        of_devices = (
            (Slot(family, (name_of(row[0], row[1]),)), total)
            for row in rows
            for family, total in zip(DEVICE_FAMILIES, row[2:], strict=True)
        )
        yield Reading(unit, _there(found), _there(of_devices))


def _there(found: Iterable[tuple[Slot, float]]) -> dict[Slot, float]:
    return {slot: value for slot, value in found if not isnan(value)}
