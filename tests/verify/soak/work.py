# SPDX-License-Identifier: Apache-2.0
"""The work of an emitting process of the soak: events of every kind, each written down in its book.

What the n-th event of a column is follows from n alone, so that the totals follow from the counts:
see totals.py, which is the other half of this file.
"""

from __future__ import annotations

import contextlib
import logging
import random
import sys
from collections.abc import Callable

import shmetrics
from shmetrics import _ring
from tests.verify.soak import remains
from tests.verify.soak.book import (
    COLUMNS,
    DROPPED,
    ERRORS,
    FIRST,
    LANE,
    MOVES,
    SPILLED,
    SURE,
    VISITS,
    Book,
    Column,
)

COMMON = "everybody"
BOUNDS = (1.0, 4.0)
EXCEPTIONS = (None, "KeyError", "ValueError")
MOST_OPEN = 4  # calls at a time, on each series

# More than a first lane has room for, and no more than the one after it has.
HOSTS = tuple(f"{n:03}" + "x" * 400 for n in range(180))

# A child ends a call of its parent's on purpose.
logging.getLogger("shmetrics").addFilter(
    lambda record: "in a process that did not start it" not in record.getMessage()
)

# How often each kind comes in a round; gauges are rare in a service, and expensive to mistake.
WEIGHTS = {"job": 16, "size": 12, "start": 8, "end": 8, "visit": 16}


class Work:
    """The instruments of one process. do() makes the next event of a column.

    Args:
        first_visits: the number of visits before it has a lane.
    """

    def __init__(self, book: Book, topic: str, first_visits: int = sys.maxsize) -> None:
        self._first_visits = first_visits
        self._labels = {"own": topic, "common": COMMON}
        self._open: dict[str, list[_ring.OpenCall]] = {"own": [], "common": []}
        self._acts = [self._act(column) for column in COLUMNS]
        self.take(book)

    def take(self, book: Book) -> None:
        """From now on this is the process's book: it begins, or is a child that was forked."""
        self.book = book
        self._kept = 0  # the lane that has a second name
        for calls in self._open.values():
            calls.clear()

    def do(self, column: int) -> None:
        cells, at = self.book.cells, FIRST + 2 * column
        n = cells[at]
        cells[at] = n + 1
        self._acts[column](n)
        cells[at + 1] = n + 1

    def round(self, rng: random.Random) -> list[int]:
        """Columns in some order, to do again and again: calls begin as often as they end."""
        columns = [
            n for n, column in enumerate(COLUMNS) for _ in range(WEIGHTS.get(column.kind, 1))
        ]
        rng.shuffle(columns)
        return columns

    def do_all(self, columns: list[int]) -> None:
        """The next events of these columns, of those that can be now."""
        for column in columns:
            if self._can(column):
                self.do(column)

    def _can(self, column: int) -> bool:
        """A call can end once it has begun; and only so many are open."""
        kind, whose = COLUMNS[column]
        if kind == "visit":
            return self.has_lane or self.book.cells[FIRST + 2 * column] < self._first_visits
        if kind == "end":
            return bool(self._open[whose])
        return kind != "start" or len(self._open[whose]) < MOST_OPEN

    @property
    def has_lane(self) -> bool:
        """As of the last note()."""
        return self.book.cells[LANE] != 0

    def note(self) -> bool:
        """Writes down how the process stands; whether it has a lane with all its events."""
        status = _ring.process_status()
        dropped = dict(status.get("dropped", {}))
        dropped.pop("foreign_call", None)  # a child tries that on purpose
        cells = self.book.cells
        cells[SPILLED] = status.get("spilled", 0)
        cells[DROPPED] = sum(dropped.values())
        cells[ERRORS] = status["attention_errors"]
        cells[LANE] = status["lane"] if status["state"] == "registered" else 0
        self._keep_lane()
        if not status["waits"]:
            cells[SURE] = cells[FIRST + 2 * COLUMNS.index(VISITS) + 1]
        return self.has_lane and not status["waits"]

    def _keep_lane(self) -> None:
        """Keeps the file of the lane: if the process is killed, it is read, see remains.py."""
        lane, folder = self.book.cells[LANE], self.book.path.parent
        if lane not in (0, self._kept):
            has_moved, self._kept = self._kept != 0, lane
            with contextlib.suppress(FileNotFoundError):
                path = folder / "node" / "lanes" / f"{lane}.lane"  # see scene.py
                remains.keep(path, folder / "graves", self.book.path.name)
                self.book.cells[MOVES] += has_moved

    def one_open(self) -> _ring.OpenCall | None:
        """A call that is open now."""
        return self._open["own"][0] if self._open["own"] else None

    def end_in_vain(self, parents: _ring.OpenCall) -> None:
        """A child ends a call that its parent has begun."""
        CALLS.labels(self._labels["own"]).end(parents)

    # ---- the n-th event of each column ------------------------------------------------------

    def _act(self, column: Column) -> Callable[[int], None]:
        label = self._labels[column.whose]
        if column.kind == "job":
            inc = JOBS.labels(label).inc
            return lambda n: inc(1 + n % 3)
        if column.kind == "visit":
            return lambda n: VISITED.labels(HOSTS[n % len(HOSTS)]).inc()
        if column.kind == "size":
            observe = SIZES.labels(label).observe
            return lambda n: observe(n % 10)
        if column.kind in ("start", "end"):
            return self._call(CALLS.labels(label), self._open[column.whose], column.kind)
        gauge = GAUGES[column.kind]
        child = gauge.labels(label) if column.kind == "level" else gauge
        if column.kind == "floor":
            return lambda n: child.set(-n - 1)
        return lambda n: child.inc() if n % 2 else child.set(n + 1)

    def _call(
        self, calls: _ring.CallSeries, open_: list[_ring.OpenCall], kind: str
    ) -> Callable[[int], None]:
        if kind == "start":
            return lambda n: open_.append(calls.start())
        return lambda n: calls.end(open_.pop(), EXCEPTIONS[n % 3])


# First: a child declares the newest series first, and they are the ones that may have to wait.
VISITED = shmetrics.Counter("soak_visits", "Visits", ["host"])
JOBS = shmetrics.Counter("soak_jobs", "Jobs", ["topic"])
SIZES = shmetrics.Histogram("soak_size", "Sizes", ["topic"], buckets=BOUNDS)
CALLS = shmetrics.Calls("soak_rpc", "Calls", ["topic"], buckets=BOUNDS)
GAUGES = {
    "level": shmetrics.Gauge("soak_level", "Sum", ["topic"], multiprocess_mode="sum"),
    "peak": shmetrics.Gauge("soak_peak", "Most", multiprocess_mode="max"),
    "floor": shmetrics.Gauge("soak_floor", "Least", multiprocess_mode="min"),
    "living": shmetrics.Gauge("soak_living", "Sum of the living", multiprocess_mode="livesum"),
    "each": shmetrics.Gauge("soak_each", "Of each", multiprocess_mode="liveall"),
    "latest": shmetrics.Gauge("soak_latest", "The latest", multiprocess_mode="mostrecent"),
}
