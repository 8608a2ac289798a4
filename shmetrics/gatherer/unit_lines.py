# SPDX-License-Identifier: Apache-2.0
"""Numbers of units as metric lines to deliver, as OpenShift sent it to syslog. Examples:

    type=metric unit=web.service kind=systemd container_processes=3 container_threads=5
    type=metric appName=A gear=G app=U ns=N quota.blocks.used=920 quota.blocks.limit=1048576

The keys are the names that /metrics has, with the values of labels behind them; those of quotas are
OpenShift's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from shmetrics.gatherer.lines import Lines
from shmetrics.gatherer.owners import Owners
from shmetrics.lines.line import Line, Metric, name_of
from shmetrics.units.unit import Unit


class Numbers(Protocol):
    """A source of numbers of units."""

    def numbers(self, id: str) -> Iterable[tuple[str, float]]:
        """Return the numbers of the last pass of a unit, by the keys that they have in lines."""


class UnitLines:
    """The lines of all units. It follows each pass over units."""

    part = "unit_lines"

    def __init__(self, sources: Sequence[Numbers], lines: Lines, owners: Owners) -> None:
        """Set what is delivered.

        Args:
            sources: have the numbers.
            lines: delivers the lines.
            owners: knows what is known of a unit.
        """
        self._sources = sources
        self._lines = lines
        self._owners = owners

    def record(self, units: Mapping[str, Unit]) -> None:
        """Deliver the numbers of these units."""
        for path, unit in units.items():
            metrics = tuple(
                Metric(name_of(key), key, _text(value), value)
                for source in self._sources
                for key, value in source.numbers(path)
            )
            if metrics:
                self._lines.deliver(self._owners.of(unit), Line(metrics, {}))


def _text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
