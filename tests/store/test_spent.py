# SPDX-License-Identifier: Apache-2.0
"""Series that no living process has make room for others, the ones changed longest ago first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import shmetrics
from shmetrics import _ring, layout
from shmetrics.collector.collector import Settings
from shmetrics.dictionary import Definition
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.store.limits import Limits
from shmetrics.store.scrapes import SCRAPE_SECONDS
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import MIB, Loopback

JOBS = Definition(layout.TYPE_COUNTER, "jobs", "Jobs", "", "", ("queue",), ())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Loopback]:
    """Yield a collector that takes three label sets of each family."""
    found = Loopback(tmp_path / "node", Settings(4 * MIB, Limits(series_per_family=3)))
    yield found
    found.collector.tick()
    found.release()


@contextlib.contextmanager
def process(node: Loopback, *queues: str, uid: int = 43) -> Iterator[LaneFile]:
    """Yield a process that counts 5 in each of these queues, and ends with the block."""
    granted = node.collector.grant(Peer(1, uid, uid), Hello(layout.LAYOUT_VERSION, 64, "process"))
    assert isinstance(granted, Granted)
    with contextlib.closing(LaneFile(granted.lane_fd)) as lane:
        family = lane.family(JOBS)
        for queue in queues:
            lane.record(hostile.ADD, lane.series(JOBS.type, family, queue), 5)
        node.collector.drain()
        yield lane
    node.collector.tick()


def jobs(node: Loopback) -> dict[str, float]:
    """Return the totals of jobs in a scrape, by label."""
    return {labels[0][1]: value for labels, value in node.samples().of("jobs_total").items()}


def pass_time(node: Loopback, seconds: float) -> None:
    now_ns = node.collector._monotonic_ns() + int(seconds * 1e9)
    node.collector._monotonic_ns = lambda: now_ns


def test_the_one_that_was_left_first_goes_first(node: Loopback) -> None:
    with process(node, "b"), process(node, "a"), process(node, "c"):
        pass
    assert jobs(node) == {"a": 5, "b": 5, "c": 5}
    with process(node, "d"):
        assert jobs(node) == {"a": 5, "b": 5, "d": 5}
        with process(node, "e"):
            assert jobs(node) == {"b": 5, "d": 5, "e": 5}
    assert node.samples().value("shmetrics_series_expired_total") == 2
    assert node.samples().sum("shmetrics_series_overflow_total") == 0


def test_it_stays_until_a_scrape_has_shown_its_last_total(node: Loopback) -> None:
    with process(node, "a", "b", "c") as lane:
        jobs(node)
        lane.record(hostile.ADD, 1, 2)
    with process(node, "too soon"):
        assert jobs(node) == {"a": 7, "b": 5, "c": 5, "__overflow__": 5}
    with process(node, "d"):
        assert "d" in jobs(node)


def test_without_a_scraper_nobody_waits_for_it(node: Loopback) -> None:
    with process(node, "a", "b", "c"):
        pass
    pass_time(node, SCRAPE_SECONDS)
    with process(node, "d"):
        assert jobs(node).keys() == {"b", "c", "d"}


def test_one_that_comes_back_begins_at_zero(node: Loopback) -> None:
    """Check that it has another start time, which is a counter reset."""
    with process(node, "a", "b", "c"):
        created = node.samples(created=True).value("jobs_created", queue="a")
    node.samples()
    with process(node, "d"):
        assert "a" not in jobs(node)
    with process(node, "a"):
        assert jobs(node)["a"] == 5
        assert node.samples(created=True).value("jobs_created", queue="a") > created


def test_what_a_living_process_has_stays_however_old_it_is(node: Loopback) -> None:
    with process(node, "a", "b", "c") as lane:
        for number in range(9):
            with process(node, f"{number}"):
                node.samples()
        lane.record(hostile.ADD, 1, 1)
        assert jobs(node) == {"a": 6, "b": 5, "c": 5, "__overflow__": 45}


def test_a_new_collector_removes_nothing_before_a_scrape(node: Loopback) -> None:
    """Check a collector that knows neither the series of lanes, nor the totals that were shown."""
    with process(node, "a", "b"), process(node, "c"):
        node.samples()
    with process(node, "b"):
        node.restart()
        assert not node.collector._spent.free_room(None)
        node.samples()
        assert node.collector._spent.free_room(None)
        assert "b" in jobs(node)


def test_what_a_dead_process_left_to_a_living_gauge_stays(loopback: Loopback) -> None:
    busy = shmetrics.Gauge("busy", "Busy", ["queue"], multiprocess_mode="sum")
    for queue in "a", "b":
        busy.labels(queue).set(4)
    _ring.process_detach()
    loopback.collector.tick()
    loopback.attach()
    busy.labels("a").set(3)
    assert loopback.samples().of("busy") == {(("queue", "a"),): 7, (("queue", "b"),): 4}
    while loopback.collector._spent.free_room(None):
        pass
    assert loopback.samples().of("busy") == {(("queue", "a"),): 7}
