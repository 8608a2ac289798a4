# SPDX-License-Identifier: Apache-2.0
"""Clients that leave at any moment are counted, and have no other effect."""

import asyncio
import errno
import logging
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from shmetrics.collector.faults import Faults
from shmetrics.config import Web
from shmetrics.config.address import Address
from shmetrics.http import refusals
from shmetrics.http.connection import Connection
from shmetrics.http.server import Server
from shmetrics.rate_limited_log import RateLimitedLog
from tests.http.authority import TLS, Authority, write
from tests.http.raw import connected, many, soon, tell
from tests.web.conftest import FakeSource

pytestmark = pytest.mark.slow  # these wait for the end of connections and servers

LOOPBACK = Address("127.0.0.1", 0)
ASKS = b"GET /-/ready HTTP/1.1\r\nhost: x\r\n"
REQUESTS = {
    "a whole one": ASKS + b"\r\n",
    "the last one": ASKS + b"connection: close\r\n\r\n",
    "many": (ASKS + b"\r\n") * 20,
    "half of one": ASKS,
    "nothing": b"",
    "none": b"none\r\n\r\n",
    "too large": b"y" * 20_000,
    "too many headers": ASKS + b"x: y\r\n" * 70 + b"\r\n",
    "with a body": ASKS + b"content-length: 9\r\n\r\nab",
    "in bad chunks": ASKS + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "to switch": ASKS + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "to connect": b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\nabc",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(client: socket.socket) -> None:
    pass


def say_no_more(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("leave", [reset, close, say_no_more])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_nothing_is_logged_of_who_leaves(
    run: Any, source: FakeSource, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    secure: bool, request_: bytes, leave: Callable[[socket.socket], None],
) -> None:  # fmt: skip
    """Check clients that leave in the open, or in the middle of a broken handshake."""
    web_config = ""
    if secure:
        Authority(tmp_path).certify("server")
        web_config = str(write(tmp_path / "web.yml", {"tls_server_config": TLS}))
    site = run(source, LOOPBACK, Web(), web_config)
    for _ in range(20):
        with connected(site.server.url) as client:
            client.sendall(request_)
            leave(client)
    soon(lambda: site.server.connections == 0)
    assert not caplog.records


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_nothing_is_logged_of_who_resets_within_tls(
    run: Any, source: FakeSource, tmp_path: Path, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    authority = Authority(tmp_path)
    authority.certify("server")
    web_config = str(write(tmp_path / "web.yml", {"tls_server_config": TLS}))
    site = run(source, LOOPBACK, Web(), web_config)
    context = ssl.create_default_context(cafile=str(authority.file))
    for _ in range(20):
        with connected(site.server.url) as bare:
            client = context.wrap_socket(bare, server_hostname="127.0.0.1")
            client.sendall(request_)
            reset(client)
            client.close()
    soon(lambda: site.server.connections == 0)
    assert not caplog.records


@pytest.mark.parametrize(
    "request_",
    [REQUESTS[name] for name in ("the last one", "none", "too large", "with a body")],
)
def test_who_resets_before_the_last_word_is_counted(
    site: Any, source: FakeSource, request_: bytes, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Check the count: between an answer and its end there is no time that a test could meet."""

    def shutdown(self: socket.socket, how: int) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(socket.socket, "shutdown", shutdown)
    assert tell(site.server.url, request_).startswith(b"HTTP/1.1 ")
    soon(lambda: site.server.connections == 0)
    assert source.refusals[refusals.GONE] == 1
    assert not caplog.records


def test_who_resets_while_too_slow_is_counted(
    run: Any, source: FakeSource, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shutdown(self: socket.socket, how: int) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(socket.socket, "shutdown", shutdown)
    site = run(source, LOOPBACK, Web(request_seconds=0.1))
    with many(site.server.url, 3, ASKS):
        soon(lambda: source.refusals[refusals.GONE] == 3)
    assert source.refusals[refusals.SLOW_REQUEST] == 3
    assert not caplog.records


class Ended(asyncio.Transport):
    """A transport whose client has left."""

    def __init__(self) -> None:
        super().__init__({})
        self.said: list[bytes] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        self.said.append(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


class Owner:
    """An owner that lets every client in, and keeps a record."""

    def __init__(self) -> None:
        self.refusals: list[str] = []

    def admits(self, connection: Connection) -> bool:
        return True

    def keeps(self, connection: Connection) -> bool:
        return True

    def sending(self, connection: Connection) -> None: ...
    def answered(self) -> None: ...
    def lost(self, connection: Connection) -> None: ...
    def failed(self, target: bytes, error: Exception) -> None:
        raise AssertionError(target) from error

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)


def test_an_answer_that_comes_after_its_client_has_left_waits_for_nobody() -> None:
    """Check that no timer runs for it any more, which would count it as slow."""

    async def run() -> list[str]:
        ready, done = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await ready.wait()
            try:
                await PlainTextResponse("late")(scope, receive, send)
            finally:
                done.set()

        owner = Owner()
        connection = Connection(app, Web(answer_seconds=0.1), owner)
        transport = Ended()
        connection.connection_made(transport)
        connection.data_received(REQUESTS["a whole one"])
        await asyncio.sleep(0)
        connection.connection_lost(ConnectionResetError())
        ready.set()
        await done.wait()
        later = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.2, later.set_result, None)  # a clock behind its own
        await later
        assert not transport.said
        return owner.refusals

    assert asyncio.run(run()) == [refusals.GONE]


class Half(Ended):
    """A transport whose client has ended its half, and still reads."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = self.is_lost = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        if self.is_lost:
            raise AttributeError(
                "as CPython 3.10's TLS, between its socket's end and its word of it"
            )

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("end", ["before the answer", "in the answer", "after it"])
@pytest.mark.parametrize(
    "request_",
    [REQUESTS[name] for name in ("a whole one", "the last one", "many")]
    + [REQUESTS["a whole one"] + REQUESTS["half of one"]],
)
def test_who_has_said_all_and_has_all_answers_is_let_go_at_once(request_: bytes, end: str) -> None:
    """asyncio does not watch such a client's socket any more, so its leaving goes unnoticed."""

    async def run() -> bool:
        sending, done = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if end == "before the answer":
                connection.eof_received()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if end == "in the answer":
                assert connection.eof_received()
            sending.set()
            await send({"type": "http.response.body", "body": b""})
            done.set()

        connection = Connection(app, Web(), Owner())
        transport = Half()
        connection.connection_made(transport)
        connection.data_received(request_)
        await sending.wait()
        await done.wait()
        if end == "after it":
            while connection._task is not None and not connection._task.done():
                await asyncio.sleep(0)
            if not transport.is_closed and not connection.eof_received():
                transport.close()  # as asyncio does
        for _ in range(100):
            await asyncio.sleep(0)
        is_closed = transport.is_closed
        connection.connection_lost(None)
        return is_closed

    assert asyncio.run(run())


@pytest.mark.parametrize("name", ["a whole one", "the last one", "many"])
def test_a_transport_that_has_lost_its_socket_before_it_says_so_ends_no_task(name: str) -> None:
    async def run() -> asyncio.Task[None]:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            transport.is_lost = True
            await PlainTextResponse("ready")(scope, receive, send)

        connection = Connection(app, Web(), Owner())
        transport = Half()
        connection.connection_made(transport)
        connection.data_received(REQUESTS[name])
        for _ in range(100):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        assert connection._task is not None
        return connection._task

    assert asyncio.run(run()).exception() is None


def test_a_fault_of_the_application_is_one_line_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("a fault of ours")

    caplog.set_level(logging.INFO)

    async def run() -> None:
        server = Server(app, LOOPBACK)
        serving = asyncio.create_task(server.serve())
        for _ in range(50):
            answer = await asyncio.to_thread(tell, server.url, REQUESTS["the last one"])
            assert answer.startswith(b"HTTP/1.1 500 ")
        server.stop()
        await serving

    asyncio.run(run())
    assert caplog.messages == ["no answer to /-/ready: ValueError: a fault of ours"]
    assert not caplog.records[0].exc_info


def test_what_nobody_has_caught_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A client that can cause a fault can do so as often as it likes."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(Faults(RateLimitedLog(logging.getLogger("shmetrics"))))
        for _ in range(50):
            loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    asyncio.run(run())
    (line,) = caplog.messages
    assert line.endswith("ZeroDivisionError: division by zero")
    assert "\n" not in line
    assert not caplog.records[0].exc_info
