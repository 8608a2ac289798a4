# SPDX-License-Identifier: Apache-2.0
"""A process moves to a larger lane while it runs, and nothing is lost or counted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from shmetrics import _ring
from shmetrics.collector.collector import Settings
from tests.nodes.loopback import MIB, Loopback
from tests.nodes.node import Node
from tests.nodes.samples import Samples
from tests.servers.processes import until

pytestmark = pytest.mark.slow

# Waits for what waits: an idle process looks for its answer at its next event.
SETTLED = """
from shmetrics import _ring
from tests.servers.patience import until

def settled(record):
    until(lambda: record() or not _ring.process_status()["waits"], shmetrics.status, 60)
"""

ALL_KINDS = """
jobs = shmetrics.Counter("jobs", "Jobs", ["host"])
size = shmetrics.Histogram("size", "Sizes", ["host"], buckets=(1, 2))
busy = shmetrics.Gauge("busy", "Busy", ["host"], multiprocess_mode="livesum")
rpc = shmetrics.Calls("rpc", "Calls", ["host"])
first = jobs.labels("first")
first.inc()

def record(numbers):
    for n in numbers:
        jobs.labels(f"host {n}").inc(2)
        size.labels(f"host {n}").observe(n & 3)
        call = rpc.labels(f"host {n}")
        call.end(call.start(), "Error" if n & 1 else None)
        if n % 10 == 0:
            busy.labels(f"host {n}").set(n)
"""


def caught_up(node: Node, jobs: float) -> Samples:
    """Return what the node shows once the collector has read all definitions."""
    until(lambda: node.sum("jobs_total") == jobs, node.lanes, 60)
    return node.samples(without="_bucket{")


def is_all_there(node: Node, n: int) -> None:
    """Each series has its own total, and the overflow series have none."""
    found = caught_up(node, 2 * n + 1)
    for i in (*range(0, n, max(n // 50, 1)), n - 1):
        host = f"host {i}"
        assert found.value("jobs_total", host=host) == 2
        assert found.value("size_sum", host=host) == i & 3
        assert found.value("size_count", host=host) == 1
        assert found.value("rpc_invocation_start_total", host=host) == 1
        assert found.value("rpc_invocation_end_total", host=host) == 1
        assert found.value("rpc_processing_seconds_count", host=host) == 1
        if i % 10 == 0:
            assert found.value("busy", host=host) == i
    assert found.sum("size_count") == n
    assert found.sum("rpc_invocation_start_total") == found.sum("rpc_invocation_end_total") == n
    assert found.sum("rpc_exception_total") == n // 2
    assert len(found.of("busy")) == -(-n // 10)
    assert found.sum("shmetrics_overflowed_total") == 0
    assert found.counted("shmetrics_series_overflow_total") == {}
    assert found.counted("shmetrics_dropped_total") == {}


def test_twenty_thousand_label_sets_of_one_process_with_the_default_settings(node: Node) -> None:
    node.start()
    emitter = node.emitter(
        SETTLED
        + """
jobs = shmetrics.Counter("jobs", "Jobs", ["host"])
for n in range(20_000):
    jobs.labels(f"host {n}").inc(n)
settled(lambda: jobs.labels("host 0").inc(0))
pause("recorded")
"""
    )
    emitter.until("recorded")
    found = caught_up(node, sum(range(20_000)))
    assert {dict(labels)["host"]: value for labels, value in found.of("jobs_total").items()} == {
        f"host {n}": n for n in range(20_000)
    }
    assert found.sum("shmetrics_overflowed_total") == 0
    assert found.counted("shmetrics_series_overflow_total") == {}
    emitter.go()
    emitter.end()


def test_all_kinds_move_along(node: Node) -> None:
    node.start()
    emitter = node.emitter(
        SETTLED
        + ALL_KINDS
        + """
hanging = rpc.labels("hanging").start(None, 0.001)
pause("small")
for at in range(0, 4000, 500):
    record(range(at, at + 500))
    settled(lambda: first.inc(0))
pause("large")
rpc.labels("hanging").end(hanging)
pause("ended")
"""
    )
    emitter.until("small")
    [lane] = node.lanes()
    small = lane["lane"]
    assert node.samples().sum("shmetrics_rpc_in_flight") == 1
    emitter.go()
    emitter.until("large")
    found = caught_up(node, 8001)
    assert found.sum("shmetrics_rpc_in_flight") == 1
    assert found.sum("shmetrics_rpc_overdue") == 1
    assert found.value("rpc_invocation_start_total", host="hanging") == 1
    emitter.go()
    emitter.until("ended")
    lane = max(node.lanes(), key=lambda lane: lane["lane"])
    assert lane["lane"] > small
    found = node.samples(without="_bucket{")
    assert found.sum("shmetrics_rpc_in_flight") == 0
    assert found.sum("size_count") == 4000
    assert found.sum("rpc_invocation_end_total") == 4001
    assert found.sum("rpc_exception_total") == 2000
    assert len(found.of("busy")) == 400
    assert found.sum("busy") == sum(range(0, 4000, 10))
    assert found.sum("shmetrics_overflowed_total") == 0
    assert found.counted("shmetrics_dropped_total") == {}
    emitter.go()
    emitter.end()
    node.until_no_lane()
    assert node.sum("shmetrics_rpc_abandoned_total") == 0


def test_what_waits_while_no_collector_is_there_comes_with_the_next_one(node: Node) -> None:
    node.start()
    emitter = node.emitter(
        SETTLED
        + ALL_KINDS
        + """
pause("small")
record(range(2000))
pause("waits")
settled(lambda: first.inc(0))
pause("large")
"""
    )
    emitter.until("small")
    node.stop()
    emitter.go()
    emitter.until("waits")
    node.start()
    emitter.go()
    emitter.until("large")
    is_all_there(node, 2000)
    emitter.go()
    emitter.end()


def test_the_end_of_a_process_brings_what_waits(node: Node) -> None:
    node.start()
    node.run(ALL_KINDS + "\nrecord(range(2000))\n")
    node.until_no_lane()
    found = node.samples()
    assert found.sum("jobs_total") == 4001
    assert found.sum("size_count") == 2000
    assert found.sum("rpc_invocation_end_total") == 2000
    assert found.sum("shmetrics_overflowed_total") == 0


def test_a_quota_refuses_a_larger_lane_and_the_rest_overflows(node: Node) -> None:
    node.start("[registration]\nmax_lane_bytes = 530_000\n")
    emitter = node.emitter(
        SETTLED
        + ALL_KINDS
        + """
record(range(2000))
settled(lambda: first.inc(0))
record(range(2000, 2100))
assert "max_lane_bytes" in shmetrics.status()["problem"]
pause("refused")
"""
    )
    emitter.until("refused")
    found = caught_up(node, 4201)
    assert found.sum("size_count") == 2100
    assert found.sum("rpc_invocation_start_total") == 2100
    assert found.sum("rpc_invocation_end_total") == 2100
    assert found.value("jobs_total", host="__overflow__") > 0
    assert found.sum("shmetrics_overflowed_total") > 0
    assert found.value("shmetrics_quota_exceeded_total", quota="lane_bytes") > 0
    emitter.go()
    emitter.end()


def test_a_process_that_waits_for_a_larger_lane_says_so_and_has_a_collector(node: Node) -> None:
    node.start()
    emitter = node.emitter(
        ALL_KINDS
        + """
pause("small")
record(range(2000))
status = shmetrics.status()
assert status["connected"], status
assert status["problem"] == "no answer yet to the request for a larger lane", status
pause("waits")
"""
    )
    emitter.until("small")
    node.freeze()
    emitter.go()
    emitter.until("waits")
    node.thaw()
    emitter.go()
    emitter.end()
    node.until_no_lane()
    assert node.sum("jobs_total") == 4001


def test_a_child_of_a_process_that_waits_counts_only_its_own(node: Node) -> None:
    node.start()
    emitter = node.emitter(
        SETTLED
        + ALL_KINDS
        + """
pause("small")
record(range(1000))
child = os.fork()
if child == 0:
    record(range(1000, 1500))
    shmetrics.emitter.process.registration.finish()
    os._exit(0)
os.waitpid(child, 0)
pause("waits")
settled(lambda: first.inc(0))
pause("large")
"""
    )
    emitter.until("small")
    node.stop()
    emitter.go()
    emitter.until("waits")
    node.start()
    emitter.go()
    emitter.until("large")
    found = caught_up(node, 2001)
    assert found.sum("jobs_total", host="host 1200") == 0
    emitter.go()
    emitter.end()


def test_what_was_left_behind_two_lanes_ago_is_removed(node: Node) -> None:
    node.start()
    emitter = node.emitter(
        """
from shmetrics import _ring
from tests.servers.patience import until

many = shmetrics.Counter("many", "Many", ["n"])
beat = shmetrics.Counter("beat", "Looks for an answer")

def settle():
    def moves():
        beat.inc()
        status = _ring.process_status()
        return status["waits"] or status["wants_larger"]
    until(lambda: not moves(), shmetrics.status, 60)

for burst in range(3):
    for n in range((900, 4000, 9000)[burst]):
        many.labels(f"{burst}-{n}").inc()
    settle()
    pause("grown")
many.clear()
settle()
pause("cleared")
"""
    )
    for _ in range(3):
        emitter.until("grown")
        node.until_lanes(1)
        emitter.go()
    emitter.until("cleared")
    until(lambda: not node.samples().of("many_total"), node.lanes, 30)
    emitter.go()
    emitter.end()


def rss_bytes(path: str) -> list[int]:
    """Return how much of each mapping of a file this process has in memory."""
    found, is_its = [], False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            is_its = line.endswith(path)
        elif is_its and line.startswith("Rss:"):
            found.append(1024 * int(line.split()[1]))
    return found


def test_only_a_small_lane_has_its_pages_at_once(tmp_path: Path) -> None:
    """A move into a large one would take milliseconds, and memory that may never be used."""
    node = Loopback(tmp_path / "node", Settings(4 * MIB))
    _ring.process_detach()
    for dictionary_bytes in (0, 8 * MIB):
        lane_id = node.attach(dictionary_bytes)
        [path] = node.path.glob(f"lanes/{lane_id}.lane")
        size_bytes = path.stat().st_size
        in_memory = max(rss_bytes(str(path)))
        if dictionary_bytes:
            assert size_bytes > dictionary_bytes
            assert in_memory < MIB
        else:
            assert MIB // 4 < size_bytes <= in_memory
        _ring.process_detach()
    node.collector.tick()
    node.release()
