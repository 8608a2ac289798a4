# SPDX-License-Identifier: Apache-2.0
"""The plan of what is read of a unit, and where each number goes: one for all that are alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from shmetrics.units._files import BLKIO_BYTES, BLKIO_COUNTS, IO_STAT, KEYED, Form
from shmetrics.units.families import BY_NAME, USAGE, WORKING_SET
from shmetrics.units.measures import FILES, File, Value

_DEVICES: Final = (BLKIO_BYTES, BLKIO_COUNTS, IO_STAT)


class Slot(NamedTuple):
    """A place in the array of values: the series that its number belongs to."""

    family: str
    labels: tuple[str, ...] = ()


class Plan(NamedTuple):
    """The files that are read of a unit.

    Attributes:
        files: the files, in the order in which they are read.
        slots: by place, first those of counters.
        form: the same for the binding.
        has_devices: whether one of the files has rows of devices.
    """

    files: tuple[File, ...]
    slots: tuple[Slot, ...]
    form: Form
    has_devices: bool

    def place(self, family: str) -> int | None:
        """Return the place of a family without labels of its own, None if it is not read."""
        slot = Slot(family)
        return self.slots.index(slot) if slot in self.slots else None


@lru_cache(maxsize=64)
def plan_of(keys: frozenset[str], controllers: frozenset[str]) -> Plan:
    """Return what is read of a unit.

    Args:
        keys: what its directories are called.
        controllers: those of v2 that are switched on for it.
    """
    there = [
        file
        for file in FILES
        if file.key in keys and (not file.controller or file.controller in controllers)
    ]
    files = list(_without_doubles(there))
    slots = [Slot(value.family, value.labels) for file in files for value in file.values]
    slots.sort(key=lambda slot: not BY_NAME[slot.family].is_counter)  # stable
    places = {slot: place for place, slot in enumerate(slots)}
    counters = sum(BY_NAME[slot.family].is_counter for slot in slots)
    rest = None
    if Slot(WORKING_SET) in places and Slot(USAGE) in places:
        rest = places[Slot(WORKING_SET)], places[Slot(USAGE)]
    form = Form([_line(file, places) for file in files], counters, rest)
    has_devices = any(file.form in _DEVICES for file in files)
    return Plan(tuple(files), tuple(slots), form, has_devices)


def _without_doubles(files: Iterable[File]) -> Iterator[File]:
    """Yield files without the numbers that a file before them has, and not those with nothing."""
    taken: set[str] = set()
    has_devices: set[str] = set()
    for file in files:
        if file.form in _DEVICES:
            if not has_devices or file.key in has_devices:
                has_devices.add(file.key)
                yield file
            continue
        new = tuple(value for value in file.values if value.family not in taken)
        if new == file.values or (new and file.form == KEYED):
            taken.update(value.family for value in new)
            yield file._replace(values=new)


def _line(file: File, places: dict[Slot, int]) -> tuple[int, list[bytes], list[int], list[float]]:
    def place(value: Value) -> int:
        return places[Slot(value.family, value.labels)]

    return (
        file.form,
        [value.key for value in file.values],
        [place(value) for value in file.values],
        [value.divisor for value in file.values],
    )
