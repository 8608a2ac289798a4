# SPDX-License-Identifier: Apache-2.0
"""The instruments of the gatherer: one for each family of units, and those about itself."""

from __future__ import annotations

from typing import Any, Final

from shmetrics import Counter, Gauge, Histogram, ObservedCounter
from shmetrics.units.families import FAMILIES, Family
from shmetrics.units.unit import Unit

#: The labels of every series of a unit: cAdvisor's, and two of our own.
LABELS: Final = ("id", "name", "image", "unit", "kind")
#: What else state files say of a unit, in the family of its info.
INFO: Final = ("namespace", "pod", "container", "uuid", "uid")

# A gauge is the same in whichever gatherer reads it, and leaves with its gatherer.
_MODE: Final = "livemax"
_SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def labels_of(unit: Unit) -> tuple[str, ...]:
    """Return the label values of a unit, in the order of LABELS."""
    said = unit.labels
    return _text(unit.id), said.get("name", ""), said.get("image", ""), _text(unit.name), unit.kind


def _text(path: str) -> str:
    """Return a path as text that can be written as UTF-8: a file may have any bytes as its name."""
    return (
        path if path.isascii() else path.encode(errors="surrogateescape").decode(errors="replace")
    )


class Instruments:
    """All instruments of the gatherer.

    Attributes:
        of_units: by the names of the families of units.
        info: the state files' labels of each unit.
        units: how many units there are, by kind.
        reads_failed: files that gave no value, by reason.
        seconds: how long each part of a pass took.
        skipped: passes that were due and not made.
        failed: what a pass could not record: a unit, or a part.
    """

    def __init__(self) -> None:
        self.of_units: dict[str, Any] = {family.name: _instrument(family) for family in FAMILIES}
        self.info = Gauge(
            *("shmetrics_unit_info", "A unit, and what state files say of it; always 1"),
            (*LABELS, *INFO),
            multiprocess_mode=_MODE,
        )
        self.units = Gauge("shmetrics_units", "Units", ["kind"], multiprocess_mode=_MODE)
        self.reads_failed = Counter(
            "shmetrics_unit_reads_failed", "Files of units that gave no value", ["reason"]
        )
        self.seconds = Histogram(
            "shmetrics_gather_seconds", "Time of a pass, by part", ["part"], buckets=_SECONDS
        )
        self.skipped = Counter(
            "shmetrics_gather_skipped", "Passes that were due and not made, as in a suspend"
        )
        self.failed = Counter(
            "shmetrics_gather_failed", "Units and parts of passes that could not be recorded"
        )

    def count_failure(self, reason: str) -> None:
        """Count one file of a unit that gave no value."""
        self.reads_failed.labels(reason).inc()


def _instrument(family: Family) -> Any:
    labels = (*LABELS, *family.labels)
    if family.is_counter:
        return ObservedCounter(family.name, family.help, labels)
    return Gauge(family.name, family.help, labels, multiprocess_mode=_MODE)
