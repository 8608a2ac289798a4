# SPDX-License-Identifier: Apache-2.0
"""A collector that comes back finds its totals, and the lanes where it left them."""

from __future__ import annotations

import pytest

from tests.nodes.node import Node

SERVICE = """
jobs = shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("fast")
size = shmetrics.Histogram("size", "Size", buckets=(1, 2))
busy = shmetrics.Gauge("busy", "Busy", multiprocess_mode="livesum")
last = shmetrics.Gauge("last", "Last", multiprocess_mode="sum")
rpc = shmetrics.Calls("rpc", "Calls", ["topic", "method"]).labels("compute", "build")

def work(n):
    for _ in range(n):
        jobs.inc(0.5)
        size.observe(1.5)
        rpc.end(rpc.start(), "KeyError")
    busy.set(n)
    last.set(n)

hanging = rpc.start()
work(1000)
pause("before")
work(5000)  # more than the ring holds
pause("between")
rpc.end(hanging)
work(1)
pause("after")
"""


def work_is_there(node: Node, n: int, *, hanging: int, last: int) -> None:
    found = node.samples()
    labels = {"topic": "compute", "method": "build"}
    assert found.value("jobs_total", queue="fast") == n / 2
    assert found.value("size_sum") == 1.5 * n
    assert found.value("size_bucket", le="2.0") == n
    assert found.value("rpc_invocation_start_total", **labels) == n + 1
    assert found.value("rpc_invocation_end_total", **labels) == n + 1 - hanging
    assert found.value("rpc_exception_total", exception="KeyError", **labels) == n
    assert found.value("last") == last
    assert found.sum("shmetrics_rpc_in_flight", method="build") == hanging
    assert len(node.calls()) == hanging


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_totals_and_lanes_go_on_after_a_restart(node: Node, how: str) -> None:
    """Check a collector that is stopped in good order, or killed while nothing happens."""
    node.start()
    service = node.emitter(SERVICE)
    service.until("before")
    work_is_there(node, 1000, hanging=1, last=1000)
    [before] = node.calls()
    [lane] = node.lanes()
    getattr(node, how)()
    service.go()
    service.until("between")
    node.start()
    work_is_there(node, 6000, hanging=1, last=5000)
    [call] = node.calls()
    assert call["age_seconds"] > before["age_seconds"]
    assert call["pid"] == service.pid
    [again] = node.lanes()
    assert (again["lane"], again["pid"]) == (lane["lane"], lane["pid"])
    assert again["process"] == lane["process"]
    assert node.samples().of("shmetrics_registrations_total") == {GRANTED: 1}  # nobody came again
    service.go()
    service.until("after")
    work_is_there(node, 6001, hanging=0, last=1)
    assert node.samples().value("busy") == 1
    service.go()
    service.end()
    node.until_no_lane()
    work_is_there(node, 6001, hanging=0, last=1)
    assert node.samples().of("busy") == {}


def test_a_process_that_dies_while_no_collector_is_there(node: Node) -> None:
    """Check that the lock of its lane shows its end, without any connection."""
    node.start()
    first, second = (node.emitter(SERVICE) for _ in range(2))
    for service in (first, second):
        service.until("before")
    node.stop()
    for service in (first, second):
        service.go()
        service.until("between")
    first.kill()
    assert len(node.lane_files()) == 6
    node.start()
    assert [lane["pid"] for lane in node.lanes()] == [second.pid]
    found = node.samples()
    assert found.value("jobs_total", queue="fast") == 6000
    assert found.value("last") == 10_000
    assert found.value("busy") == 5000
    assert found.value("shmetrics_rpc_abandoned_total", **ABANDONED) == 1
    second.kill()  # no connection to this collector either
    node.until_no_lane()
    assert node.samples().value("shmetrics_rpc_abandoned_total", **ABANDONED) == 2
    node.stop()
    node.start()
    found = node.samples()
    assert found.value("jobs_total", queue="fast") == 6000
    assert found.value("shmetrics_rpc_abandoned_total", **ABANDONED) == 2


GRANTED = (("result", "granted"),)
ABANDONED = {"side": "rpc", "topic": "compute", "method": "build"}


def test_many_restarts_change_nothing(node: Node) -> None:
    node.start()
    service = node.emitter(SERVICE)
    service.until("before")
    for _ in range(3):
        node.stop()
        node.start()
        work_is_there(node, 1000, hanging=1, last=1000)
    service.kill()


def test_new_processes_come_beside_old_ones(node: Node) -> None:
    node.start()
    old = node.emitter(SERVICE)
    old.until("before")
    node.stop()
    node.start()
    new = node.emitter(SERVICE)
    new.until("before")
    assert [lane["lane"] for lane in node.lanes()] == [1, 2]
    assert node.samples().value("jobs_total", queue="fast") == 1000
    for service in (old, new):
        service.kill()


def test_a_damaged_store_is_set_aside_and_the_lanes_go_on(node: Node) -> None:
    """Check that nothing is deleted, totals begin anew, and no two lanes have one number."""
    node.start()
    service = node.emitter(SERVICE)
    service.until("before")
    assert node.samples().value("jobs_total", queue="fast") == 500
    node.kill()
    store = node.runtime_dir / "store"
    with store.open("r+b") as file:
        file.seek(8)  # the version
        file.write(b"\xff\xff\xff\xff")
    damaged = store.read_bytes()
    service.go()
    service.until("between")
    node.start()
    [kept] = node.runtime_dir.glob("store.*")
    assert kept.read_bytes() == damaged
    assert f"{store}: store version 4294967295, this is 3; kept as {kept}" in node.log
    found = node.samples()
    assert found.value("jobs_total", queue="fast") == 2500
    assert found.value("size_sum") == 7500
    assert len(node.calls()) == 1
    other = node.emitter('shmetrics.Counter("other", "Other").inc()\npause("there")')
    other.until("there")
    assert len({int(one["lane"]) for one in node.lanes()}) == 2
    other.go()
    other.end()
    service.go()
    service.until("after")
    service.go()
    service.end()


def test_totals_are_exact_after_a_collector_killed_a_dozen_times(node: Node) -> None:
    """Check kills under load, at any instruction, each with another collector that takes over."""
    node.start()
    emitters = [
        node.emitter(
            """
            jobs = shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("fast")
            size = shmetrics.Histogram("size", "Size", buckets=(1, 2))
            rpc = shmetrics.Calls("rpc", "Calls", ["topic", "method"]).labels("compute", "build")
            jobs.inc(0)
            pause("ready")
            for _ in range(300000):
                jobs.inc(0.5)
                size.observe(1.5)
                rpc.end(rpc.start(), "KeyError")
            pause("done")
            """
        )
        for _ in range(2)
    ]
    for emitter in emitters:
        emitter.until("ready")
        emitter.go()
    for _ in range(12):
        node.kill()
        node.start()
        node.samples()
    for emitter in emitters:
        emitter.until("done")
    found = node.samples()
    labels = {"topic": "compute", "method": "build"}
    assert found.value("jobs_total", queue="fast") == 300000
    assert found.value("size_sum") == 900000
    assert found.value("size_bucket", le="1.0") == 0
    assert found.value("size_bucket", le="2.0") == 600000
    assert found.value("rpc_invocation_start_total", **labels) == 600000
    assert found.value("rpc_invocation_end_total", **labels) == 600000
    assert found.value("rpc_processing_seconds_count", **labels) == 600000
    assert found.value("rpc_exception_total", exception="KeyError", **labels) == 600000
    assert node.calls() == []
    for emitter in emitters:
        emitter.go()
        emitter.end()
