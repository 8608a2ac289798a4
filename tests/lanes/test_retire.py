# SPDX-License-Identifier: Apache-2.0
"""The end of a lane whose process is gone."""

from __future__ import annotations

import signal

import pytest

from tests.nodes.node import PATIENCE_SECONDS, Node
from tests.servers.processes import until


@pytest.mark.parametrize("end", [0, signal.SIGKILL])
def test_the_end_of_a_process_retires_its_lane_at_once(node: Node, end: int) -> None:
    """Long before the next tick. Its connection ends a moment before its lock does."""
    node.start("tick_seconds = 60")
    for _ in range(10):
        emitter = node.emitter('shmetrics.Counter("jobs", "Jobs").inc()\npause("recorded")')
        emitter.until("recorded")
        if end:
            emitter.kill()
        else:
            emitter.go()
            emitter.end()
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 10
    assert node.samples().value("shmetrics_lanes_retired_total") == 10


GENERATIONS = """
gauges = [
    shmetrics.Gauge("busy_" + mode, "Busy", multiprocess_mode=mode) for mode in ("all", "liveall")
]

def worker(lives):
    pid = os.fork()
    if pid == 0:
        for gauge in gauges:
            gauge.set(1)
        if lives:
            sys.stdin.readline()
        os._exit(0)
    return pid

for _ in range(100):
    os.waitpid(worker(False), 0)
pids = [worker(True) for _ in range(3)]
pause("recycled")
for pid in pids:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""


def shown(node: Node, name: str, n: int) -> None:
    """Waits until a family has so many series."""
    until(
        lambda: len(node.samples().of(name)) == n,
        lambda: f"{node.samples().of(name)}",
        PATIENCE_SECONDS,
    )


def test_a_hundred_generations_of_workers_leave_the_series_of_those_that_live(node: Node) -> None:
    """Of the others, as long as `store.dead_gauge_seconds` says."""
    node.start("[store]\ndead_gauge_seconds = 0.05")
    emitter = node.emitter(GENERATIONS)
    emitter.until("recycled")
    shown(node, "busy_all", 3)
    shown(node, "busy_liveall", 3)
    emitter.go()
    emitter.end()
    shown(node, "busy_all", 0)
    assert node.samples().of("busy_liveall") == {}
