# SPDX-License-Identifier: Apache-2.0
"""A collector that comes back finds its totals, and the lanes where it left them."""

from __future__ import annotations

import pytest

from tests.collector.node import Node

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
    """Stopped in good order, or killed while nothing happens."""
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
    assert node.samples().of("shmetrics_registrations_total") == {}  # nobody had to come again
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
    """There is no connection whose end would tell: the lock does."""
    node.start()
    first, second = (node.emitter(SERVICE) for _ in range(2))
    for service in (first, second):
        service.until("before")
    node.stop()
    for service in (first, second):
        service.go()
        service.until("between")
    first.kill()
    assert len(node.lane_files()) == 4
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
