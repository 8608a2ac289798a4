# SPDX-License-Identifier: Apache-2.0
"""Series are shown as 0 before their first event, so that increase() sees that event."""

from __future__ import annotations

from pathlib import Path

import pytest

import shmetrics
from shmetrics import _ring
from shmetrics.collector.collector import Settings
from shmetrics.lanes.grants import LaneSettings
from shmetrics.lanes.lane_files import Sizes
from tests.nodes.loopback import MIB, Loopback
from tests.nodes.node import Node
from tests.servers.processes import until

FIRST = """
jobs = shmetrics.Counter("jobs", "Jobs")
lost = shmetrics.Counter("lost", "Lost", ["queue"]).labels("a")
took = shmetrics.Histogram("took", "Took", buckets=(1, 2))
busy = shmetrics.Gauge("busy", "Busy", ["queue"], multiprocess_mode="livesum").labels("a")
since = shmetrics.Gauge("since", "Since", multiprocess_mode="mostrecent")
rpc = shmetrics.Calls("rpc", "Calls", ["method"]).labels("a")
"""
ZEROS = {
    "jobs_total": {},
    "lost_total": {"queue": "a"},
    "took_count": {},
    "took_sum": {},
    "busy": {"queue": "a"},
    "since": {},
    "rpc_invocation_start_total": {"method": "a"},
    "rpc_invocation_end_total": {"method": "a"},
    "rpc_processing_seconds_count": {"method": "a"},
}


@pytest.mark.slow
def test_what_a_process_has_made_is_0_once_it_has_a_lane(node: Node) -> None:
    """And making it gives it none."""
    node.start()
    emitter = node.emitter(
        FIRST
        + """
pause("made")
shmetrics.Counter("other", "Other").inc()
pause("registered")
shmetrics.Counter("later", "Later")
shmetrics.Counter("later_labels", "Later", ["queue"]).labels("a")
pause("later")
jobs.inc()
pause("recorded")
"""
    )
    emitter.until("made")
    assert node.samples().value("shmetrics_lanes", state="open") == 0
    emitter.go()
    emitter.until("registered")
    found = node.samples()
    assert {name: found.value(name, **labels) for name, labels in ZEROS.items()} == dict.fromkeys(
        ZEROS, 0.0
    )
    assert found.value("other_total") == 1
    emitter.go()
    emitter.until("later")
    assert node.samples().value("later_total") == 0
    assert node.samples().value("later_labels_total", queue="a") == 0
    emitter.go()
    emitter.until("recorded")
    assert node.samples().value("jobs_total") == 1
    emitter.go()
    emitter.end()


@pytest.mark.slow
def test_a_forked_child_shows_what_its_parent_has_made(node: Node) -> None:
    """Once it has a lane: until then it is no process of the node."""
    node.start()
    emitter = node.emitter(
        """
        jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
        jobs.labels("a")
        busy = shmetrics.Gauge("busy", "Busy", ["queue"])
        busy.labels("a")
        if os.fork() == 0:
            pause("forked")
            busy.labels("b").set(1)
            pause("registered")
            os._exit(0)
        os.wait()
        """
    )
    emitter.until("forked")
    assert node.samples().of("jobs_total") == {}
    emitter.go()
    emitter.until("registered")
    found = node.samples()
    assert found.of("jobs_total") == {(("queue", "a"),): 0}
    assert sorted(found.of("busy").values()) == [0, 1]
    emitter.go()
    emitter.end()


def test_a_gauge_that_was_never_set_is_never_the_most_recent(loopback: Loopback, name: str) -> None:
    """Not even beside what a process of long ago has left."""
    gauge = shmetrics.Gauge(name, "Since", ["queue"], multiprocess_mode="mostrecent")
    gauge.labels("a").set(-7)
    _ring.process_detach()
    loopback.collector.tick()
    loopback.attach()
    _ring.declare(gauge.labels("a"))
    gauge.labels("b")
    found = loopback.samples()
    assert found.of(name) == {(("queue", "a"),): -7, (("queue", "b"),): 0}
    gauge.labels("a").set(3)
    assert loopback.samples().value(name, queue="a") == 3


def test_a_hidden_series_is_shown_at_its_first_event(tmp_path: Path, name: str) -> None:
    """A series that stays 0 is idle as any other."""
    node = Loopback(tmp_path / "node", Settings(4 * MIB, series_idle_seconds=100.0))
    _ring.process_detach()
    node.attach()
    jobs = shmetrics.Counter(name, "Jobs", ["queue"]).labels("a")
    assert node.samples().of(f"{name}_total") == {(("queue", "a"),): 0}
    for seconds in (0, 60, 120, 180):
        node.collector._idle.check(1e9 + seconds)
    assert node.samples().of(f"{name}_total") == {}
    jobs.inc()
    assert node.samples().of(f"{name}_total") == {(("queue", "a"),): 1}
    _ring.process_detach()
    node.collector.tick()
    node.release()


def test_many_series_are_declared_part_by_part(tmp_path: Path, name: str) -> None:
    """No event has to wait for thousands."""
    sizes = Sizes(records=64, dictionary_bytes=MIB, cells=8192, calls=8)
    node = Loopback(tmp_path / "node", Settings(16 * MIB, lanes=LaneSettings(sizes)))
    _ring.process_detach()
    jobs = shmetrics.Counter(name, "Jobs", ["queue"])
    series: list[_ring.Series] = [jobs.labels(f"{n}") for n in range(5000)]
    node.attach()
    _ring.declare_all(series[::-1])
    parts: list[int] = []
    while not parts or parts[-1] < 5000:
        parts.append(len(node.samples().of(f"{name}_total")))
        _ring.declare(series[0])  # as labels() does for a series that it has made
    assert parts == [1000, 2000, 3000, 4000, 5000]
    _ring.process_detach()
    node.collector.tick()
    node.release()


@pytest.mark.slow
def test_an_event_after_the_first_goes_on_with_what_is_not_declared_yet(node: Node) -> None:
    """A fork that is late has thousands of children, a larger lane, and nothing new to make."""
    node.start()
    emitter = node.emitter(
        """
        jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
        for n in range(4000):
            jobs.labels(str(n))
        others = shmetrics.Counter("others", "Others")
        while True:
            others.inc()
            pause("recorded")
        """
    )

    def shown() -> int:
        emitter.until("recorded")
        emitter.go()
        return len(node.samples().of("jobs_total"))

    until(lambda: shown() == 4000, lambda: f"{shown()}", 60)
    emitter.kill()


def test_a_lane_without_room_counts_no_loss_before_the_first_event(
    tmp_path: Path, name: str
) -> None:
    sizes = Sizes(records=64, dictionary_bytes=4096, cells=64, calls=8)
    node = Loopback(tmp_path / "node", Settings(4 * MIB, lanes=LaneSettings(sizes)))
    _ring.process_detach()
    node.attach()
    jobs = shmetrics.Counter(name, "Jobs", ["queue"])
    series = [jobs.labels(f"{n}") for n in range(500)]
    for _ in range(3):
        _ring.declare_all(list(series))
    n_zeros = len(node.samples().of(f"{name}_total"))
    assert 10 < n_zeros < 64
    for one in series:
        one.inc()
    status = shmetrics.status()
    assert (status["overflowed"], status["dropped"]) == (0, {})  # they wait for a larger lane
    found = node.samples().of(f"{name}_total")
    assert n_zeros < len(found) < 64  # what zeros have left room for
    assert set(found.values()) == {1}
    _ring.process_settle(0)
    n_overflowed = 500 - len(found)
    assert shmetrics.status()["overflowed"] == n_overflowed
    assert node.samples().value(f"{name}_total", queue="__overflow__") == n_overflowed
    _ring.process_detach()
    node.collector.tick()
    node.release()


def test_zeros_that_wait_do_not_outlive_their_lane(tmp_path: Path, name: str) -> None:
    sizes = Sizes(records=64, dictionary_bytes=4096, cells=64, calls=8)
    node = Loopback(tmp_path / "node", Settings(4 * MIB, lanes=LaneSettings(sizes)))
    _ring.process_detach()
    node.attach()
    jobs = shmetrics.Counter(name, "Jobs", ["queue"])
    for n in range(500):
        jobs.labels(f"{n}")
    _ring.process_detach()
    node.collector.tick()
    node.attach(MIB)
    shmetrics.Counter(f"{name}_other", "Others").inc()
    assert node.samples().of(f"{name}_total").keys().isdisjoint({(("queue", "499"),)})
    _ring.process_detach()
    node.collector.tick()
    node.release()
