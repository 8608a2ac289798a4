# SPDX-License-Identifier: Apache-2.0
"""The series of what a unit reads and writes, one set per block device."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import Any, TypeAlias

from shmetrics.units.device_names import name_of
from shmetrics.units.families import DEVICE_FAMILIES

#: Major and minor number, and a total for each of DEVICE_FAMILIES; NaN: none.
Row: TypeAlias = tuple[int, int, float, float, float, float]


class DeviceSeries:
    """The series of one unit for all of its devices."""

    def __init__(self, instruments: dict[str, Any], labels: tuple[str, ...]) -> None:
        """Begin without a device.

        Args:
            instruments: an observed counter for each of DEVICE_FAMILIES, by name.
            labels: the label values of the unit.
        """
        self._instruments = [instruments[name] for name in DEVICE_FAMILIES]
        self._labels = labels
        self._shown: dict[tuple[int, int], list[float]] = {}

    def record(self, rows: Iterable[Row], begins: bool) -> None:
        """Set the totals of all devices; one that is not among them leaves.

        Args:
            rows: what was read.
            begins: whether the counters of the unit have begun anew.
        """
        left = set(self._shown)
        for major, minor, *totals in rows:
            device = major, minor
            left.discard(device)
            before = self._shown.get(device)
            if before is None:
                before = self._shown[device] = [-1.0] * len(totals)
            for at, (total, least) in enumerate(zip(totals, before, strict=True)):
                if isnan(total) or (total <= least and not begins):
                    continue  # not said, not changed, or fallen: a counter does not fall
                child = self._instruments[at].labels(*self._labels, name_of(major, minor))
                if begins:
                    child.new_generation(total)
                else:
                    child.set_total(total)
                before[at] = total
        for device in left:
            self._remove(device)

    def close(self) -> None:
        """Remove the series of all devices."""
        for device in list(self._shown):
            self._remove(device)

    def _remove(self, device: tuple[int, int]) -> None:
        del self._shown[device]
        for instrument in self._instruments:
            instrument.remove(*self._labels, name_of(*device))
