# SPDX-License-Identifier: Apache-2.0
"""The collector's counts of its own work: all of it, across restarts and kills."""

from __future__ import annotations

import os

import pytest

import shmetrics
from shmetrics import _ring, layout
from shmetrics.lanes.lane import Lane
from tests.nodes import hostile
from tests.nodes.loopback import Loopback
from tests.nodes.node import Node

EMITTER = """
jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
fast = jobs.labels("fast")
fast.inc(0)
size = shmetrics.Histogram("size", "Sizes", buckets=(1,))
pause("ready")
for _ in range(ROUNDS):
    for _ in range(1000):
        fast.inc()
        size.observe(1)
    fast.inc(-1)
    jobs.labels()
pause(shmetrics.status()["spilled"])
"""


def test_what_was_dropped_and_spilled_while_no_collector_ran_is_shown(node: Node) -> None:
    node.start()
    service = node.emitter("ROUNDS = 20\n" + EMITTER)
    service.until("ready")
    node.kill()
    service.go()
    spilled = int(service.said())
    assert spilled > 10_000
    node.start()
    for _ in range(2):
        found = node.samples()
        assert found.value("jobs_total", queue="fast") == 20_000
        assert found.value("size_count") == 20_000
        assert found.value("shmetrics_spilled_total") == spilled
        assert found.value("shmetrics_events_total", kind="add") == 20_001
        assert found.value("shmetrics_events_total", kind="observe") == 20_000 - spilled
        assert found.counted("shmetrics_dropped_total") == {
            (("cause", "bad_value"),): 20,
            (("cause", "bad_labels"),): 20,
        }
        node.stop()
        node.start()
    service.go()
    service.end()


def test_one_pass_takes_events_of_every_kind(node: Node) -> None:
    """Check events whose counts change together; once there was room for six kinds of seven."""
    node.start("tick_seconds = 60")
    node.run(
        """
        import uuid
        from shmetrics.emitter.spans import Spans
        exemplar = {"trace_id": "ab" * 16, "span_id": "cd" * 8}
        jobs = shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("fast")
        size = shmetrics.Histogram("size", "Sizes")
        call = shmetrics.Calls("rpc", "RPC", ["server"]).child(("one",))
        spans = Spans("nova", "cloud", "host-17")
        jobs.inc(0)  # it has no ring before that
        jobs.inc(exemplar=exemplar)
        size.observe(1)
        with call():
            pass
        id, base = (str(uuid.UUID(int=n)) for n in (1, 2))
        spans.start("db", id, base, base, {"db": "SELECT"})
        spans.stop("db", id, base, base)
        """
    )
    found = node.samples()
    counted = found.counted("shmetrics_events_total")
    assert {dict(labels)["kind"]: n for labels, n in counted.items() if n} == {
        **dict.fromkeys(("observe", "call_start", "call_end"), 1),
        **dict.fromkeys(("span_start", "span_stop", "span_info"), 1),
        "add": 2,
    }
    assert found.value("jobs_total", queue="fast") == 1
    assert found.value("size_count") == 1


def test_what_is_dropped_and_spilled_across_a_dozen_kills_is_counted_to_the_unit(
    node: Node,
) -> None:
    node.start()
    services = [node.emitter("ROUNDS = 400\n" + EMITTER) for _ in range(2)]
    for service in services:
        service.until("ready")
        service.go()
    node.samples()  # a registration is counted once it was answered
    for _ in range(12):
        node.kill()
        node.start()
        node.samples()
    spilled = sum(int(service.said()) for service in services)
    found = node.samples()
    assert found.value("jobs_total", queue="fast") == 800_000
    assert found.value("size_count") == 800_000
    assert found.value("shmetrics_spilled_total") == spilled
    # A pass that was killed does not know of which kinds its records were. Adds are no records.
    assert found.value("shmetrics_events_total", kind="add") == 800_002
    assert sum(found.counted("shmetrics_events_total").values()) == 1_600_002 - spilled
    assert found.value("shmetrics_dropped_total", cause="bad_value") == 800
    assert found.value("shmetrics_dropped_total", cause="bad_labels") == 800
    for service in services:
        service.go()
        service.end()
    node.until_no_lane()
    assert node.samples().value("shmetrics_lanes_retired_total") == 2
    assert node.samples().value("shmetrics_registrations_total", result="granted") == 2


def test_definitions_are_counted_once_however_often_they_are_read(loopback: Loopback) -> None:
    """Check collectors that start anew, and read a lane's dictionary again."""
    shmetrics.Counter("", "Wrong").inc()
    jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
    jobs.labels("x" * 2000).inc()
    for _ in range(3):
        found = loopback.samples()
        assert found.value("shmetrics_refused_families_total", reason="bad_name") == 1
        assert found.value("shmetrics_series_overflow_total", family="jobs") == 1
        loopback.restart()
    jobs.labels("y" * 2000).inc()
    found = loopback.samples()
    assert found.value("shmetrics_series_overflow_total", family="jobs") == 2
    assert found.value("jobs_total", queue="__overflow__") == 2


def test_a_quarantined_lane_stays_so_and_is_counted_once(loopback: Loopback) -> None:
    shmetrics.Counter("jobs", "Jobs").inc()
    [lane] = loopback.collector._lanes
    memory = hostile.LaneFile(os.open(lane.path, os.O_RDWR))
    memory.put(hostile.HEAD_AT, layout.INDEX_START + 10_000_000)
    for _ in range(3):
        loopback.collector.tick()
        found = loopback.samples()
        assert found.of("shmetrics_quarantined_total") == {(("reason", "head"),): 1}
        assert found.value("shmetrics_lanes", state="quarantined") == 1
        loopback.restart()
    memory.close()


@pytest.mark.parametrize("spill", [False, True])
def test_events_of_refused_families_are_counted_spilled_or_not(
    loopback: Loopback, spill: bool
) -> None:
    """Check refused families; of a counter, amounts count and not events."""
    if spill:
        _ring.process_detach()
    for _ in range(4):
        shmetrics.Counter("shmetrics.jobs", "Jobs").inc()
        shmetrics.Histogram("shmetrics.size", "Size").observe(2.5)
        call = shmetrics.Calls("shmetrics.rpc", "Calls", ["method"]).labels("build")
        call.end(call.start(), "KeyError")
    if spill:
        loopback.attach()
    found = loopback.samples()
    assert found.value("shmetrics_unbound_total") == 16
    assert found.value("shmetrics_spilled_total") == (12 if spill else 0)  # adds never are
    loopback.restart()
    assert loopback.samples().value("shmetrics_unbound_total") == 16


def test_a_lane_is_retired_once_however_often_the_collector_is_killed_at_it(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    shmetrics.Counter("jobs", "Jobs").inc()
    _ring.process_detach()

    def killed(lane: Lane) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(Lane, "close", killed)
        with pytest.raises(InterruptedError):
            loopback.collector.tick()
    loopback.restart()
    found = loopback.samples()
    assert found.value("jobs_total") == 1
    assert found.value("shmetrics_lanes_retired_total") == 1
