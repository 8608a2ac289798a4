# SPDX-License-Identifier: Apache-2.0
"""The gatherer's socket: lines of peers that the kernel names, within bounds."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from shmetrics.errors import ShmetricsError
from shmetrics.lines.line import Refused
from shmetrics.lines.owner import Owner
from shmetrics.push import sink as sinks
from shmetrics.push.client import LineClient
from shmetrics.push.protocol import MOST_PACKET_BYTES, SOCKET_NAME
from shmetrics.push.server import LOOK_AGAIN_SECONDS, LineServer, Rates
from shmetrics.push.sink import Sink
from shmetrics.registration.peer import Peer
from shmetrics.unix_socket import Access
from tests.servers.patience import async_until

OURS = Owner("web", "systemd")
SECONDS = 60


class Taken:
    """A socket in a loop of the test, with what it has taken and counted."""

    def __init__(self, folder: Path, rates: Rates = Rates()) -> None:  # noqa: B008
        self.now = 0.0
        self.strangers = False
        self.ours = OURS
        self.lines: list[tuple[Owner, bytes]] = []
        self.counts: Counter[str] = Counter()
        self.peers: list[Peer] = []
        self.path = str(folder / SOCKET_NAME)
        self.socket = LineServer(
            *(self.path, Access(0o666), self.owner_of),
            take=lambda owner, line: self.lines.append((owner, line)),
            count=lambda reason: self.counts.update([reason]),
            rates=rates,
            monotonic=lambda: self.now,
        )
        self.socket.start(asyncio.get_running_loop())

    def owner_of(self, peer: Peer, claimed: str) -> Owner:
        self.peers.append(peer)
        if claimed not in ("", "web"):
            raise Refused("forged", f"pid {peer.pid} is web, and not {claimed}")
        if self.strangers:
            raise Refused("unknown_peer", f"pid {peer.pid} is in no unit")
        return self.ours

    async def come(self, n: int) -> None:
        await async_until(
            lambda: len(self.lines) >= n, lambda: f"{self.lines}, {self.counts}", SECONDS
        )

    async def counted(self, **counts: int) -> None:
        await async_until(lambda: self.counts == counts, lambda: str(self.counts), SECONDS)

    def connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(self.path)
        return sock


def test_anybody_can_send_lines_without_more_ado(tmp_path: Path) -> None:
    async def work() -> None:
        taken = Taken(tmp_path)
        with taken.connected() as sock:
            sock.send(b"a=1\nb=2\n\n")
            sock.send(b"c=3")
            await taken.come(3)
        assert taken.lines == [(OURS, b"a=1"), (OURS, b"b=2"), (OURS, b"c=3")]
        assert [(peer.pid, peer.uid) for peer in taken.peers] == [(os.getpid(), os.getuid())]
        taken.socket.close()
        assert not os.path.exists(taken.path)
        assert not taken.counts

    asyncio.run(work())


def test_a_program_of_ours_waits_until_its_lines_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that its lane has nothing then, and that a unit it is not is refused."""
    monkeypatch.setenv("SHMETRICS_RUNTIME_DIR", str(tmp_path))

    def push(unit: str, is_named: bool) -> Sink:
        sink = Sink(unit, is_named)
        for number in range(50):
            sink.take(b"pushed.n=%d" % number)
        sink.close()
        return sink

    async def work() -> None:
        taken = Taken(tmp_path)
        loop = asyncio.get_running_loop()
        sink = await loop.run_in_executor(None, push, "sh", False)
        assert [line for _, line in taken.lines] == [b"pushed.n=%d" % n for n in range(50)]
        assert sink.results == {"taken": 50}
        assert sink._lane is None
        sink = await loop.run_in_executor(None, push, "db", True)
        assert "refused forged" in sink.refusal
        assert "and not db" in sink.refusal
        assert sink.results == {"taken": 50}  # by its own lane
        assert (len(taken.lines), taken.counts) == (50, {"forged": 1})
        taken.socket.close()

    asyncio.run(work())


def test_lines_go_on_into_the_own_lane_when_the_gatherer_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMETRICS_RUNTIME_DIR", str(tmp_path))
    now = [0.0]
    sink = Sink("job", is_named=False, monotonic=lambda: now[0])

    def take(text: bytes) -> Callable[[], None]:
        return lambda: sink.take(text)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        first = Taken(tmp_path)
        await loop.run_in_executor(None, take(b"ended.a=1"))
        await first.come(1)
        first.socket.close()
        await loop.run_in_executor(None, take(b"ended.a=2"))
        assert sink._lane is not None
        second = Taken(tmp_path)
        await loop.run_in_executor(None, take(b"ended.a=3"))
        assert not second.lines
        now[0] += sinks.LOOK_AGAIN_SECONDS
        await loop.run_in_executor(None, take(b"ended.a=4"))
        await second.come(1)
        await loop.run_in_executor(None, sink.close)
        second.socket.close()
        assert sink.results == {"taken": 4}

    asyncio.run(work())


def test_a_unit_has_so_many_lines_a_second(tmp_path: Path) -> None:
    async def work() -> None:
        taken = Taken(tmp_path, Rates(lines_per_second=2, burst_lines=5))
        with taken.connected() as one, taken.connected() as other:
            one.send(b"\n".join(b"a=%d" % n for n in range(4)))
            await taken.come(4)
            other.send(b"b=1\nb=2\nb=3")
            await taken.counted(too_often=2)
            taken.now += 1.0
            one.send(b"c=1\nc=2\nc=3")
            await taken.counted(too_often=3)
        assert len(taken.lines) == 4 + 1 + 2
        taken.socket.close()

    asyncio.run(work())


def test_a_unit_that_was_too_young_to_be_known_is_found_later(tmp_path: Path) -> None:
    async def work() -> None:
        taken = Taken(tmp_path)
        with taken.connected() as sock:
            sock.send(b"a=1")
            await taken.come(1)
            taken.ours = Owner("young", "systemd")
            sock.send(b"a=2")
            await taken.come(2)
            taken.now += LOOK_AGAIN_SECONDS
            sock.send(b"a=3")
            await taken.come(3)
        assert [owner.unit for owner, _ in taken.lines] == ["web", "web", "young"]
        taken.socket.close()

    asyncio.run(work())


def test_what_is_too_large_or_too_many_is_counted(tmp_path: Path) -> None:
    async def work() -> None:
        taken = Taken(tmp_path, Rates(connections=3, connections_per_uid=2))
        with taken.connected() as one, taken.connected() as other:
            other.send(b"a=1")
            await taken.come(1)
            one.send(b"x" * (MOST_PACKET_BYTES + 1))
            await taken.counted(too_long=1)
            one.send(b"hello db")
            one.settimeout(SECONDS)
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(None, one.recv, 1000)
            assert answer.startswith(b"refused forged: pid ")
            with taken.connected() as again, taken.connected() as third:
                await taken.counted(too_long=1, forged=1, too_many=1)
                again.send(b"a=2")
                await taken.come(2)
                third.settimeout(SECONDS)
                assert await loop.run_in_executor(None, third.recv, 1000) == b""
        taken.socket.close()

    asyncio.run(work())


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    async def work() -> None:
        taken = Taken(tmp_path)
        with pytest.raises(ShmetricsError, match="another process listens there"):
            Taken(tmp_path)
        assert stat.S_IMODE(os.stat(taken.path).st_mode) == 0o666
        taken.socket.close()
        Path(taken.path).write_text("a file")
        with pytest.raises(ShmetricsError, match="not a socket; move it away"):
            Taken(tmp_path)

    asyncio.run(work())


def test_without_a_gatherer_there_is_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMETRICS_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        LineClient()


def test_who_is_in_no_unit_is_told_so(tmp_path: Path) -> None:
    async def work() -> None:
        taken = Taken(tmp_path)
        taken.strangers = True
        loop = asyncio.get_running_loop()
        with taken.connected() as sock:
            sock.settimeout(SECONDS)
            await taken.counted(unknown_peer=1)
            sock.send(b"a=1")
            answer = await loop.run_in_executor(None, sock.recv, 1000)
            assert answer.startswith(b"refused unknown_peer: pid ")
        assert not taken.lines
        taken.socket.close()

    asyncio.run(work())


CONNECTED = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.connect(sys.argv[1])
if os.fork():
    os._exit(0)
sys.stdin.read()
sock.send(b"a=1")
"""


def test_a_connection_of_a_process_that_has_ended_is_nobodys(tmp_path: Path) -> None:
    """Check that nobody waits until another unit's process gets the number of one that is gone."""

    async def work() -> None:
        taken = Taken(tmp_path)
        command = [sys.executable, "-W", "ignore", "-c", CONNECTED, taken.path]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            process.wait(SECONDS)  # and this loop has accepted nothing meanwhile
            await taken.counted(unknown_peer=1)
            process.communicate(b"")
            await async_until(lambda: not taken.socket._clients, lambda: "not ended", SECONDS)
        assert not taken.lines
        taken.socket.close()

    probe, other = socket.socketpair()
    with probe, other:
        if not has_peer_pidfd(probe):
            pytest.skip("this kernel has no SO_PEERPIDFD")
    asyncio.run(work())


def has_peer_pidfd(sock: socket.socket) -> bool:
    try:
        os.close(sock.getsockopt(socket.SOL_SOCKET, 77))
    except OSError:
        return False
    return True
