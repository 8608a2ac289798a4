# SPDX-License-Identifier: Apache-2.0
"""Only the kernel can say that nobody has a lane any more: nothing that an emitter does can."""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.collector.directory import Directory, DirectoryError
from shmetrics.lanes import _drain
from shmetrics.registration.decision import Granted
from shmetrics.registration.protocol import Hello
from tests.nodes.loopback import THIS_PROCESS, Loopback
from tests.nodes.node import Node
from tests.servers.processes import until

HELLO = Hello(layout.LAYOUT_VERSION, 0, "test")
PAGE = 4096
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def mapping_of(fd: int) -> int:
    """A mapping that needs no descriptor; Python's own keeps one."""
    shared, read_write = 1, 3
    address = LIBC.mmap(None, PAGE, read_write, shared, fd, 0)
    assert address not in (None, ctypes.c_void_p(-1).value), os.strerror(ctypes.get_errno())
    return int(address)


class Holders:
    """All that others have of a file, and how each of it is let go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.held: list[Callable[[], object]] = []
        self._fds: list[int] = []

    def open(self, number: int) -> None:
        fd = os.open(self._path, (os.O_RDONLY, os.O_RDWR)[number % 2] | os.O_CLOEXEC)
        self._keep(fd)

    def _keep(self, fd: int) -> None:
        def close() -> None:
            self._fds.remove(fd)
            os.close(fd)

        self._fds.append(fd)
        self.held.append(close)

    def duplicate(self, number: int) -> None:
        if self._fds:
            self._keep(os.dup(self._fds[number % len(self._fds)]))

    def map(self, number: int) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        address = mapping_of(fd)
        os.close(fd)
        self.held.append(lambda: LIBC.munmap(address, PAGE))

    def send(self, number: int) -> None:
        """On its way, and nobody has taken it."""
        ours, theirs = socket.socketpair()
        fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        os.close(fd)
        ours.close()
        self.held.append(theirs.close)

    def unlock(self, number: int) -> None:
        for fd in self._fds:
            fcntl.flock(fd, (fcntl.LOCK_UN, fcntl.LOCK_SH)[number % 2])

    def let_go(self, number: int) -> None:
        if self.held:
            self.held.pop(number % len(self.held))()


ACTS = ("open", "duplicate", "map", "send", "unlock", "let_go", "let_go")


@settings(max_examples=200, deadline=None)
@given(acts=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 9)), max_size=25))
def test_a_file_is_held_as_long_as_anybody_has_anything_of_it(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "held"
    path.write_bytes(bytes(PAGE))
    holders = Holders(path)
    ours = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for act, number in acts:
            getattr(holders, act)(number)
            assert _drain.is_held(ours) == bool(holders.held)
    finally:
        while holders.held:
            holders.let_go(0)
        os.close(ours)


def granted(loopback: Loopback) -> int:
    answer = loopback.collector.grant(THIS_PROCESS, HELLO)
    assert isinstance(answer, Granted)
    return answer.lane_fd


def test_a_lane_that_is_unlocked_and_still_mapped_is_not_retired(loopback: Loopback) -> None:
    """And counts against its user's quota, and is cut back when it grows."""
    fd = granted(loopback)
    path = loopback.path / "lanes" / "2.lane"
    size = path.stat().st_size
    fcntl.flock(fd, fcntl.LOCK_UN)
    address = mapping_of(fd)
    for _ in range(2):
        loopback.collector.tick()
        assert [lane["lane"] for lane in loopback.collector.lanes()] == [1, 2]
        used = loopback.samples().value("shmetrics_quota_used", quota="lanes_per_uid")
        assert used == 2
        loopback.restart()
    os.posix_fallocate(fd, size, 1 << 20)
    os.close(fd)
    loopback.collector.tick()
    assert path.stat().st_size == size
    LIBC.munmap(address, PAGE)
    loopback.collector.tick()
    assert [lane["lane"] for lane in loopback.collector.lanes()] == [1]
    assert not path.exists()


ASKING = """
import os, sys
from shmetrics.lanes import _drain
ours = os.open(sys.argv[1], os.O_RDWR)
print("asking", flush=True)
os.set_blocking(0, False)
while not sys.stdin.read(1):
    for _ in range(1000):
        _drain.is_held(ours)
"""


def test_whoever_opens_a_lane_in_that_moment_harms_no_collector(tmp_path: Path) -> None:
    """The kernel tells the holder of a lease by a signal, and most signals would end it."""
    path = tmp_path / "lane"
    path.write_bytes(bytes(PAGE))
    met = 0

    def meets() -> bool:
        nonlocal met
        for _ in range(1000):
            try:
                os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
            except BlockingIOError:
                met += 1
        return met >= 3 or asking.poll() is not None

    code = [sys.executable, "-c", ASKING, str(path)]
    with subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline() == b"asking\n"
        until(meets, lambda: f"met {met} times", 60)
        asking.communicate(b"enough")
    assert asking.returncode == 0


def test_a_death_is_noticed_before_the_tick(node: Node) -> None:
    node.start("tick_seconds = 60")
    for end in ("kill", "go"):
        emitter = node.emitter("shmetrics.Counter('jobs', 'Jobs').inc()\npause('recorded')")
        emitter.until("recorded")
        assert len(node.lanes()) == 1
        getattr(emitter, end)()
        until(lambda: not node.lane_files(), lambda: f"{node.lane_files()}", 30)
    assert node.samples().value("jobs_total") == 2


def test_a_file_system_without_leases_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> bool:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(_drain, "is_held", refuse)
    with pytest.raises(DirectoryError) as refused:
        Directory(tmp_path / "run")
    assert str(refused.value) == (
        f"{tmp_path}/run: no leases on files there (Invalid argument); choose a --runtime-dir "
        "on tmpfs, and see fs.leases-enable"
    )


# ---- what the collector counts stands where no emitter can write ---------------------------------


@contextlib.contextmanager
def hostile_lane(loopback: Loopback) -> Iterator[ctypes.Array[ctypes.c_uint64]]:
    """The first page of a lane, as numbers; let go at the end."""
    fd = granted(loopback)
    address = mapping_of(fd)
    os.close(fd)
    yield (ctypes.c_uint64 * (PAGE // 8)).from_address(address)
    LIBC.munmap(address, PAGE)


HEAD, SPILLED, DROPPED, TAIL, FREE = 256 // 8, 272 // 8, 320 // 8, 512 // 8, 1024 // 8
MOST = 2**64 - 1


@pytest.mark.parametrize("written", [1, MOST])
def test_a_lane_cannot_hide_what_became_of_it(loopback: Loopback, written: int) -> None:
    with hostile_lane(loopback) as numbers:
        for at in range(FREE, PAGE // 8):
            numbers[at] = written
        numbers[SPILLED] = 1000
        numbers[DROPPED] = 7
        loopback.collector.tick()
        numbers[HEAD] = 12345
        for _ in range(2):
            loopback.collector.tick()
            found = loopback.samples()
            assert found.value("shmetrics_quarantined_total", reason="head") == 1
            assert found.value("shmetrics_spilled_total") == 1000
            assert found.value("shmetrics_dropped_total", cause="lane_full") == 7
            loopback.restart()
    loopback.collector.tick()
    assert loopback.samples().value("shmetrics_lanes_retired_total") == 1


def test_a_tail_that_was_moved_while_no_collector_ran_counts_nothing(loopback: Loopback) -> None:
    """Or else one lane would drown the counts of all: a double has no room for both."""
    with hostile_lane(loopback) as numbers:
        loopback.collector.tick()
        before = loopback.samples().sum("shmetrics_events_total")
        loopback.release()
        numbers[HEAD] = numbers[TAIL] = 2**62
        loopback.reopen()
        assert loopback.samples().sum("shmetrics_events_total") == before
