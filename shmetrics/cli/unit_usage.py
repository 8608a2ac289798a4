# SPDX-License-Identifier: Apache-2.0
"""Usage of units, from answers of the collector, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shmetrics.tables.units import UnitRow


class Usage(NamedTuple):
    """The usage of one unit.

    Attributes:
        cores: processors that it kept busy between the last two gatherings; None: there was one.
        memory_bytes: the memory that it needs, or None.
        memory_limit_bytes: the limit of its memory, or None.
        processes: the number of its processes, or None.
    """

    kind: str
    unit: str
    cores: float | None
    memory_bytes: float | None
    memory_limit_bytes: float | None
    processes: float | None


class _Seen(NamedTuple):
    """The processor time of a unit, when it was seen first, and the cores of the time before."""

    at: float
    cpu_seconds: float
    cores: float | None


class Usages:
    """The use of units. A gatherer looks at them more seldom than we do: rates are of its looks."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def of(self, now: float, rows: Iterable[UnitRow]) -> list[Usage]:
        """Return what units use now, the busiest first.

        Args:
            now: the time of the rows, in seconds of any clock.
            rows: one row per unit.
        """
        seen: dict[str, _Seen] = {}
        found: list[Usage] = []
        for row in rows:
            seen[row.id] = one = self._look(now, row)
            found.append(
                Usage(
                    row.kind,
                    row.unit,
                    one.cores,
                    row.memory_bytes,
                    row.memory_limit_bytes,
                    row.processes,
                )
            )
        self._seen = seen
        return sorted(found, key=_busiest_first)

    def _look(self, now: float, row: UnitRow) -> _Seen:
        cpu_seconds = row.cpu_seconds or 0.0
        before = self._seen.get(row.id)
        if before is None or cpu_seconds < before.cpu_seconds:
            return _Seen(now, cpu_seconds, None)
        if cpu_seconds == before.cpu_seconds or now <= before.at:
            return before
        return _Seen(now, cpu_seconds, (cpu_seconds - before.cpu_seconds) / (now - before.at))


def _busiest_first(usage: Usage) -> tuple[float, float, str]:
    return -(usage.cores or 0.0), -(usage.memory_bytes or 0.0), usage.unit
