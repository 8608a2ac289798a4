# SPDX-License-Identifier: Apache-2.0
"""The summary of a run: a few figures per contender, and all the words that explain them.

A summary stands for itself: a table or a plot of it needs nothing else, so that one made today can
still be shown when the benchmarks have changed.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyperf

from benchmarks.contender import Group, Unit
from benchmarks.rounds import Failures, Results

RESULTS = Path(__file__).parent / "results"
RESAMPLES = 1000
DIGITS = 5


@dataclass(frozen=True)
class Figures:
    """Of all values of a contender; low and high bound the middle half."""

    median: float
    low: float
    high: float
    best: float
    n: int


@dataclass(frozen=True)
class Difference:
    """The difference to the contender `one`, in pairs: the median, and its 95 % interval.

    times: how many times as much as `one`, in pairs as well.
    """

    median: float
    low: float
    high: float
    times: float


@dataclass(frozen=True)
class Row:
    """A contender; without figures it has failed."""

    key: str
    title: str
    figures: Figures | None = None
    difference: Difference | None = None


@dataclass(frozen=True)
class Part:
    """A group. absent: what kept all of it from running."""

    key: str
    title: str
    note: str
    unit: Unit
    one: str
    floor: str
    rows: tuple[Row, ...]
    failures: tuple[str, ...] = ()
    absent: str = ""

    def figures(self, key: str) -> Figures | None:
        return next((row.figures for row in self.rows if row.key == key), None)

    def difference(self, key: str) -> Difference | None:
        return next((row.difference for row in self.rows if row.key == key), None)


@dataclass(frozen=True)
class Verdict:
    """A target and the figure that was found, in words. met: None if it was not measured."""

    what: str
    wanted: str
    median: str = ""
    best: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Summary:
    """A run. measured: when, UTC; machine: on what; quick: only to see that it runs."""

    measured: str
    machine: str
    quick: bool
    parts: tuple[Part, ...]
    verdicts: tuple[Verdict, ...] = ()

    def part(self, key: str) -> Part | None:
        return next((part for part in self.parts if part.key == key), None)


def short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The bounds of the middle half; of fewer than four values, of all."""
    if len(values) < 4:
        return min(values), max(values)
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


def figures(values: Sequence[float]) -> Figures:
    low, high = map(short, quartiles(values))
    return Figures(short(statistics.median(values)), low, high, short(min(values)), len(values))


def difference(one: pyperf.Benchmark, other: pyperf.Benchmark) -> Difference:
    """A bootstrap in two steps, processes and then pairs: what differs between processes is no
    more certain for many values in each."""
    pairs = [
        [theirs - ours for ours, theirs in zip(mine.values, yours.values, strict=True)]
        for mine, yours in zip(one.get_runs(), other.get_runs(), strict=True)
    ]
    draw = random.Random(1)
    medians = sorted(
        statistics.median(
            found
            for run in draw.choices(pairs, k=len(pairs))
            for found in draw.choices(run, k=len(run))
        )
        for _ in range(RESAMPLES)
    )
    middle = statistics.median(found for run in pairs for found in run)
    low, high = medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
    times = statistics.median(
        theirs / ours for ours, theirs in zip(one.get_values(), other.get_values(), strict=True)
    )
    return Difference(short(middle), short(low), short(high), short(times))


def part(group: Group, results: Results, failures: Failures, absent: str = "") -> Part:
    rows = []
    for contender in group.present():
        found, more = results.get(contender.key), None
        if found and group.together and contender.key != group.one:
            more = difference(results[group.one], found)
        known = figures(found.get_values()) if found else None
        rows.append(Row(contender.key, contender.title, known, more))
    return Part(
        group.key,
        group.title,
        group.note,
        group.unit,
        group.one,
        group.floor,
        tuple(rows),
        tuple(failures.values()),
        absent,
    )


def write(summary: Summary, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n")


def read(path: Path) -> Summary:
    """Raises ValueError, with the file's name and the place in it, for what is no summary."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Summary)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}: {error}") from None
