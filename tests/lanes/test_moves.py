# SPDX-License-Identifier: Apache-2.0
"""A process moves from one lane to the next, and a collector is killed at any step of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shmetrics import layout
from shmetrics.registration.decision import Granted, Refused
from shmetrics.registration.protocol import Hello
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.killed import steps_until_the_end
from tests.nodes.loopback import THIS_PROCESS, Loopback, open_collector
from tests.nodes.samples import Samples, samples_of

MOVED_TO_AT = 312


def granted(answer: Granted | Refused) -> tuple[int, LaneFile]:
    assert isinstance(answer, Granted), answer
    return answer.lane_id, LaneFile(answer.lane_fd)


def hello(predecessor: int = 0) -> Hello:
    return Hello(layout.LAYOUT_VERSION, 0, "test", predecessor=predecessor)


def fill(lane: LaneFile, jobs: float, busy: float) -> None:
    """Records jobs, a gauge and an open call."""
    lane.series(hostile.JOBS.type, lane.family(hostile.JOBS), "fast")
    lane.record(hostile.ADD, 1, jobs)
    lane.series(hostile.BUSY.type, lane.family(hostile.BUSY), "fast")
    lane.put_double(lane.parts["cells"][0] + 8, busy)  # behind the one cell of the counter
    lane.put(hostile.GAUGE_WRITES_AT, 1)
    lane.series(hostile.RPC.type, lane.family(hostile.RPC), "fast")
    lane.put(lane.parts["calls"][0], 1)
    lane.put(lane.parts["calls"][0] + 8, 3)
    lane.put(hostile.CALLS_HIGH_AT, 1)


def busy(found: Samples) -> float:
    return found.value("hostile_busy", queue="fast")


def abandoned(found: Samples) -> float:
    return found.sum("shmetrics_rpc_abandoned_total")


def test_a_lane_counts_once_the_lane_before_names_it(loopback: Loopback) -> None:
    first_id, first = granted(loopback.collector.grant(THIS_PROCESS, hello()))
    fill(first, 5.0, 7.0)
    second_id, second = granted(loopback.collector.grant(THIS_PROCESS, hello(first_id)))
    fill(second, 50.0, 8.0)
    for _ in range(2):
        found = loopback.samples()
        assert found.value("hostile_jobs_total", queue="fast") == 5
        assert busy(found) == 7
        loopback.restart()
    first.put(MOVED_TO_AT, second_id)
    for _ in range(2):
        found = loopback.samples()
        assert found.value("hostile_jobs_total", queue="fast") == 55
        assert busy(found) == 8
        loopback.restart()
    for lane in (first, second):
        lane.close()
    loopback.collector.tick()


@pytest.mark.parametrize("has_moved", [False, True], ids=["unnamed", "named"])
def test_a_move_counts_once_wherever_the_collector_is_killed_at_it(
    tmp_path: Path, has_moved: bool
) -> None:
    path = tmp_path / "run"

    def prepare() -> Callable[[], object]:
        _, collector = open_collector(path)
        first_id, first = granted(collector.grant(THIS_PROCESS, hello()))
        fill(first, 5.0, 7.0)
        second_id, second = granted(collector.grant(THIS_PROCESS, hello(first_id)))
        fill(second, 50.0, 8.0)
        if has_moved:
            first.put(MOVED_TO_AT, second_id)
        first.close()
        second.close()
        return collector.tick

    for step in steps_until_the_end(prepare):
        directory, collector = open_collector(path)
        assert list(directory.lanes.iterdir()) == [], step
        found = samples_of(collector.tables())
        assert found.value("hostile_jobs_total", queue="fast") == (55 if has_moved else 5) * step
        assert abandoned(found) == step, step
        assert found.of("shmetrics_quarantined_total") == {}
        collector.close()
        directory.close()
        del collector, directory
