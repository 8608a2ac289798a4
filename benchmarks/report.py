# SPDX-License-Identifier: Apache-2.0
"""A summary as markdown tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contender import Unit
from benchmarks.summary import Difference, Figures, Part, Row, Verdict

LIBRARIES = (
    *("shmetrics", "prometheus_client", "oslo.messaging", "oslo.metrics"),
    *("opentelemetry-sdk", "numpy", "pyperf", "Cython"),
)
UNITS: dict[Unit, tuple[tuple[float, str], ...]] = {
    "second": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "byte": ((1024.0**2, "MiB"), (1024.0, "KiB"), (1.0, "B")),
    "share": ((0.01, "%"),),
    "count": ((1.0, ""),),
}


def amount(value: float, unit: Unit) -> str:
    """Three significant digits, in a unit that suits them; all digits of a count."""
    if unit == "count":
        return f"{value:,.0f}"
    steps = UNITS[unit]
    size, name = next(((s, n) for s, n in steps if abs(value) >= s), steps[-1])
    scaled = value / size
    digits = max(0, 3 - len(str(int(abs(scaled)))))
    return f"{scaled:.{digits}f} {name}"


def span(low: float, high: float, unit: Unit) -> str:
    return f"{amount(low, unit)} - {amount(high, unit)}"


def times(value: float) -> str:
    """A ratio, with as many digits as mean anything."""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def head(first: str, *columns: str) -> Iterator[str]:
    yield line(first, *columns)
    yield line("---", *("--:" for _ in columns))


def differs(found: Difference, unit: Unit) -> str:
    share = found.times - 1
    return f"{amount(found.median, unit)} ({span(found.low, found.high, unit)}), {share:+.2%}"


def cells(part: Part, row: Row, found: Figures) -> Iterator[str]:
    one, floor = part.figures(part.one), part.figures(part.floor)
    yield amount(found.median, part.unit)
    yield span(found.low, found.high, part.unit)
    if part.unit == "share":  # it is a ratio already
        return
    yield amount(found.best, part.unit)
    if floor:
        yield amount(found.median - floor.median, part.unit) if row.key != part.floor else ""
    yield times(found.median / one.median) if one and one.median else ""
    if floor:
        yield times(found.median / floor.median)
    if any(other.difference for other in part.rows):
        yield differs(row.difference, part.unit) if row.difference else ""


def table(part: Part) -> Iterator[str]:
    """The figures of a group."""
    columns = ["median", "middle half"]
    if part.unit != "share":
        floor = part.figures(part.floor)
        columns += (
            ["best", "above the floor", "ratio", "times the floor"] if floor else ["best", "ratio"]
        )
    if any(row.difference for row in part.rows):
        columns.append("difference (95 % interval)")
    yield from head("", *columns)
    for row in part.rows:
        if row.figures:
            yield line(row.title, *cells(part, row, row.figures))
        else:
            yield line(row.title, "failed", *("" for _ in columns[1:]))


def section(part: Part) -> Iterator[str]:
    """A group's part of the report."""
    yield f"## {part.title}"
    yield ""
    if part.absent:
        yield f"Left out: {part.absent}."
    else:
        yield part.note
        yield ""
        yield from table(part)
        for failure in part.failures:
            yield ""
            yield f"Failed: {failure}"
    yield ""


def verdicts(found: Iterable[Verdict]) -> Iterator[str]:
    """Return the targets as a table: reached, not reached, or not measured."""
    yield from head("", "wanted", "median", "best", "reached")
    for each in found:
        reached = {True: "yes", False: "no", None: "not measured"}[each.met]
        yield line(each.what, each.wanted, each.median, each.best, reached)


def first_of(path: str, key: str, otherwise: str) -> str:
    """The value behind a key of a file of `key: value` lines."""
    for found in Path(path).read_text().splitlines():
        if found.startswith(key):
            return found.partition(":")[2].strip()
    return otherwise


def versions(libraries: Iterable[str]) -> Iterator[str]:
    for library in libraries:
        try:
            yield f"{library} {version(library)}"
        except PackageNotFoundError:
            continue


def machine() -> str:
    """One paragraph: what everything was measured on, and how busy it was."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    processor = first_of("/proc/cpuinfo", "model name", platform.machine())
    memory = int(first_of("/proc/meminfo", "MemTotal", "0 kB").split()[0]) / 1024**2
    return (
        f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB; {platform.system()} "
        f"{platform.release()}; CPython {platform.python_version()}; "
        f"{'; '.join(versions(LIBRARIES))}. Load before the run: {load}."
    )
