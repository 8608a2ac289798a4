# SPDX-License-Identifier: Apache-2.0
"""The time that all probes of one unit together may take in an interval."""

from __future__ import annotations

from collections.abc import Collection


class UnitTime:
    """The time that each unit has left. A unit gets all of it anew once per interval."""

    def __init__(self, unit_seconds: float, interval_seconds: float) -> None:
        self._unit_seconds = unit_seconds
        self._interval_ns = int(interval_seconds * 1e9)
        self._spent: dict[str, tuple[int, float]] = {}  # by unit: the interval, seconds of it

    def left_seconds(self, unit: str, now_ns: int) -> float:
        """Return how many seconds a unit has left."""
        number, spent = self._spent.get(unit, (0, 0.0))
        if number != now_ns // self._interval_ns:
            return self._unit_seconds
        return max(self._unit_seconds - spent, 0.0)

    def spend(self, unit: str, seconds: float, now_ns: int) -> None:
        """Take note that a probe of a unit has taken some time."""
        left = self.left_seconds(unit, now_ns)
        self._spent[unit] = now_ns // self._interval_ns, self._unit_seconds - left + seconds

    def keep(self, units: Collection[str]) -> None:
        """Forget all other units."""
        self._spent = {unit: spent for unit, spent in self._spent.items() if unit in units}
