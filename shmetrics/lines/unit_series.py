# SPDX-License-Identifier: Apache-2.0
"""The series that lines of one unit have set, and which of them are no longer printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

#: The name of a family, and the values of those labels that lines have.
Key = tuple[str, tuple[str, ...]]


class _Series(NamedTuple):
    """The last line that set a series: its value, its script, and the time when it came."""

    value: float
    script: str
    run: int  # of that script
    at_seconds: float


class UnitSeries:
    """The series of a unit.

    Attributes:
        keys: the key that lines have for each name.
    """

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self._series: dict[Key, _Series] = {}
        self._runs: Counter[str] = Counter()  # that have ended, by script

    def __len__(self) -> int:
        return len(self._series)

    def value(self, key: Key) -> float | None:
        """Return the last value of a series, None if there is none."""
        found = self._series.get(key)
        return None if found is None else found.value

    def set(self, key: Key, line_key: str, value: float, script: str, now_seconds: float) -> None:
        """Take note of a value.

        Args:
            key: the series.
            line_key: the name in the line.
            value: the value.
            script: the script that has printed it; "" for none: it was pushed.
            now_seconds: the time.
        """
        self.keys[key[0]] = line_key
        self._series[key] = _Series(value, script, self._runs[script], now_seconds)

    def end_run(self, script: str) -> list[Key]:
        """Begin the next run of a script, and return what it has not printed in the one before."""
        run = self._runs[script]
        self._runs[script] += 1
        return self._left(lambda one: one.script == script and one.run != run)

    def set_before(self, seconds: float) -> list[Key]:
        """Return the series whose last line came before a time."""
        return self._left(lambda one: one.at_seconds < seconds)

    def remove(self, key: Key) -> None:
        """Forget a series."""
        del self._series[key]
        if not any(name == key[0] for name, _ in self._series):
            del self.keys[key[0]]

    def of(self, script: str | None) -> list[Key]:
        """Return the series of a script; None: all."""
        return self._left(lambda one: script in (None, one.script))

    def _left(self, is_left: Callable[[_Series], bool]) -> list[Key]:
        return [key for key, one in self._series.items() if is_left(one)]
