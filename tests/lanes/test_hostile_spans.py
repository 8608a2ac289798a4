# SPDX-License-Identifier: Apache-2.0
"""Spans of emitters without manners: bounded, counted, and no harm to the metrics beside it."""

from __future__ import annotations

import json
import time
import uuid
from itertools import pairwise
from typing import Any

import pytest

from shmetrics.lanes.wall_clock import STEP_NS, WallClock
from tests.nodes.node import Node
from tests.nodes.samples import Samples
from tests.servers.processes import until

# After every step of mischief an event of each kind that has to be in its total.
PRELUDE = """
import uuid
from shmetrics import _ring
from shmetrics.emitter.spans import Spans

jobs = shmetrics.Counter("jobs", "Jobs")
size = shmetrics.Histogram("size", "Size", buckets=(1, 2))
rpc = shmetrics.Calls("rpc", "Calls", ["method"]).labels("build")
spans = Spans("nova", "p", "h")
recorded = 0

def id(n):
    return str(uuid.UUID(int=n))

def beside():
    global recorded
    recorded += 1
    jobs.inc()
    size.observe(1.5)
    with rpc():
        pass
    while _ring.process_status().get("waiting", 0) > 1000:  # not what is tested here
        pass

while not shmetrics.status()["connected"]:
    beside()
"""
MISCHIEF = {
    "open": """
for n in range(10_000):
    spans.start("db", id(100 + n), id(1), id(1), {"n": n})
    beside()
""",
    "traces": """
for n in range(10_000):
    spans.start("db", id(n + 100), id(n + 100), id(n + 100))
    beside()
""",
    "stops": """
for n in range(1000):
    spans.stop("db", id(100 + n), id(1), id(1))
    beside()
""",
    "circle": """
for n in range(1000):
    spans.start("db", id(100 + n), id(1), id(100 + (n + 1) % 1000))
    spans.stop("db", id(100 + n), id(1), id(100 + (n + 1) % 1000))
    beside()
""",
    "replay": """
for n in range(10_000):
    spans.start("db", id(100), id(1), id(1))
    spans.stop("db", id(100), id(1), id(1))
    beside()
""",
    "megabyte": """
for n in range(100):
    spans.start("db", id(100 + n), id(1), id(1), {"text": "x" * 2**20})
    spans.stop("db", id(100 + n), id(1), id(1), {"y" * 2**20: ["z" * 2**20] * 3})
    beside()
""",
}
LIMITS = "[traces]\nmax_traces = 1000\nmax_spans_per_trace = 2000\n"


def counted(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


def spans(node: Node) -> list[dict[str, Any]]:
    asked = node.get(f"/api/v1/traces/{uuid.UUID(int=1)}")
    found: list[dict[str, Any]] = json.loads(asked)["spans"]
    return found


@pytest.mark.parametrize("what", MISCHIEF)
def test_mischief_harms_no_metric(node: Node, what: str) -> None:
    node.start(LIMITS)
    emitter = node.emitter(PRELUDE + MISCHIEF[what] + "pause(str(recorded))")
    recorded = int(emitter.said())
    samples = node.samples()
    assert samples.value("jobs_total") == recorded
    assert samples.value("size_bucket", le="2.0") == recorded
    assert samples.value("rpc_invocation_end_total", method="build") == recorded
    settled(node, what)
    node.get(f"/traces/{uuid.UUID(int=1)}")
    assert len(json.loads(node.get("/api/v1/traces?limit=10000"))) <= 1000
    assert node.samples().sum("shmetrics_trace_store_failures_total") == 0
    emitter.go()
    emitter.end()


def settled(node: Node, what: str) -> None:
    """Until the trace store says what is to be expected of it."""
    if what == "traces":

        def expired() -> float:
            return counted(node.samples(), "shmetrics_traces_expired_total", limit="traces")

        until(lambda: expired() == 9000, lambda: f"{expired()} expired", 30)
        return
    n, state, too_many = {
        "open": (2000, "open", 8000),
        "stops": (1000, "start missing", 0),
        "circle": (1000, "done", 0),
        "replay": (1, "done", 0),
        "megabyte": (100, "done", 0),
    }[what]

    def found() -> tuple[int, float]:
        lost = counted(node.samples(), "shmetrics_spans_lost_total", reason="spans_per_trace")
        return sum(span["state"] == state for span in spans(node)), lost

    until(lambda: found() == (n, too_many), lambda: str(found()), 30)
    if what == "megabyte":
        assert all(span["is_cut"] for span in spans(node))
        cut = "shmetrics_spans_cut_total"
        until(
            lambda: counted(node.samples(), cut, reason="size") == 200,
            lambda: str(node.samples()),
            30,
        )
        assert len(json.dumps(spans(node))) < 100 * 10_000
    if what == "circle":
        assert [span["is_orphan"] for span in spans(node)].count(True) == 1
        assert all(a["parent_id"] != b["parent_id"] for a, b in pairwise(spans(node)))


# ---- clocks --------------------------------------------------------------------------------------


class Clocks:
    """In the place of the machine's, for whoever asks by the module time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monotonic_ns, self.unix_ns = 10**9, 10**18
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.monotonic_ns)
        monkeypatch.setattr(time, "time_ns", lambda: self.unix_ns)

    def passes(self, ns: int, step_ns: int = 0) -> None:
        self.monotonic_ns += ns
        self.unix_ns += ns + step_ns


def test_a_clock_that_is_set_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    wall = WallClock()
    for step_ns, steps in [(0, 0), (STEP_NS, 0), (STEP_NS + 1, 1), (0, 1), (-3600 * 10**9, 2)]:
        clocks.passes(10**9, step_ns)
        assert wall.now() == (clocks.monotonic_ns, clocks.unix_ns)
        assert wall.steps == steps
