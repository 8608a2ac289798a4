# SPDX-License-Identifier: Apache-2.0
"""Label values without end: labels are lost, memory is bounded, and totals are exact."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import shmetrics
from shmetrics.emitter import definition_budget
from tests.emitter.recording import dropped, made
from tests.nodes.loopback import Loopback
from tests.nodes.node import Node
from tests.servers.processes import until

OVERFLOW = "__overflow__"

# Near its limit a family removes series of dead processes.
WIDE = """
[store]
max_series_per_family = 100_000
max_series_per_lane = 20_000
"""

TOO_MANY = """
jobs = shmetrics.Counter("jobs", "Jobs", ["queue", "host"])
size = shmetrics.Histogram("size", "Sizes", ["queue"], buckets=(1, 2))
rpc = shmetrics.Calls("rpc", "Calls", ["method"], buckets=(1, 2))
for n in range(24_000):
    jobs.labels(f"queue {n}", "host").inc(0.5)
    size.labels(f"queue {n}").observe(n & 3)
    call = rpc.labels(f"method {n}")
    call.end(call.start(), f"Error{n}" if n & 1 else None)
hanging = rpc.labels("hanging").start()
"""


def all_are_there(node: Node) -> None:
    # The collector reads so many definitions bit by bit.
    until(lambda: node.sum("rpc_exception_total") == 12_000, node.lanes, 60)
    found = node.samples(without="_bucket{")
    assert found.sum("jobs_total") == 12_000
    assert found.sum("size_sum") == 36_000
    assert found.sum("size_count") == 24_000
    assert node.sum("size_bucket", 'le="1.0"') == 12_000
    assert found.sum("rpc_invocation_start_total") == 24_001
    assert found.sum("rpc_invocation_end_total") == 24_000
    assert found.sum("rpc_processing_seconds_count") == 24_000
    assert found.sum("rpc_exception_total") == 12_000
    assert found.value("jobs_total", queue="queue 0", host="host") == 0.5
    for name in ("jobs_total", "size_count", "rpc_invocation_end_total", "rpc_exception_total"):
        assert 1 < len(found.of(name)) <= 20_001, name
    assert found.value("jobs_total", queue=OVERFLOW, host=OVERFLOW) >= (24_000 - 20_000) * 0.5
    assert found.counted("shmetrics_dropped_total") == {}
    assert found.value("shmetrics_series_overflow_total", family="jobs") >= 4_000
    assert found.sum("shmetrics_rpc_in_flight") == 1


@pytest.mark.parametrize("before", [False, True], ids=["", "before the collector comes"])
def test_more_label_sets_than_a_process_may_have_lose_no_count(node: Node, before: bool) -> None:
    if not before:
        node.start(WIDE)
    emitter = node.emitter(
        TOO_MANY
        + """
pause("recorded")
from shmetrics import _ring
from tests.servers.patience import until
first = jobs.labels("queue 0", "host")

def moved():
    first.inc(0)
    return shmetrics.status()["connected"] and not _ring.process_status()["waits"]

until(moved, shmetrics.status, 60)
pause("connected")
rpc.labels("hanging").end(hanging)
"""
    )
    emitter.until("recorded")
    if before:
        node.start(WIDE)
    emitter.go()
    emitter.until("connected")
    all_are_there(node)
    emitter.go()
    emitter.end()
    node.until_no_lane()
    assert node.sum("shmetrics_rpc_abandoned_total") == 0
    assert node.sum("rpc_invocation_end_total") == 24_001


def test_a_million_label_values_take_bounded_memory_and_lose_no_count(node: Node) -> None:
    """A quarter of them in each kind of family. What is remembered of the first ones is all."""
    node.start()
    node.run(
        """
import tracemalloc
from shmetrics.emitter import definition_budget
definition_budget.MAX_DEFINITIONS = 3_000
jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
size = shmetrics.Histogram("size", "Sizes", ["queue"], buckets=(1, 2))
busy = shmetrics.Gauge("busy", "Busy", ["queue"])
rpc = shmetrics.Calls("rpc", "Calls", ["method"])

def record(numbers):
    for n in numbers:
        jobs.labels(n).inc()
        size.labels(n).observe(n & 3)
        busy.labels(n).set(n)
        call = rpc.labels(n)
        call.end(call.start(), f"Error{n}")

record(range(100))
tracemalloc.start()
record(range(100, 5_000))
bounded = tracemalloc.get_traced_memory()[0]
assert bounded < 40_000_000, bounded
record(range(5_000, 30_000))
grown = tracemalloc.get_traced_memory()[0] - bounded
assert grown < 24_000, grown
tracemalloc.stop()
record(range(30_000, 224_000))
assert set(shmetrics.status()["dropped"]) == {"lane_full"}  # the gauges, which are no events
        """
    )
    node.until_no_lane()
    found = node.samples()
    assert found.sum("jobs_total") == 224_000
    assert found.sum("size_count") == 224_000
    assert found.sum("size_sum") == 336_000
    assert found.sum("rpc_invocation_end_total") == 224_000
    assert found.sum("rpc_exception_total") == 224_000


def test_a_megabyte_of_label_is_counted_and_not_kept(loopback: Loopback, name: str) -> None:
    long = "x" * 1_000_000
    before = sys.getrefcount(long)
    call = made("Calls", f"{name}_rpc", "method").labels("short")
    for _ in range(3):
        made("Counter", name, "one").labels(long).inc(2)
        call.end(call.start(), long)
    made("Gauge", f"{name}_busy", "one").labels(long).set(2)
    assert sys.getrefcount(long) == before
    found = loopback.samples()
    assert found.of(f"{name}_total") == {(("one", OVERFLOW),): 6}
    assert found.value(f"{name}_rpc_invocation_end_total", method="short") == 3
    assert found.of(f"{name}_rpc_exception_total") == {
        (("exception", OVERFLOW), ("method", OVERFLOW)): 3
    }
    assert found.value("shmetrics_overflowed_total") == 6
    assert dropped() == {"lane_full": 1}


@pytest.mark.parametrize("bound", ["MAX_DEFINITIONS", "MAX_BYTES"])
def test_beyond_the_bound_there_is_one_child_for_all(
    loopback: Loopback, name: str, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(definition_budget, bound, 3 if bound == "MAX_DEFINITIONS" else 3 * 5 + 4)
    counter = made("Counter", name, "one")
    children: list[Any] = [counter.labels(n) for n in range(6)]
    assert [counter.labels(n) for n in range(6)] == children
    assert len(set(children)) == 4
    for child in children:
        child.inc()
    assert loopback.samples().of(f"{name}_total") == {
        (("one", "0"),): 1,
        (("one", "1"),): 1,
        (("one", "2"),): 1,
        (("one", OVERFLOW),): 3,
    }
    assert shmetrics.status()["overflowed"] == 3
