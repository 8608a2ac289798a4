# SPDX-License-Identifier: Apache-2.0
"""The collector's end on a real socket: who is odd is refused, counted, and harms nobody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics import layout
from shmetrics.errors import ShmetricsError
from shmetrics.registration import client, pending_connections, protocol, server
from shmetrics.registration.decision import Granted, Refused
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Answer, Hello, Result
from shmetrics.registration.server import Server
from shmetrics.unix_socket import Access
from tests.servers.patience import async_until

LAYOUT = layout.LAYOUT_VERSION
GOOD = protocol.encode_hello(Hello(LAYOUT, 128, "nova-api"))
OLD = protocol.encode_hello(Hello(LAYOUT, 128, "nova-api", protocol.WITH_EVENTFD))


class Desk:
    """A server, and what it reports. Lanes are plain files here."""

    def __init__(self, path: Path) -> None:
        self.asked: list[tuple[Peer, Hello]] = []
        self.gone: list[int] = []
        self.results: list[str] = []
        self.answer: Refused | None = None
        self.barred: Refused | None = None
        self.kick_fd: int | None = None
        self.path = path
        self.server = Server(
            path, Access(0o640), self.admit, self.grant, self.gone.append, self.results.append
        )

    def serve(self) -> Server:
        return Server(
            self.path, Access(0o640), self.admit, self.grant, self.gone.append, self.results.append
        )

    def admit(self, peer: Peer) -> Refused | None:
        return self.barred

    def grant(self, peer: Peer, hello: Hello) -> Granted | Refused:
        self.asked.append((peer, hello))
        lane_id = len(self.asked)
        return self.answer or Granted(lane_id, os.open("/dev/null", os.O_RDWR), self.kick_fd)

    async def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        await asyncio.get_running_loop().sock_connect(client, str(self.path))
        return client

    async def said(self, client: socket.socket) -> bytes:
        """Return the next message, empty at the end; a connection cut off is an end."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionResetError):
            return await asyncio.wait_for(loop.sock_recv(client, 2048), 10)
        return b""

    async def until(self, true: Callable[[], object]) -> None:
        await async_until(true, lambda: (self.results, self.gone), 10)

    def has_results(self, n: int) -> bool:
        return len(self.results) == n

    async def still_serves(self) -> None:
        before = len(self.asked)
        with await self.connect() as client:
            client.send(GOOD)
            assert protocol.decode_answer(await self.said(client)).result is Result.GRANTED
            assert await self.said(client) == b""
        assert len(self.asked) == before + 1


def at_desk(path: Path, test: Callable[[Desk], Awaitable[None]]) -> Desk:
    """Run a test with a server at path."""
    desk = Desk(path)

    async def run() -> None:
        desk.server.start()
        try:
            await test(desk)
        finally:
            desk.server.close()

    asyncio.run(run())
    assert not path.exists()
    return desk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "register.sock"


def test_a_hello_gets_a_lane_and_then_the_connection_has_done_its_work(path: Path) -> None:
    async def test(desk: Desk) -> None:
        with await desk.connect() as client:
            client.send(GOOD)
            await desk.until(lambda: desk.results)
            message, [lane_fd], _, _ = socket.recv_fds(client, 2048, 8)
            assert os.readlink(f"/proc/self/fd/{lane_fd}") == "/dev/null"
            assert protocol.decode_answer(message) == Answer(Result.GRANTED, LAYOUT, 1)
            os.close(lane_fd)
            assert await desk.said(client) == b""
        assert desk.gone == []

    desk = at_desk(path, test)
    [(peer, hello)] = desk.asked
    assert peer == Peer(os.getpid(), os.getuid(), os.getgid(), tuple(sorted(os.getgroups())))
    assert hello == Hello(LAYOUT, 128, "nova-api")
    assert desk.results == ["granted"]


def test_who_asks_in_protocol_1_is_answered_in_it_and_gets_a_kick(path: Path) -> None:
    async def test(desk: Desk) -> None:
        desk.kick_fd = os.eventfd(0)
        with await desk.connect() as client:
            client.send(OLD)
            await desk.until(lambda: desk.results)
            message, [lane_fd, kick_fd], _, _ = socket.recv_fds(client, 2048, 8)
            os.eventfd_write(kick_fd, 3)
            assert os.eventfd_read(desk.kick_fd) == 3
            assert message[4:6] == b"\1\0"
            assert protocol.decode_answer(message) == Answer(Result.GRANTED, LAYOUT, 1)
            for fd in (lane_fd, kick_fd, desk.kick_fd):
                os.close(fd)

    assert at_desk(path, test).results == ["granted"]


def test_the_mode_is_that_of_the_configuration(path: Path) -> None:
    async def test(desk: Desk) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    at_desk(path, test)


def test_a_refusal_reaches_the_process(path: Path) -> None:
    async def test(desk: Desk) -> None:
        desk.answer = Refused(Result.QUOTA, "there are 3 lanes already")
        with await desk.connect() as client:
            client.send(GOOD)
            answer = protocol.decode_answer(await desk.said(client))
            assert answer == Answer(Result.QUOTA, LAYOUT, 0, "there are 3 lanes already")
            assert await desk.said(client) == b""
        desk.answer = None
        await desk.still_serves()

    assert at_desk(path, test).results == ["quota", "granted"]


def test_who_is_not_admitted_is_told_why(path: Path) -> None:
    """Check hellos that come before the answer, while it is given, and after it."""

    async def test(desk: Desk) -> None:
        desk.barred = Refused(Result.UID, "not you")
        for n in range(1, 101):
            with contextlib.closing(client.Attempt(str(path), Hello(1, 0, "nova"))) as attempt:
                await desk.until(partial(desk.has_results, n))
                assert attempt.answer(0) == Answer(Result.UID, LAYOUT, 0, "not you")
        desk.barred = None
        await desk.still_serves()

    desk = at_desk(path, test)
    assert desk.results == 100 * ["uid"] + ["granted"]
    assert len(desk.asked) == 1


def test_a_refusal_is_heard_before_a_hello_is_said(path: Path) -> None:
    """Check a collector that answers and closes before it has read any hello."""
    refusal = protocol.encode_answer(Answer(Result.UID, LAYOUT, 0, "not you"))
    attempts = 300

    def turn_away() -> None:
        for _ in range(attempts):
            with listener.accept()[0] as connection:
                connection.send(refusal)

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(20)
        porter = threading.Thread(target=turn_away)
        porter.start()
        for _ in range(attempts):
            with contextlib.closing(client.Attempt(str(path), Hello(1, 0, "nova"))) as attempt:
                assert attempt.answer(20 * 10**9) == Answer(Result.UID, LAYOUT, 0, "not you")
        porter.join()
    path.unlink()


def test_another_layout_is_refused_before_anything_is_made(path: Path) -> None:
    async def test(desk: Desk) -> None:
        with await desk.connect() as client:
            client.send(protocol.encode_hello(Hello(9, 0, "from the future")))
            answer = protocol.decode_answer(await desk.said(client))
            assert (answer.result, answer.layout_version) == (Result.VERSION, LAYOUT)
            assert f"layout 9 is unknown here, this collector has {LAYOUT}" in answer.text
        assert desk.asked == []

    assert at_desk(path, test).results == ["version"]


MALFORMED = {
    "hello does not begin with SHMR": b"GET / HTTP/1.1\r\n\r\n",
    "message over 1024 bytes": b"SHMR" * 500,
    "hello of 1 bytes, 16 are needed": b"\0",
}


@pytest.mark.parametrize("why", MALFORMED)
def test_a_malformed_hello_is_told_why(
    path: Path, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(desk: Desk) -> None:
        with await desk.connect() as client:
            client.send(MALFORMED[why])
            answer = protocol.decode_answer(await desk.said(client))
            assert (answer.result, answer.text) == (Result.MALFORMED, why)
            assert await desk.said(client) == b""
        await desk.still_serves()

    assert at_desk(path, test).results == ["malformed", "granted"]
    [line] = caplog.messages
    assert line == f"registration of pid {os.getpid()}, uid {os.getuid()}: {why}"


def test_of_two_hellos_at_once_the_first_is_answered(path: Path) -> None:
    async def test(desk: Desk) -> None:
        with await desk.connect() as client:
            client.send(GOOD)
            client.send(GOOD)
            # Closed before it read all: the kernel says so, and then what the server said.
            said = [await desk.said(client), await desk.said(client)]
            assert protocol.decode_answer(b"".join(said)).result is Result.GRANTED
        await desk.still_serves()

    assert at_desk(path, test).results == ["granted", "granted"]


@pytest.mark.parametrize("n", [1, 3, 64, 200])
def test_descriptors_that_nobody_asked_for_are_closed(path: Path, n: int) -> None:
    async def test(desk: Desk) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with await desk.connect() as client:
            ours, theirs = os.pipe2(os.O_NONBLOCK)
            socket.send_fds(client, [GOOD], [theirs] * n)
            os.close(theirs)
            assert protocol.decode_answer(await desk.said(client)).result is Result.GRANTED
            assert os.read(ours, 1) == b""  # nobody has the other end any more
            os.close(ours)
        assert len(os.listdir("/proc/self/fd")) == before

    at_desk(path, test)


def test_an_empty_message_is_an_end(path: Path) -> None:
    async def test(desk: Desk) -> None:
        with await desk.connect() as client:
            client.send(b"")
            assert await desk.said(client) == b""
        await desk.still_serves()

    assert at_desk(path, test).results == ["granted"]


def test_who_says_nothing_is_shown_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HELLO_TIMEOUT_S", 0.01)

    async def test(desk: Desk) -> None:
        with await desk.connect() as client:
            assert await desk.said(client) == b""
        await desk.still_serves()

    assert at_desk(path, test).results == ["silent", "granted"]


def test_who_is_silent_for_longest_gives_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_connections, "MAX_PENDING_PER_UID", 3)

    async def test(desk: Desk) -> None:
        with contextlib.ExitStack() as clients:
            quiet = [clients.enter_context(await desk.connect()) for n in range(5)]
            for client in quiet[:2]:
                assert await desk.said(client) == b""
            assert desk.results == ["silent", "silent"]
            quiet[2].send(GOOD)
            assert protocol.decode_answer(await desk.said(quiet[2])).result is Result.GRANTED
            await desk.still_serves()

    assert at_desk(path, test).results == ["silent", "silent", "granted", "granted"]


def test_a_process_that_is_gone_before_the_answer(path: Path) -> None:
    async def test(desk: Desk) -> None:
        client = await desk.connect()
        client.send(GOOD)
        client.close()
        await desk.until(lambda: desk.gone == [1])
        await desk.still_serves()

    assert at_desk(path, test).results == ["gone", "granted"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=1200) | st.just(GOOD), min_size=1, max_size=4))
def test_whatever_is_sent_the_next_one_is_served(
    tmp_path_factory: pytest.TempPathFactory, messages: list[bytes]
) -> None:
    async def test(desk: Desk) -> None:
        with await desk.connect() as client:
            for message in messages:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.send(message)
            answer = await desk.said(client)  # lost if the kernel has more of ours to throw away
        first = Result.GRANTED if messages[0] == GOOD else Result.MALFORMED
        assert answer == b"" or protocol.decode_answer(answer).result is first
        await desk.still_serves()
        assert desk.results[0] == first.name.lower()
        assert desk.results[-1] == "granted"

    at_desk(tmp_path_factory.getbasetemp() / "fuzz.sock", test)


def test_close_ends_all_connections(path: Path) -> None:
    async def test(desk: Desk) -> None:
        with await desk.connect() as silent, await desk.connect() as granted:
            granted.send(GOOD)
            await desk.said(granted)
            desk.server.close()
            assert await desk.said(silent) == await desk.said(granted) == b""
            assert desk.gone == []  # their processes live: the lanes stay
            desk.server = Server(
                path, Access(0o600), desk.admit, desk.grant, desk.gone.append, desk.results.append
            )
            desk.server.start()

    at_desk(path, test)


def test_a_path_too_long_for_a_socket_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(ShmetricsError, match=r"^.*x: no socket can be made there \(.*too long\)"):
        Server(
            path,
            Access(0o600),
            lambda peer: None,
            lambda peer, hello: Refused(Result.UID, ""),
            print,
            print,
        )
