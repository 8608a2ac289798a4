# SPDX-License-Identifier: Apache-2.0
"""A collector and the file of its traces: never too large, made anew, and of no wall clock."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lanes.test_spans import BASE, asked, record
from tests.nodes.node import Node
from tests.servers.processes import until

LIMIT_BYTES = 2 << 20
FLOOD = """
import uuid
from shmetrics import _ring
from shmetrics.emitter.spans import Spans

jobs = shmetrics.Counter("jobs", "Jobs")
spans = Spans("nova", "p", "h")
text = "x" * 3400
for n in range(1, 6001):
    trace = str(uuid.UUID(int=n // 10 + 1))
    spans.start("db", str(uuid.UUID(int=n + 10_000)), trace, trace, {"text": text})
    spans.stop("db", str(uuid.UUID(int=n + 10_000)), trace, trace)
    jobs.inc()
    while _ring.process_status().get("waiting", 0) > 1000:
        pass
pause("done")
"""


def size_bytes(node: Node) -> int:
    """Return the size of all files of the trace store."""
    sizes = []
    for path in node.runtime_dir.glob("traces.db*"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)


def sizes_until(node: Node, done: Callable[[], bool], seconds: float = 60) -> int:
    """Return the largest size that the files have until it is done."""
    most = 0

    def is_done() -> bool:
        nonlocal most
        most = max([most, *(size_bytes(node) for _ in range(100))])
        return done()

    until(is_done, lambda: f"{most} bytes", seconds)
    return most


@pytest.mark.parametrize("is_read", [False, True])
def test_a_flood_of_spans_makes_its_files_no_larger_than_they_may_be(
    node: Node, is_read: bool
) -> None:
    """Check a flood with and without a reader that goes on as long: spans that wait too long
    are lost."""
    node.start(f"[traces]\nmax_bytes = {LIMIT_BYTES}\n")
    record(node)
    asked(node)
    path = node.runtime_dir / "traces.db"
    reader = sqlite3.connect(path, isolation_level=None)
    if is_read:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM traces").fetchall() == [(1,)]
    emitter = node.emitter(FLOOD)
    most = sizes_until(node, lambda: node.samples().sum("jobs_total") == 6000)
    emitter.until("done")
    reader.close()
    if is_read:
        assert most <= LIMIT_BYTES
        emitter.go()
        emitter.end()
        return
    last = uuid.UUID(int=601)
    most = max(most, sizes_until(node, lambda: bool(asked(node, f"/{last}")["spans"])))
    assert LIMIT_BYTES // 4 < most <= LIMIT_BYTES
    expired = ("shmetrics_traces_expired_total", (("limit", "bytes"),))
    assert sizes_until(node, lambda: node.samples().get(expired, 0.0) > 100) <= LIMIT_BYTES
    assert node.samples().sum("shmetrics_trace_store_failures_total") == 0
    emitter.go()
    emitter.end()


def deleted(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))


@pytest.mark.parametrize("harm", [deleted, emptied, cut_short, overwritten])
def test_a_trace_store_that_is_harmed_is_made_anew_and_no_metric_suffers(
    node: Node, harm: Callable[[Path], None]
) -> None:
    node.start()
    record(node)
    assert len(asked(node, f"/{BASE}")["spans"]) == 2
    harm(node.runtime_dir / "traces.db")
    record(node)
    assert len(asked(node, f"/{BASE}")["spans"]) == 2
    until(
        lambda: node.samples().sum("shmetrics_trace_store_anew_total") == 1,
        lambda: str(node.samples()),
        30,
    )
    samples = node.samples()
    assert samples.sum("shmetrics_trace_store_failures_total") == 0
    assert samples.sum("shmetrics_spans_lost_total") == 0
    assert node.log.count("traces begin anew") == 1


CLOCK = """
import os, time
_time_ns = time.time_ns
def time_ns():
    with open(os.environ["CLOCK_AHEAD"]) as file:
        return _time_ns() + int(file.read())
time.time_ns = time_ns
time.time = lambda: time_ns() / 1e9
"""
TEN_DAYS_NS = 10 * 86400 * 10**9


@pytest.mark.parametrize("ahead_ns", [TEN_DAYS_NS, -TEN_DAYS_NS, -(10**18) * 3 // 2])
def test_a_clock_that_is_wrong_for_a_while_costs_no_traces(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_ns: int
) -> None:
    """Check a clock that is wrong while the collector runs, or at its start, and right again
    then."""
    clock = tmp_path / "clock"
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CLOCK_AHEAD", str(clock))
    span = """
        import uuid
        from shmetrics.emitter.spans import Spans
        id = str(uuid.UUID(int={n}))
        Spans("nova", "cloud", "h").start("wsgi", id, id, id)
        pause("said")
    """
    for n, ahead in enumerate([0, ahead_ns, ahead_ns, 0], 1):
        clock.write_text(str(ahead))
        if n != 2:  # there the clock is set while it runs
            if n > 1:
                node.stop()
            node.start()
        emitter = node.emitter(span.format(n=n))
        emitter.until("said")
        ids = [str(uuid.UUID(int=number)) for number in range(n, 0, -1)]
        assert [trace["base_id"] for trace in asked(node)] == ids
        emitter.go()
        emitter.end()
    assert node.samples().sum("shmetrics_traces_expired_total") == 0
