# SPDX-License-Identifier: Apache-2.0
"""A process moves from one lane to the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics import layout
from shmetrics.collector.collector import Settings
from shmetrics.lanes.lane import Lane
from shmetrics.registration.decision import Granted, Refused
from shmetrics.registration.protocol import Hello
from shmetrics.store.limits import Limits
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import MIB, THIS_PROCESS, Loopback
from tests.nodes.samples import Samples

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


@pytest.mark.parametrize("flood", [0, 5000], ids=["few", "flood"])
def test_what_a_process_removes_after_a_move_stays_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flood: int
) -> None:
    """It was defined in the lane before, after that was drained and before the next one was."""
    node = Loopback(tmp_path / "node", Settings(32 * MIB))
    sizes = hello()._replace(dictionary_bytes=MIB)
    first_id, first = granted(node.collector.grant(THIS_PROCESS, sizes))
    next_hello = sizes._replace(predecessor=first_id)
    second_id, second = granted(node.collector.grant(THIS_PROCESS, next_hello))

    def move() -> None:
        family = first.family(hostile.JOBS)
        for n in range(flood):
            first.series(hostile.JOBS.type, family, str(n))
        first.record(hostile.ADD, first.series(hostile.JOBS.type, family, "fast"), 2.0)
        first.put(MOVED_TO_AT, second_id)
        again = second.series(hostile.JOBS.type, second.family(hostile.JOBS), "fast")
        second.entry(layout.ENTRY_REMOVED, 0, 0, again, b"")

    drain, todo = Lane.drain, [move]

    def drain_and_move(lane: Lane, definitions: int) -> int:
        n_definitions = drain(lane, definitions)
        if lane.lane_id == first_id and todo:
            todo.pop()()
        return n_definitions

    monkeypatch.setattr(Lane, "drain", drain_and_move)
    for _ in range(8):
        node.collector.tick()
    assert len(node.collector.lanes()) == 1
    assert ("hostile_jobs_total", (("queue", "fast"),)) not in node.samples()
    node.restart()
    assert ("hostile_jobs_total", (("queue", "fast"),)) not in node.samples()
    for lane in (first, second):
        lane.close()
    node.collector.tick()
    node.release()


# ---- what a process has not used since it moved --------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Loopback]:
    """A collector that takes three label sets of each family, and two families of one user."""
    limits = Limits(series_per_family=3, families_per_uid=2)
    found = Loopback(tmp_path / "node", Settings(4 * MIB, limits))
    yield found
    found.collector.tick()
    found.release()


def moved(node: Loopback, times: int) -> LaneFile:
    """A process that has counted 5 of some jobs, and moved so often since."""
    lane_id, lane = granted(node.collector.grant(THIS_PROCESS, hello()))
    fill(lane, 5.0, 7.0)
    node.collector.tick()
    for _ in range(times):
        next_id, following = granted(node.collector.grant(THIS_PROCESS, hello(lane_id)))
        lane.put(MOVED_TO_AT, next_id)
        lane.close()
        node.collector.tick()
        assert len(node.collector.lanes()) == 1
        lane_id, lane = next_id, following
    return lane


def others(node: Loopback) -> None:
    """Processes that want all the room there is, come and go, and scrapes see them."""
    for n in range(4):
        _, lane = granted(node.collector.grant(THIS_PROCESS, hello()))
        family = lane.family(hostile.JOBS)
        for queue in range(4):
            lane.record(hostile.ADD, lane.series(hostile.JOBS.type, family, f"{n}-{queue}"))
        lane.family(hostile.JOBS._replace(name=f"other_{n}"))
        node.samples()
        lane.close()
        node.collector.tick()
        node.samples()


@pytest.mark.parametrize("restarts", [0, 1, 2])
@pytest.mark.parametrize("times", [1, 2])
def test_what_a_process_has_left_behind_stays_its_own(
    small: Loopback, times: int, restarts: int
) -> None:
    """Until it ends, also if the collector starts anew."""
    lane = moved(small, times)
    for _ in range(restarts):
        small.restart()
    others(small)
    assert small.samples().value("hostile_jobs_total", queue="fast") == 5
    lane.close()
    small.collector.tick()
    assert sorted(path.name for path in (small.path / "lanes").iterdir()) == []
    small.samples()
    others(small)
    assert ("hostile_jobs_total", (("queue", "fast"),)) not in small.samples()


def test_a_damaged_file_of_what_is_left_behind_is_named(
    small: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    lane = moved(small, 1)
    [kept] = (small.path / "lanes").glob("*.kept")
    small.release()
    kept.write_text("[")
    small.reopen()
    [line] = [text for text in caplog.messages if kept.name in text]
    assert line.startswith(f"{kept} cannot be read: ")
    assert small.samples().value("hostile_jobs_total", queue="fast") == 5
    lane.close()


@pytest.mark.parametrize("restarts", [0, 1])
def test_the_family_of_what_is_left_behind_stays(small: Loopback, restarts: int) -> None:
    lane = moved(small, 1)
    for _ in range(restarts):
        small.restart()
    small.samples()
    _, other = granted(small.collector.grant(THIS_PROCESS, hello()))
    for n in range(4):
        family = other.family(hostile.JOBS._replace(name=f"other_{n}"))
        other.record(hostile.ADD, other.series(hostile.JOBS.type, family, "slow"))
        small.collector.tick()
        assert small.samples().value("hostile_jobs_total", queue="fast") == 5
    lane.close()
    small.collector.tick()
    other.close()
    assert small.samples().value("other_0_total", queue="slow") == 1
