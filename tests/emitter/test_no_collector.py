# SPDX-License-Identifier: Apache-2.0
"""Recording without a collector: nothing is lost, nothing is raised, and nobody waits."""

from __future__ import annotations

import mmap
import os
import socket
from pathlib import Path

import pytest

import shmetrics
from shmetrics import _ring, layout
from shmetrics.errors import LaneRefused
from shmetrics.lanes import _drain
from tests.nodes.loopback import Loopback
from tests.nodes.node import Node
from tests.servers.processes import until

# Counts what the registration waits for, per attempt, in nanoseconds.
WATCH = """
from shmetrics import _ring
from shmetrics.lanes import _drain
from shmetrics.emitter.process import registration

waits = []
wait_readable, attend_ = _ring.wait_readable, registration.attend

def watched_wait(connection, wait_ns):
    assert not os.get_blocking(connection.fileno())
    waits[-1].append(wait_ns)
    return wait_readable(connection, wait_ns)

def attend():
    waits.append([])
    attend_()

_ring.wait_readable = watched_wait
_ring.process_init(False, attend)
"""

MILLION = """
jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
fast, slow = jobs.labels("fast"), jobs.labels("slow")
size = shmetrics.Histogram("size", "Sizes", buckets=(1, 2))
busy = shmetrics.Gauge("busy", "Busy", multiprocess_mode="livesum")
rpc = shmetrics.Calls("rpc", "Calls", ["topic", "method"]).labels("compute", "build")
for n in range(200_000):
    fast.inc()
    slow.inc(0.5)
    size.observe(n & 3)
    with rpc():
        pass
busy.set(7)
size.observe("seven")
hanging = rpc.start()
"""

UNTIL_CONNECTED = """
from tests.servers.patience import until
until(lambda: fast.inc(0) or shmetrics.status()["connected"], shmetrics.status, 20)
"""


def million_is_there(node: Node) -> None:
    found = node.samples()
    assert found.value("jobs_total", queue="fast") == 200_000
    assert found.value("jobs_total", queue="slow") == 100_000
    assert found.value("size_sum") == 300_000
    assert [found.value("size_bucket", le=le) for le in ("1.0", "2.0", "+Inf")] == [
        100_000,
        150_000,
        200_000,
    ]
    labels = {"topic": "compute", "method": "build"}
    assert found.value("rpc_invocation_start_total", **labels) == 200_001
    assert found.value("rpc_invocation_end_total", **labels) == 200_000
    assert found.value("rpc_processing_seconds_count", **labels) == 200_000
    assert found.value("busy") == 7
    assert found.value("shmetrics_dropped_total", cause="bad_value") == 1
    assert found.sum("shmetrics_rpc_in_flight", method="build") == 1
    [call] = node.calls()
    assert (call["topic"], call["method"]) == ("compute", "build")
    assert found.sum("shmetrics_rpc_oldest_in_flight_seconds") > 0


def test_a_million_events_wait_for_the_collector_to_come(node: Node) -> None:
    emitter = node.emitter(
        WATCH
        + MILLION
        + """
for n in range(100):
    attend()  # as the binding does once a second
assert all(wait == [] for wait in waits), waits  # nobody listens: there is nothing to wait for
status = shmetrics.status()
assert status["recorded"] == 1_000_001, status
assert status["problem"].startswith("no collector: "), status
pause("recorded")
"""
        + UNTIL_CONNECTED
        + """
rpc.end(hanging)
pause("connected")
"""
    )
    emitter.until("recorded")
    node.start()
    assert node.samples().names("jobs") == set()
    emitter.go()
    emitter.until("connected")
    found = node.samples()
    assert found.value("rpc_invocation_end_total", topic="compute", method="build") == 200_001
    assert node.calls() == []
    emitter.go()
    emitter.end()


def test_a_million_events_arrive_with_what_is_open(node: Node) -> None:
    emitter = node.emitter(
        MILLION + 'pause("recorded")\n' + UNTIL_CONNECTED + 'pause("connected")\n'
    )
    emitter.until("recorded")
    node.start()
    emitter.go()
    emitter.until("connected")
    million_is_there(node)
    emitter.go()
    emitter.end()
    node.until_no_lane()
    assert node.samples().sum("shmetrics_rpc_abandoned_total", method="build") == 1


def test_a_frozen_collector_is_waited_for_once(node: Node) -> None:
    """It accepts no connection, yet connecting works; what never comes is the answer."""
    node.start()
    node.freeze()
    emitter = node.emitter(
        WATCH
        + MILLION
        + """
for n in range(100):
    attend()
assert waits[0] == [50_000_000], waits
assert all(set(wait) <= {0} for wait in waits[1:]), waits
pause("recorded")
"""
        + UNTIL_CONNECTED
        + 'pause("connected")\n'
    )
    emitter.until("recorded")
    node.thaw()
    emitter.go()
    emitter.until("connected")
    million_is_there(node)
    emitter.go()
    emitter.end()


def test_a_process_that_ends_waits_for_a_busy_collector(node: Node) -> None:
    """Check that it waits longer than at first: its events would be lost with it."""
    node.start()
    node.freeze()
    emitter = node.emitter(
        """
from shmetrics import _ring
from shmetrics.emitter import process

wait_readable = _ring.wait_readable
jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
for n in range(2000):
    jobs.labels(f"queue {n}").inc()

waits = []

def watched_wait(connection, wait_ns):
    waits.append(wait_ns)
    if len(waits) == 1:
        assert not wait_readable(connection, process.FIRST_WAIT_NS)
        pause("ends")
    return wait_readable(connection, 20 * wait_ns)

_ring.wait_readable = watched_wait
"""
    )
    emitter.until("ends")
    node.thaw()
    emitter.go()
    emitter.end()
    node.until_no_lane()
    found = node.samples()
    assert found.sum("jobs_total") == 2000
    assert found.sum("shmetrics_overflowed_total") == 0


def test_a_child_of_a_process_without_a_collector_waits_no_longer(node: Node) -> None:
    """The wait is once per process, also for a child that inherits an attempt under way."""
    node.start()
    node.freeze()
    emitter = node.emitter(
        WATCH
        + MILLION
        + """
pid = os.fork()
if pid == 0:
    del waits[:]
    fast.inc()
    attend()
    os._exit(0 if len(waits) == 2 and waits[0] and waits[1] == [0] else 1)
assert os.waitpid(pid, 0)[1] == 0
pause("recorded")
"""
    )
    emitter.until("recorded")
    node.thaw()
    emitter.go()
    emitter.end()


def test_a_child_does_not_take_the_answer_that_its_parent_waits_for(node: Node) -> None:
    node.start()
    node.freeze()
    emitter = node.emitter(
        """
fast = shmetrics.Counter("jobs", "Jobs")
fast.inc()
child = os.fork()
fast.inc(10)
if child:
    pause("asked")
"""
        + UNTIL_CONNECTED
        + """
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
pause("connected")
"""
    )
    emitter.until("asked")
    node.thaw()
    emitter.go()
    emitter.until("connected")

    def pids() -> list[int]:
        return [lane["pid"] for lane in node.lanes()]

    until(lambda: pids() == [emitter.pid], lambda: f"{pids()}", 30)  # the child's has to be retired
    assert node.samples().value("jobs_total") == 1 + 10 + 10
    assert node.samples().value("shmetrics_registrations_total", result="granted") == 2
    emitter.go()
    emitter.end()


def test_a_process_that_ends_before_the_collector_comes_is_not_held_up(node: Node) -> None:
    node.run(MILLION)
    node.start()
    assert node.samples().names("jobs") == set()
    assert node.lanes() == []


def test_a_process_that_ends_at_once_is_seen(node: Node) -> None:
    """One event, and gone."""
    node.start()
    node.run('shmetrics.Counter("jobs", "Jobs").inc()')
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 1


def test_at_exit_there_is_a_last_chance(node: Node) -> None:
    """The collector's answer has come, and no event since."""
    node.start()
    node.freeze()
    emitter = node.emitter(
        """
        shmetrics.Counter("jobs", "Jobs").inc()
        assert not shmetrics.status()["connected"]
        pause("recorded")
        """
    )
    emitter.until("recorded")
    node.thaw()
    assert node.samples().value("shmetrics_registrations_total", result="granted") == 1
    emitter.go()
    emitter.end()
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 1


def test_disabled_instruments_do_nothing_at_all(node: Node) -> None:
    node.start()
    node.run(
        MILLION
        + """
status = shmetrics.status()
assert status["disabled"] and not status["connected"], status
assert status["recorded"] == 0 and status["dropped"] == {}, status
""",
        SHMETRICS_DISABLE="1",
    )
    found = node.samples()
    assert found.of("shmetrics_registrations_total") == {}
    assert found.names("jobs") == set()


def test_a_late_answer_is_looked_for_soon(node: Node) -> None:
    """Without a lane spans are lost: an answer after 100 ms should not cost a second of them."""
    node.start()
    node.freeze()
    emitter = node.emitter(
        WATCH
        + """
import time
from shmetrics.emitter.spans import Spans

id = "0123456789abcdef0123456789abcdef"
times = []
watched = attend
def attend_at():
    times.append(time.monotonic())
    watched()
_ring.process_init(False, attend_at)
spans = Spans()
while len(times) < 6:
    spans.start("db", id, id, id)
pause("asked")
assert min(after - before for before, after in zip(times, times[1:])) < 0.9, times
assert [sum(wait) for wait in waits[1:]] == [0] * (len(waits) - 1), waits
while not shmetrics.status()["connected"]:
    spans.start("db", id, id, id)
"""
    )
    emitter.until("asked")
    node.thaw()
    emitter.go()
    emitter.end()
    assert node.samples().value("shmetrics_registrations_total", result="granted") == 1


def test_a_socket_of_somebody_else_does_no_harm(node: Node) -> None:
    """Whatever it answers: here nothing, then rubbish, then the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        path = node.runtime_dir / "register.sock"
        listening.bind(str(path))
        listening.listen()
        emitter = node.emitter(
            """
            from shmetrics.emitter.process import registration
            jobs = shmetrics.Counter("jobs", "Jobs")
            problems = []
            for answer in ("nothing", "rubbish", "end", "refusal"):
                jobs.inc()
                registration.attend()
                pause(answer)
                registration.attend()
                problems.append(shmetrics.status()["problem"])
            registration.attend()  # asks once more
            problems.append(shmetrics.status()["problem"])
            print(problems)
            """
        )
        for answer in ("nothing", "rubbish", "end", "refusal"):
            emitter.until(answer)
            if answer == "nothing":
                connection, _ = listening.accept()
                emitter.go()
                continue
            if answer == "rubbish":
                connection.send(b"rubbish")
            elif answer == "end":
                connection.close()
                connection, _ = listening.accept()
                connection.recv(1024)
                connection.close()
            else:
                connection, _ = listening.accept()
                connection.send(b"SHMR\x01\x00\x01\x00\x04\x00\x03\x00" + bytes(8) + b"why")
            emitter.go()
        assert emitter.end().strip() == str(
            [
                "no collector: connected, and no answer yet",
                "no collector: answer of 7 bytes, 20 are needed",
                "no collector: the collector closed the connection",
                "refused (quota): why",
                "refused (quota): why",
            ]
        )
        connection.close()


def test_room_in_a_full_queue_is_looked_for_soon_and_not_for_ever(node: Node) -> None:
    """A flood leaves a gap now and then, and who looks once a second does not see one."""
    kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
    with (
        socket.socket(socket.AF_UNIX, kind) as listening,
        socket.socket(socket.AF_UNIX, kind) as first,
        socket.socket(socket.AF_UNIX, kind) as second,
    ):
        path = str(node.runtime_dir / "register.sock")
        listening.bind(path)
        listening.listen(0)  # one may wait
        first.connect(path)
        with pytest.raises(BlockingIOError):
            second.connect(path)
        emitter = node.emitter(
            """
            import types
            from shmetrics import _ring
            from shmetrics.emitter import process
            now_ns, soon = 0, []
            process.time = types.SimpleNamespace(monotonic_ns=lambda: now_ns)
            _ring.process_attend_soon = lambda: soon.append(now_ns)

            def problem_at(ns):
                global now_ns
                now_ns = ns
                process.registration.attend()
                return shmetrics.status()["problem"]

            shmetrics.Counter("jobs", "Jobs").inc()
            for ns in (10, 999_999_999, 1_000_000_000, 2_000_000_000):
                assert "too many processes" in problem_at(ns), problem_at(ns)
            assert soon == [0, 10, 999_999_999], soon
            pause("full")
            assert "no answer yet" in problem_at(3_000_000_000), problem_at(now_ns)
            assert soon[3:] == [3_000_000_000], soon
            """
        )
        emitter.until("full")
        listening.accept()[0].close()
        emitter.go()
        emitter.end()


@pytest.mark.parametrize("name", ["", "not/there", "x" * 200, "\N{SNOWMAN}", "file"])
def test_no_runtime_directory_is_too_odd(node: Node, name: str, tmp_path: Path) -> None:
    (node.runtime_dir / "file").write_text("")
    node.run(
        """
        shmetrics.Counter("jobs", "Jobs").inc()
        assert shmetrics.status()["problem"].startswith("no collector: ")
        """,
        SHMETRICS_RUNTIME_DIR=str(node.runtime_dir / name),
    )


def test_an_error_of_ours_in_the_registration_is_counted_and_not_raised(node: Node) -> None:
    node.run(
        """
        from shmetrics import _ring
        from shmetrics.lanes import _drain

        def fail():
            raise RuntimeError("ours")

        jobs = shmetrics.Counter("jobs", "Jobs")
        _ring.process_init(False, fail)
        jobs.inc()
        assert shmetrics.status()["registration_errors"] == 1, shmetrics.status()
        """
    )


def test_a_lane_too_small_for_what_waits_is_not_taken(loopback: Loopback, name: str) -> None:
    """No collector of ours gives such a lane; and if one does, nothing is lost to it."""
    _ring.process_detach()
    counter = shmetrics.Counter(name, "Jobs", ["one"])
    for n in range(40):
        counter.labels(f"{n}" + "x" * 200).inc()
    sizes = (64, 4096, 512, 16)
    small = os.memfd_create("lane")
    os.truncate(small, layout.lane_bytes(*sizes))
    with mmap.mmap(small, 0) as memory:
        _drain.lane_format(memory, 77, *sizes)
    granted = _ring.Descriptor(small)
    with pytest.raises(LaneRefused, match="too_small"):
        _ring.process_attach(_ring.process_epoch(), granted)
    granted.close()
    counter.labels("0" + "x" * 200).inc()
    loopback.attach()
    assert len(loopback.samples().of(f"{name}_total")) == 40
    assert loopback.samples().sum(f"{name}_total") == 41
