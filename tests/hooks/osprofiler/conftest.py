# SPDX-License-Identifier: Apache-2.0
"""OSProfiler in this process, its spans in a lane of a collector of the test's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as library
from osprofiler import notifier, profiler

import shmetrics
import shmetrics.osprofiler
from shmetrics import _ring
from shmetrics.emitter import process
from shmetrics.emitter.process import registration
from shmetrics.hooks.osprofiler import driver
from tests.nodes.node import Node, node
from tests.servers.processes import until
from tests.servers.redis import Redis, lacking

__all__ = ["driver", "node"]


def leave_as_found() -> None:
    """Reset the state of OSProfiler."""
    profiler.clean()
    shmetrics.osprofiler.uninstall()
    notifier.set(notifier._noop_notifier)
    notifier.clear_notifier_cache()


@pytest.fixture(autouse=True)
def left_as_found() -> Iterator[None]:
    yield
    leave_as_found()


@pytest.fixture
def shm(node: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """Yield a collector for which this process records."""
    monkeypatch.setenv("SHMETRICS_RUNTIME_DIR", str(node.runtime_dir))
    # Thousands of series of earlier tests are not this one's to show.
    monkeypatch.setattr(process, "_all_series", list)
    node.start()
    _ring.process_detach()
    series = shmetrics.Counter("registered", "Anything")

    def registered() -> object:
        series.inc()  # once a second a process without a lane asks for one
        return shmetrics.status()["connected"]

    until(registered, lambda: str(shmetrics.status()), 30)
    yield node
    leave_as_found()
    registration.withdraw()
    _ring.process_detach()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    if lacking():
        pytest.fail(lacking())
    server = Redis(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def clustered(tmp_path: Path) -> Iterator[Redis]:
    """Yield a cluster of one server, which has all slots."""
    if lacking():
        pytest.fail(lacking())
    server = Redis(tmp_path, "--cluster-enabled", "yes")
    with library.Redis.from_url(server.url) as one:
        one.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        until(
            lambda: one.execute_command("CLUSTER INFO")["cluster_state"] == "ok",
            lambda: str(one.execute_command("CLUSTER INFO")),
            30,
        )
    yield server
    server.stop()


def without_times(found: Any) -> Any:
    """Return a report, or a part of it, without times, and with spans in the order of their ids.

    Within a millisecond, their times have no order.
    """
    if isinstance(found, dict):
        times = {"started", "finished", "timestamp", "last_trace_started", "duration"}
        return {
            key: "then" if key in times else without_times(value) for key, value in found.items()
        }
    if isinstance(found, list):
        parts = [without_times(each) for each in found]
        if all(isinstance(part, dict) and "trace_id" in part for part in parts):
            parts.sort(key=lambda part: str(part["trace_id"]))
        return parts
    return found


@pytest.fixture
def compiled(left_as_found: None) -> None:
    """Put the compiled profiler in the place of OSProfiler's own."""
    assert shmetrics.osprofiler.install()
