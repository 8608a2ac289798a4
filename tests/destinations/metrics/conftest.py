# SPDX-License-Identifier: Apache-2.0
"""A clock that is set by tests, and destinations whose snapshots they take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import rmtree

import pytest

from shmetrics.config import MetricsForward
from shmetrics.destinations.metrics.metrics_destinations import MetricsDestinations
from shmetrics.forwarding.report import Report
from shmetrics.tables.table import Table
from tests.servers.processes import until
from tests.servers.scripted import Scripted

from .scraped import NODE, SECONDS


class Driven:
    """Destinations whose time stands still between two snapshots."""

    def __init__(self, *settings: MetricsForward, begin_ns: int) -> None:
        self.time_ns = begin_ns
        self._step_ns = int(min(one.interval_seconds for one in settings) * 10**9)
        self._skipped = 0.0

        self._monotonic = lambda: time.monotonic() + self._skipped
        self.destinations = MetricsDestinations(
            settings, NODE, self._monotonic, lambda: self.time_ns
        )

    def take(self, tables: Sequence[Table]) -> int:
        """Send the tables to all, and return the time that they show, in nanoseconds."""
        self.time_ns += self._step_ns
        self._skipped += self._step_ns / 1e9
        self.destinations.take(lambda: tables)
        assert self.destinations.wait(SECONDS)
        return self.time_ns

    @property
    def report(self) -> Report:
        """Return the report of the first destination."""
        return self.destinations.reports()[0]

    def arrives(self) -> Report:
        """Wait until nothing waits, and return the report of the first destination."""
        until(
            lambda: not any(one.counts.waiting for one in self.destinations.reports()),
            lambda: str(self.destinations.reports()),
            SECONDS,
        )
        return self.report


@pytest.fixture
def driven() -> Iterator[Callable[..., Driven]]:
    """Yield `driven(*settings, begin_ns=...)`, which begins with these destinations."""
    started: list[Driven] = []

    def begin(*settings: MetricsForward, begin_ns: int = 1_700_000_000 * 10**9) -> Driven:
        started.append(Driven(*settings, begin_ns=begin_ns))
        return started[-1]

    yield begin
    for one in started:
        one.destinations.close(seconds=0.0)


@pytest.fixture
def peer() -> Iterator[Scripted]:
    """Yield an HTTP server that takes everything, or does what a test says."""
    server = Scripted()
    yield server
    server.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder with a short path, for sockets."""
    found = Path(tempfile.mkdtemp(prefix="shm-"))
    yield found
    rmtree(found)
