# SPDX-License-Identifier: Apache-2.0
"""Figures as a markdown table, with what they were measured on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyperf

from benchmarks.contender import Group

LIBRARIES = (
    *("shmetrics", "prometheus_client", "oslo.messaging", "oslo.metrics"),
    *("opentelemetry-sdk", "pyperf", "Cython"),
)


def amount(value: float, unit: str) -> str:
    """Three significant digits, in a unit that suits them."""
    steps = {
        "second": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
        "byte": ((1024.0**2, "MiB"), (1024.0, "KiB"), (1.0, "B")),
    }[unit]
    size, name = next(((s, n) for s, n in steps if abs(value) >= s), steps[-1])
    scaled = value / size
    digits = max(0, 3 - len(str(int(abs(scaled)))))
    return f"{scaled:.{digits}f} {name}"


def row(
    title: str, values: tuple[float, ...], unit: str, one: float | None, floor: float | None
) -> str:
    middle = statistics.median(values)
    low, high = min(values), max(values)
    if len(values) >= 4:
        low, _, high = statistics.quantiles(values, n=4)
    half = f"{amount(low, unit)} - {amount(high, unit)}"
    cells = [title, amount(middle, unit), half, amount(min(values), unit)]
    if floor is not None:
        cells.append(amount(middle - floor, unit) if middle != floor else "")
    cells.append(f"{middle / one:.2f}" if one else "")
    return line(*cells)


def line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def table(
    group: Group, results: Mapping[str, pyperf.Benchmark], failures: Mapping[str, str]
) -> Iterator[str]:
    """The lines of a group's part of the report."""
    yield f"## {group.title}"
    yield ""
    yield group.note
    yield ""
    values = {key: result.get_values() for key, result in results.items()}
    medians = {key: statistics.median(found) for key, found in values.items()}
    one, floor = medians.get(group.one), medians.get("floor")
    columns = ["median", "middle half", "best", *(["above the floor"] if floor else []), "ratio"]
    yield line("", *columns)
    yield line("---", *("--:" for _ in columns))
    for contender in group.contenders:
        if contender.key in values:
            yield row(contender.title, values[contender.key], group.unit, one, floor)
        else:
            yield line(contender.title, "failed", *("" for _ in columns[1:]))
    for failure in failures.values():
        yield ""
        yield f"Failed: {failure}"
    yield ""


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine() -> str:
    """One paragraph: what everything was measured on, and how busy it was."""
    found = []
    for library in LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            continue
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{processor()}, {os.cpu_count()} cores; {platform.system()} {platform.release()}; "
        f"CPython {platform.python_version()}; {'; '.join(found)}. Load before the run: {load}."
    )
