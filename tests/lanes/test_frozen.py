# SPDX-License-Identifier: Apache-2.0
"""Promise: a collector that is stopped, for as long as you like, costs detail and no count."""

from __future__ import annotations

import pytest

from tests.nodes.node import Emitter, Node

RECORDS = 256
RINGFULS = 200
EVENTS = RECORDS * RINGFULS  # on each of four instruments, from each of four processes
PROCESSES = 4

# Until it is told to stop: so much is recorded while nobody drains, however long it takes.
FULL_LOAD = f"""
jobs = shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("fast")
size = shmetrics.Histogram("size", "Size", buckets=(1, 2))
level = shmetrics.Gauge("level", "Level", multiprocess_mode="sum")
rpc = shmetrics.Calls("rpc", "Calls", ["topic", "method"]).labels("compute", "build")
hanging = rpc.start()

def work():
    for n in range({EVENTS}):
        jobs.inc(0.5)
        size.observe(n % 3)
        rpc.end(rpc.start(), "KeyError" if n % 2 else None)
        level.set(n)

while not shmetrics.status()["connected"]:  # the collector's answer may take its time
    level.set(0)
pause("registered")
work()
pause("full")
work()
rpc.end(hanging)
status = shmetrics.status()
assert status["dropped"] == {{}}, status
assert status["spilled"] >= {RINGFULS - 1} * {RECORDS}, status
"""


def at_full_load(node: Node) -> list[Emitter]:
    """Processes whose rings have been full for a long time, with nobody to drain them."""
    node.start(f"[lane]\nrecords = {RECORDS}")
    emitters = [node.emitter(FULL_LOAD) for _ in range(PROCESSES)]
    for emitter in emitters:
        emitter.until("registered")
    node.freeze()
    for emitter in emitters:
        emitter.go()
    for emitter in emitters:
        emitter.until("full")
    return emitters


def everything_is_there(node: Node, rounds: int, hanging: int) -> None:
    found = node.samples()
    n = PROCESSES * rounds * EVENTS
    thirds = PROCESSES * rounds * len(range(2, EVENTS, 3))
    labels = {"topic": "compute", "method": "build"}
    assert found.value("jobs_total", queue="fast") == n / 2
    assert found.value("size_count") == n
    assert found.value("size_bucket", le="1.0") == n - thirds
    assert found.value("rpc_invocation_start_total", **labels) == n + PROCESSES
    assert found.value("rpc_invocation_end_total", **labels) == n + PROCESSES - hanging
    assert found.value("rpc_exception_total", exception="KeyError", **labels) == n / 2
    assert found.value("level") == PROCESSES * (EVENTS - 1)
    assert len(node.calls()) == hanging
    assert found.sum("shmetrics_dropped_total") == 0
    assert found.sum("shmetrics_quarantined_total") == 0


def test_a_collector_under_sigstop_at_full_load_costs_no_count(node: Node) -> None:
    emitters = at_full_load(node)
    node.thaw()
    everything_is_there(node, rounds=1, hanging=PROCESSES)
    for emitter in emitters:
        emitter.go()
    for emitter in emitters:
        emitter.end()
    node.until_no_lane()
    everything_is_there(node, rounds=2, hanging=0)


@pytest.mark.parametrize("emitters_too", [False, True])
def test_a_frozen_collector_may_be_killed_and_so_may_the_emitters(
    node: Node, emitters_too: bool
) -> None:
    """The next one finds all that waited."""
    emitters = at_full_load(node)
    node.kill()
    for emitter in emitters:
        if emitters_too:
            emitter.kill()
        else:
            emitter.go()
    for emitter in [] if emitters_too else emitters:
        emitter.end()
    node.start()
    node.until_no_lane()
    if emitters_too:
        everything_is_there_of_the_killed(node)
    else:
        everything_is_there(node, rounds=2, hanging=0)


def everything_is_there_of_the_killed(node: Node) -> None:
    """Their calls that hang will never end, and are counted as such."""
    found = node.samples()
    labels = {"topic": "compute", "method": "build"}
    assert found.value("jobs_total", queue="fast") == PROCESSES * EVENTS / 2
    assert found.value("shmetrics_rpc_abandoned_total", side="rpc", **labels) == PROCESSES
    assert node.calls() == []
