# SPDX-License-Identifier: Apache-2.0
"""The endpoint that oslo.messaging's threads call: each event is written, then acknowledged."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from shmetrics.sources.notifications import listener as module
from shmetrics.sources.notifications.listener import Endpoint
from shmetrics.traces.reader import Query
from shmetrics.traces.store import Limits
from shmetrics.traces.traces import Traces
from tests.servers.processes import until

from .test_payload import GOOD

SECONDS = 60.0


def say(endpoint: Endpoint, number: int = 1) -> None:
    payload = {**GOOD, "trace_id": str(uuid.UUID(int=number))}
    endpoint.info({}, "h", "profiler.nova", payload, {})


def threads(*targets: Callable[[], object]) -> list[threading.Thread]:
    made = [threading.Thread(target=target) for target in targets]
    for thread in made:
        thread.start()
    return made


def test_many_threads_bring_the_first_of_all(tmp_path: Path) -> None:
    """Check the one store of all: there was one for each thread, and the last one's was asked."""
    traces = Traces(tmp_path / "traces.db", Limits())
    endpoint = Endpoint(traces)
    barrier = threading.Barrier(32)

    def one(number: int) -> None:
        barrier.wait(SECONDS)
        say(endpoint, number)

    for thread in threads(*(lambda number=number: one(number) for number in range(1, 33))):
        thread.join()
    traces.close()
    (trace,) = traces.find(Query())
    assert (trace.spans, endpoint.results) == (32, {"taken": 32})


def test_it_returns_once_all_is_written_whoever_else_writes(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    traces = Traces(path, Limits())
    endpoint = Endpoint(traces)
    say(endpoint, 1)
    other = sqlite3.connect(path, isolation_level=None)  # as the collector
    other.execute("BEGIN IMMEDIATE")
    (thread,) = threads(lambda: say(endpoint, 2))
    until(lambda: not traces.settle(0), lambda: "nothing to write", SECONDS)
    assert endpoint.results == {"taken": 1}
    other.execute("COMMIT")
    thread.join(SECONDS)
    assert endpoint.results == {"taken": 2}
    assert other.execute("SELECT count(*) FROM spans").fetchone() == (2,)
    other.close()
    traces.close()


def test_what_there_is_no_store_for_is_counted(tmp_path: Path) -> None:
    traces = Traces(tmp_path / "no" / "traces.db", Limits())
    endpoint = Endpoint(traces)
    say(endpoint)
    assert endpoint.results == {"not_written": 1}
    traces.close()


def test_what_is_not_osprofiler_s_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    endpoint = Endpoint(Traces(path, Limits()))
    for event in ("compute.instance.create", None, 7):
        endpoint.info({}, "h", event, GOOD, {})
    assert endpoint.results == {"foreign": 3}
    assert not path.exists()


def test_rabbitmq_is_told_how_much_to_send_at_a_time() -> None:
    limit = f"rabbit_qos_prefetch_count={module.PREFETCH}"
    assert module._bounded("rabbit://h/v") == f"rabbit://h/v?{limit}"
    assert module._bounded("rabbit://h/?ssl=1") == f"rabbit://h/?ssl=1&{limit}"
    assert module._bounded("kafka://h/") == "kafka://h/"
    chosen = "rabbit://h/?rabbit_qos_prefetch_count=5"
    assert module._bounded(chosen) == chosen
