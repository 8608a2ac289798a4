# SPDX-License-Identifier: Apache-2.0
"""The real server in front of a fake collector, whose data a test sets."""

import asyncio
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from shmetrics.collector.web_service import WebService
from shmetrics.config import Config, Web
from shmetrics.config.address import Address
from shmetrics.http import access_rules
from shmetrics.tables.table import Series, Table
from tests.nodes.node import node

__all__ = ["node"]

BOUNDS = (0.01, 0.1, 1.0)
LABELS = ("topic", "method", "process")


def call_tables(family: str, rows: list[tuple[tuple[str, ...], list[int]]]) -> list[Table]:
    """Make the tables of a family of calls. A row: labels; starts, ends, and four buckets."""
    series = Series(LABELS)
    for values, _ in rows:
        series.append(values)
    cells = np.array([cells for _, cells in rows], np.uint64).reshape(len(rows), 6)
    return [
        Table(f"{family}_invocation_start", "counter", "begun", series, values=cells[:, 0]),
        Table(f"{family}_invocation_end", "counter", "ended", series, values=cells[:, 1]),
        Table(
            f"{family}_processing_seconds", "histogram", "duration", series, "seconds",
            bounds=BOUNDS, buckets=cells[:, 2:], sums=cells[:, 1].astype(np.float64) / 2,
        ),
    ]  # fmt: skip


@dataclass
class FakeSource:
    """A collector with the data that it was given; it keeps a record of what it is told."""

    the_tables: list[Table] = field(default_factory=list)
    the_lanes: list[dict[str, object]] = field(default_factory=list)
    the_calls: list[dict[str, object]] = field(default_factory=list)
    the_failed_calls: list[dict[str, object]] = field(default_factory=list)
    the_destinations: list[dict[str, object]] = field(default_factory=list)
    the_health: tuple[bool, str] = (True, "draining")
    the_readiness: tuple[bool, str] = (True, "ready")
    scrapes: list[tuple[float, int]] = field(default_factory=list)
    renderings: int = 0
    families_left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    reloads: list[str] = field(default_factory=list)

    def drain(self) -> None:
        pass

    def tables(self, native: bool = False) -> list[Table]:
        return self.the_tables

    def lanes(self) -> list[dict[str, object]]:
        return self.the_lanes

    def calls(self) -> list[dict[str, object]]:
        return self.the_calls

    def failed_calls(self) -> list[dict[str, object]]:
        return self.the_failed_calls

    def healthy(self) -> tuple[bool, str]:
        return self.the_health

    def ready(self) -> tuple[bool, str]:
        return self.the_readiness

    def scraped(self, seconds: float, size_bytes: int) -> None:
        self.scrapes.append((seconds, size_bytes))

    def rendered(self) -> None:
        self.renderings += 1

    def left_out(self, escaping: str, families: Mapping[str, str]) -> None:
        self.families_left_out[escaping] = dict(families)

    def refused(self, reason: str) -> None:
        self.refusals[reason] += 1

    def reloaded(self, result: str) -> None:
        self.reloads.append(result)


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Running:
    """A server in a thread with an event loop of its own."""

    def __init__(self, source: FakeSource, address: Address, limits: Web, web_config: str) -> None:
        config = Config(
            listen=str(address),
            constant_labels={"hostname": "node-1"},
            web=limits,
            web_config=web_config,
        )
        service = WebService(source, config, source, destinations=lambda: source.the_destinations)
        self.server = service.server
        self._thread = threading.Thread(target=lambda: asyncio.run(service.serve()))
        self._thread.start()

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        host, _, port = self.server.url.removeprefix("http://").rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=60)
        try:
            connection.request(
                method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def end(self) -> None:
        self.server.stop()
        self._thread.join()
        self.server.close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reload a web configuration file at once; test_reload.py tests the waiting."""
    monkeypatch.setattr(access_rules, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(access_rules, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start(
        source: FakeSource,
        address: Address = Address("127.0.0.1", 0),  # noqa: B008
        limits: Web = Web(),  # noqa: B008
        web_config: str = "",
    ) -> Running:
        running.append(Running(source, address, limits, web_config))
        return running[-1]

    yield start
    while running:
        running.pop().end()


@pytest.fixture
def site(source: FakeSource, run: Any) -> Running:
    """Run the server in front of source."""
    found = run(source)
    assert isinstance(found, Running)
    return found


@pytest.fixture
def rpc_tables() -> list[Table]:
    """Make tables of two processes in the same method, and one in another."""
    return call_tables(
        "oslo_messaging_rpc_client",
        [
            (("compute", "build", "a"), [5, 4, 1, 1, 2, 0]),
            (("compute", "build", "b"), [1, 1, 0, 0, 0, 1]),
            (("network", "plug", "a"), [2, 2, 2, 0, 0, 0]),
        ],
    )
