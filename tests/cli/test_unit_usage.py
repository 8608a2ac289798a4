# SPDX-License-Identifier: Apache-2.0
"""Rates of units are of the gatherer's looks, however often one asks."""

from __future__ import annotations

from shmetrics.cli.top import Look, plain
from shmetrics.cli.unit_usage import Usage, Usages
from shmetrics.figures import NARROW_SPACE
from shmetrics.tables.units import UnitRow


def row(unit: str, cpu_seconds: float | None, **more: float) -> UnitRow:
    return UnitRow("systemd", unit, f"/{unit}", cpu_seconds=cpu_seconds, **more)


def cores(usages: Usages, now: float, *rows: UnitRow) -> dict[str, float | None]:
    return {usage.unit: usage.cores for usage in usages.of(now, rows)}


def test_cores_between_two_looks_of_the_gatherer() -> None:
    usages = Usages()
    assert cores(usages, 0.0, row("a", 10.0), row("b", None)) == {"a": None, "b": None}
    assert cores(usages, 30.0, row("a", 10.0), row("b", None)) == {"a": None, "b": None}
    assert cores(usages, 60.0, row("a", 40.0), row("b", None)) == {"a": 0.5, "b": None}
    assert cores(usages, 90.0, row("a", 40.0)) == {"a": 0.5}  # until the gatherer looks again
    assert cores(usages, 120.0, row("a", 160.0)) == {"a": 2.0}


def test_a_unit_that_has_begun_again_has_no_rate_yet() -> None:
    usages = Usages()
    cores(usages, 0.0, row("a", 10.0))
    assert cores(usages, 60.0, row("a", 40.0)) == {"a": 0.5}
    assert cores(usages, 120.0, row("a", 3.0)) == {"a": None}
    assert cores(usages, 180.0) == {}
    assert cores(usages, 240.0, row("a", 5.0)) == {"a": None}


def test_the_busiest_come_first() -> None:
    usages = Usages()
    rows = [row("a", 0.0, memory_bytes=1.0), row("b", 0.0, memory_bytes=9.0), row("c", 0.0)]
    assert [usage.unit for usage in usages.of(0.0, rows)] == ["b", "a", "c"]
    rows[2].cpu_seconds = 6.0
    assert [usage.unit for usage in usages.of(60.0, rows)] == ["c", "b", "a"]


def test_units_as_plain_text() -> None:
    usage = Usage("container", "db", 0.5, 3 * 2.0**20, None, 12)
    narrow = NARROW_SPACE
    assert plain(Look([], [], [usage])).splitlines() == [
        "kind       unit  cores  memory  of  processes",
        f"container  db     0.50   3{narrow}MiB   —         12",
    ]
