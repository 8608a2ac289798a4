# SPDX-License-Identifier: Apache-2.0
"""Generations of workers, each of which serves few requests: none leaves a series behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.node import Node
from tests.prefork.client import ask_often
from tests.prefork.gunicorn_server import PATIENCE_SECONDS, gunicorn
from tests.servers.processes import ServerProcess, until

WORKERS = 3
GENERATIONS = 100
REQUESTS_PER_WORKER = 20


@pytest.fixture
def server(node: Node, tmp_path: Path) -> Iterator[ServerProcess]:
    node.start("[store]\ndead_gauge_seconds = 1.0\n")
    options = ("--workers", str(WORKERS), "--preload", "--max-requests", str(REQUESTS_PER_WORKER))
    with gunicorn(node, tmp_path, "generations", *options) as found:
        yield found


def test_as_many_series_stay_as_workers_live(node: Node, server: ServerProcess) -> None:
    http = node.runtime_dir / "http.sock"
    workers = set[int]()

    def generations_have_passed() -> bool:
        workers.update(ask_often(http, 10 * REQUESTS_PER_WORKER))
        return len(workers - {0}) >= GENERATIONS

    until(generations_have_passed, lambda: f"{len(workers)} workers", 10 * PATIENCE_SECONDS)
    living = set[str]()

    def only_living_ones_are_left() -> bool:
        pids = {str(lane["pid"]) for lane in node.lanes()}
        found = node.samples()
        living.clear()
        living.update(pids)
        return all(
            {dict(labels)["pid"] for labels in found.of(name)} <= pids
            for name in ("requests_of_worker", "live_requests_of_worker")
        )

    until(only_living_ones_are_left, lambda: f"{living}: {node.samples()}", PATIENCE_SECONDS)
    assert len(living) <= WORKERS + 1
