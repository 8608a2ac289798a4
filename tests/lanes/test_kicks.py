# SPDX-License-Identifier: Apache-2.0
"""Wake-ups by emitters: heeded at once, and harmless whatever an emitter does with its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shmetrics.lanes import kicks
from shmetrics.lanes.kicks import Kick, LoopKicks
from tests.nodes.node import Node
from tests.servers.processes import until

NEIGHBOUR = """
import time
jobs = shmetrics.Histogram("jobs", "Jobs", buckets=(1,))
jobs.observe(0)
while not shmetrics.status()["connected"]:  # it asks again once a second
    time.sleep(0.05)
    jobs.observe(0)
pause("ready")
for _ in range(300_000):
    jobs.observe(1)
"""

# A process that has a lane, and kicks when it likes: all that it takes is the mapping.
KICKER = """
import ctypes, mmap, time
other = shmetrics.Counter("other", "Other")
other.inc()
while not shmetrics.status()["connected"]:
    time.sleep(0.05)
    other.inc(0)
[end] = [
    int(mapping.split()[0].partition("-")[2], 16)
    for mapping in open("/proc/self/maps").read().splitlines() if mapping.endswith(".lane")
]
page = ctypes.c_void_p(end - mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE)
libc = ctypes.CDLL(None)
def kick():
    assert libc.madvise(*page, mmap.MADV_REMOVE) == 0
pause("ready")
"""

# A process with a lane of protocol 1, and the eventfd that comes with it.
OLD_KICKER = """
import socket, threading
from shmetrics import layout, runtime_dir
from shmetrics.registration import protocol
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect(os.path.join(runtime_dir.find(), runtime_dir.SOCKET_NAME))
hello = protocol.Hello(layout.LAYOUT_VERSION, 0, "old", protocol.WITH_EVENTFD)
connection.send(protocol.encode_hello(hello))
answer, [lane_fd, kick_fd], _, _ = socket.recv_fds(connection, 4096, 2)
connection.detach()
pause("ready")
"""


def test_a_kick_is_heeded_long_before_the_tick(node: Node) -> None:
    node.start("tick_seconds = 60")
    emitter = node.emitter(
        """
        jobs = shmetrics.Histogram("jobs", "Jobs", buckets=(1,))
        for _ in range(3000):
            jobs.observe(1)
        pause("recorded")
        """
    )
    emitter.until("recorded")
    until(lambda: node.lanes()[0]["waiting"] < 2000, lambda: f"{node.lanes()}", 30)
    assert node.samples().value("shmetrics_kicks_total", result="needed") == 1
    emitter.go()
    emitter.end()


def until_muted(node: Node, lanes: int) -> None:
    def muted() -> float:
        return node.samples().value("shmetrics_muted_total")

    until(lambda: muted() == lanes, lambda: f"{muted()} are muted", 30)


def test_a_flood_of_kicks_is_muted_and_harms_nobody(node: Node) -> None:
    node.start("tick_seconds = 0.2")
    floods = [
        *(node.emitter(KICKER + "while True:\n    kick()") for _ in range(2)),
        node.emitter(OLD_KICKER + "while True:\n    os.eventfd_write(kick_fd, 1)"),
    ]
    neighbour = node.emitter(NEIGHBOUR)
    for emitter in (*floods, neighbour):
        emitter.until("ready")
        emitter.go()
    until_muted(node, 3)
    neighbour.end()
    found = node.samples()
    assert found.value("jobs_sum") == 300_000
    assert found.value("other_total") == 2
    idle = found.value("shmetrics_kicks_total", result="idle")
    assert 3 * kicks.MAX_IDLE <= idle < 3 * kicks.MAX_IDLE + 50
    assert node.log.count("kicks for nothing") == 3
    for flood in floods:
        flood.kill()


def test_a_kick_is_heeded_by_the_next_collector_too(node: Node) -> None:
    node.start("tick_seconds = 60")
    emitter = node.emitter(
        """
        jobs = shmetrics.Histogram("jobs", "Jobs", buckets=(1,))
        jobs.observe(1)
        pause("recorded one")
        for _ in range(3000):
            jobs.observe(1)
        pause("recorded")
        """
    )
    emitter.until("recorded one")
    node.kill()
    node.start("tick_seconds = 60")
    emitter.go()
    emitter.until("recorded")
    until(lambda: node.lanes()[0]["waiting"] < 2000, lambda: f"{node.lanes()}", 30)
    assert node.samples().value("shmetrics_kicks_total", result="needed") == 1
    emitter.go()
    emitter.end()


def test_a_process_whose_memory_is_locked_kicks_too(node: Node) -> None:
    node.start("tick_seconds = 60")
    emitter = node.emitter(
        """
        import ctypes
        jobs = shmetrics.Histogram("jobs", "Jobs", buckets=(1,))
        jobs.observe(1)
        if ctypes.CDLL(None).mlockall(3) != 0:
            pause("may not lock")
        for _ in range(3000):
            jobs.observe(1)
        pause("recorded")
        """
    )
    emitter.until("recorded")
    until(lambda: node.lanes()[0]["waiting"] < 2000, lambda: f"{node.lanes()}", 30)
    emitter.go()
    emitter.end()


def test_a_collector_never_waits_for_an_eventfd(node: Node) -> None:
    """Whose emitter has made the descriptor blocking, and reads it empty before the collector can;
    or has filled it up, so that one can write no more."""
    node.start("tick_seconds = 0.2")
    thief = node.emitter(
        OLD_KICKER
        + """
os.set_blocking(kick_fd, True)
def steal():
    while True:
        os.eventfd_read(kick_fd)
threading.Thread(target=steal, daemon=True).start()
while True:
    os.eventfd_write(kick_fd, 1)
"""
    )
    filled = node.emitter(OLD_KICKER + "os.eventfd_write(kick_fd, 2**64 - 2)\npause('filled')")
    neighbour = node.emitter(NEIGHBOUR)
    for emitter in (thief, filled, neighbour):
        emitter.until("ready")
        emitter.go()
    filled.until("filled")
    neighbour.end()
    until_muted(node, 1)
    assert node.samples().value("jobs_sum") == 300_000
    filled.go()
    filled.end()
    thief.kill()


class SlowLoop:
    """The part of a loop that kicks need, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.listener: Callable[[], None] | None = None
        self.rests: list[float] = []

    def time(self) -> float:
        return self.now

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        self.listener = call

    def remove_reader(self, fd: int) -> None:
        self.listener = None

    def call_later(self, seconds: float, call: Callable[[], None]) -> SlowLoop:
        self.rests.append(seconds)
        self.listen_again = call
        return self

    def cancel(self) -> None:
        self.listener = None


def modify(path: Path) -> None:
    """Return the system calls of a kick."""
    with path.open("rb+", buffering=0) as file:
        file.write(b"\0")


def files(folder: Path, n: int) -> list[Path]:
    found = [folder / f"{number}.lane" for number in range(n)]
    for path in found:
        path.write_bytes(b"\0")
    return found


def test_kicks_leave_half_of_the_time_to_others(tmp_path: Path) -> None:
    """However many lanes kick without end: a round, and then a rest of the same length."""
    loop = SlowLoop()
    found = LoopKicks(loop)  # type: ignore[arg-type]
    heard: list[int] = []
    paths = files(tmp_path, 70)

    def lane(n: int) -> Kick:
        def heed() -> bool:
            loop.now += 0.25
            heard.append(n)
            for path in paths:
                modify(path)
            return True

        return Kick(found, paths[n], heed, lambda: None)

    lanes = [lane(n) for n in range(len(paths))]
    modify(paths[0])
    for number, heeded in enumerate((1, 70, 70), 1):
        before = len(heard)
        assert loop.listener is not None
        loop.listener()
        assert len(heard) - before == heeded
        assert loop.listener is None
        assert loop.rests[-1] == heeded * 0.25
        assert len(loop.rests) == number
        loop.listen_again()
    assert set(heard) == set(range(len(lanes)))  # nobody is passed over
    for kick in lanes:
        kick.close()
    assert loop.listener is not None
    loop.listener()
    assert loop.rests[-1] == kicks.PAUSE_SECONDS
    found.close()


def test_where_the_kernel_has_lost_kicks_every_lane_is_drained_and_none_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lanes that kick in turns fill its queue, and a third one's kick finds no room there."""
    monkeypatch.setattr(kicks, "MAX_IDLE", 1)
    loop = SlowLoop()
    found = LoopKicks(loop)  # type: ignore[arg-type]
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    heard = [0, 0, 0]
    muted: list[int] = []
    paths = files(tmp_path, 3)

    def lane(n: int) -> Kick:
        def heed() -> bool:
            heard[n] += 1
            return False

        return Kick(found, paths[n], heed, lambda: muted.append(n))

    lanes = [lane(n) for n in range(3)]
    opened = [path.open("rb+", buffering=0) for path in paths]
    for time in range(most + 2):
        opened[time % 2].write(b"\0")
    opened[2].write(b"\0")
    for _ in range(most):
        if heard[2]:
            break
        assert loop.listener is not None
        loop.listener()
        loop.listen_again()
    assert heard[2] == 1
    assert 2 not in muted
    for file in opened:
        file.close()
    for kick in lanes:
        kick.close()
    found.close()


def test_a_lane_that_cannot_be_watched_is_drained_at_ticks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = LoopKicks(SlowLoop())  # type: ignore[arg-type]
    kick = Kick(found, tmp_path / "gone.lane", lambda: True, lambda: None)
    assert "cannot be watched (No such file or directory), and is drained at ticks" in caplog.text
    kick.close()
    found.close()


def test_nothing_is_read_from_an_eventfd(tmp_path: Path) -> None:
    """Its emitter could have made it blocking, and read it empty a moment before."""
    loop = SlowLoop()
    found = LoopKicks(loop)  # type: ignore[arg-type]
    heard: list[int] = []

    def heed() -> bool:
        heard.append(1)
        return True

    [path] = files(tmp_path, 1)
    kick = Kick(found, path, heed, lambda: None)
    fd = kick.eventfd()
    for n in range(3):
        os.eventfd_write(fd, 1)
        assert loop.listener is not None
        loop.listener()
        loop.listen_again()
        assert len(heard) == n + 1
    assert os.eventfd_read(fd) == 3
    kick.close()
    found.close()


@pytest.mark.parametrize("by", ["file", "eventfd"])
def test_kicks_for_nothing_are_forgiven_if_another_one_is_not(tmp_path: Path, by: str) -> None:
    muted: list[int] = []
    loop = SlowLoop()
    found = LoopKicks(loop)  # type: ignore[arg-type]
    heard = 0
    needed = False

    def heed() -> bool:
        nonlocal heard
        heard += 1
        return needed

    [path] = files(tmp_path, 1)
    kick = Kick(found, path, heed, lambda: muted.append(1))
    fd = kick.eventfd() if by == "eventfd" else -1

    def kick_once() -> None:
        if by == "eventfd":
            os.eventfd_write(fd, 1)
        else:
            modify(path)
        assert loop.listener is not None
        loop.listener()
        loop.listen_again()

    for n in range(2 * kicks.MAX_IDLE - 1):
        needed = n == kicks.MAX_IDLE - 1
        kick_once()
        assert heard == n + 1
    assert muted == []
    needed = False
    kick_once()
    assert muted == [1]
    kick_once()
    assert heard == 2 * kicks.MAX_IDLE
    kick.close()
    found.close()
