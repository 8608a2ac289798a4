# SPDX-License-Identifier: Apache-2.0
"""A rolling restart from one release to the next, under load, before the eyes of Prometheus."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.nodes.node import Node
from tests.prefork.client import ask
from tests.prefork.gunicorn_server import PATIENCE_SECONDS, gunicorn
from tests.servers.processes import ServerProcess, until
from tests.servers.prometheus import Prometheus

WORKERS = 8

StartPrometheus = Callable[..., Prometheus]


def release_of(answer: int) -> int:
    return answer // 10**8


class Load:
    """Clients that ask without end, and remember what answered."""

    def __init__(self, server: Path, clients: int = 3) -> None:
        self._server = server
        self._is_over = threading.Event()
        self.answers: list[int] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._is_over.is_set():
            self.answers.append(ask(self._server))

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


def increase(prometheus: Prometheus, series: str) -> float:
    """Return the increase() of all samples, without its extrapolation: from 0, over every reset."""
    total = 0.0
    for found in prometheus.get("query", query=f"{series}[10m]")["result"]:
        before = 0.0
        for _, text in found["values"]:
            value = float(text)
            total += value - before if value >= before else value
            before = value
    return total


@pytest.fixture
def release(tmp_path: Path) -> Path:
    path = tmp_path / "release"
    path.write_text("1")
    return path


@pytest.fixture
def server(node: Node, release: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    node.start("[store]\nold_shape_seconds = 2.0\n")
    workers = ("--workers", str(WORKERS))
    with gunicorn(node, tmp_path, "released", *workers, RELEASE=str(release)) as found:
        yield found


def test_a_rolling_restart_loses_nothing_and_shows_nothing_twice(
    node: Node,
    server: ServerProcess,
    release: Path,
    prometheus: StartPrometheus,
    tmp_path: Path,
) -> None:
    scraping = prometheus(node.url)
    scraping.wait_for('jobs_total{queue="fast"}')
    load = Load(node.runtime_dir / "http.sock")
    try:
        scraping.wait_for("count_over_time(requests_total[1m]) >= 3")
        release.write_text("2")
        os.kill(server.pid, signal.SIGHUP)

        def is_over() -> bool:
            newest = load.answers[-4 * WORKERS :]
            return len(newest) == 4 * WORKERS and all(release_of(each) == 2 for each in newest)

        until(is_over, lambda: f"{load.answers[-20:]}", PATIENCE_SECONDS)
        # The old shape leaves, which is a reset of what changed its labels, and of nothing else.
        scraping.wait_for(
            'jobs_total{queue="fast"}',
            lambda found: [labels.get("tenant") for labels, _ in found] == ["t"],
        )
    finally:
        load.end()
    events = (tmp_path / "ledger").read_bytes().count(b"r")
    assert 0 not in load.answers
    assert {release_of(each) for each in load.answers} == {1, 2}

    def all_are_there() -> bool:
        return increase(scraping, "requests_total") >= events

    until(
        all_are_there,
        lambda: f"{increase(scraping, 'requests_total')} of {events}",
        PATIENCE_SECONDS,
    )
    assert increase(scraping, "requests_total") == events
    assert increase(scraping, "jobs_total") == events
    assert increase(scraping, "job_seconds_count") == events
    assert increase(scraping, 'job_seconds_bucket{le="+Inf"}') == events
    assert increase(scraping, 'job_seconds_bucket{le="1.0"}') == events
    assert [value for _, value in scraping.samples("newest_release")] == [2.0]
    ((_, least_up),) = scraping.samples("min_over_time(up[10m])")
    assert least_up == 1
    ((_, samples),) = scraping.samples("min_over_time(scrape_samples_scraped[10m])")
    assert samples > 0
    assert "duplicate" not in scraping.log.lower()
    assert node.samples().sum("shmetrics_refused_families_total") == 0
