# SPDX-License-Identifier: Apache-2.0
"""The limits of a client: sizes, times, and which connection gives way."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from shmetrics.config import Web
from shmetrics.config.address import Address
from shmetrics.http import refusals
from shmetrics.http import server as web_server
from shmetrics.http.server import Server
from shmetrics.tables.table import Series, Table
from tests.http.raw import connected, many, said, soon, tell

pytestmark = pytest.mark.slow

LOOPBACK = Address("127.0.0.1", 0)
ASKS = b"GET /-/ready HTTP/1.1\r\nhost: x\r\n"


def big(size_bytes: int) -> list[Table]:
    """Return the tables of a scrape of about that size."""
    return [Table("big", "gauge", "x" * size_bytes, Series(()))]


# ---- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (ASKS + b"x: " + b"y" * 20_000 + b"\r\n\r\n", 431, refusals.HEAD),
        (ASKS + b"x: " + b"y" * 200_000, 431, refusals.HEAD),
        (b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431, refusals.HEAD),
        (b"y" * 20_000, 431, refusals.HEAD),
        (ASKS + b"x: y\r\n" * 64 + b"\r\n", 431, refusals.HEAD),
        (ASKS + b"content-length: 1\r\n\r\n", 413, refusals.BODY),
        (ASKS + b"content-length: 99999999999\r\n\r\n" + b"y" * 10**6, 413, refusals.BODY),
        (ASKS + b"transfer-encoding: chunked\r\n\r\n", 413, refusals.BODY),
        (ASKS + b"expect: 100-continue\r\ncontent-length: 9\r\n\r\n", 413, refusals.BODY),
        (b"GET / HTTP/1.1\r\n\r\n", 400, refusals.MALFORMED),
        (b"GET / HTTP/3.0\r\nhost: x\r\n\r\n", 505, refusals.MALFORMED),
        (b"\x16\x03\x01\x00\xf1\x01\x00\x00\xed\x03\x03\r\n\r\n", 400, refusals.MALFORMED),
    ],
)
def test_what_is_too_much_or_no_request_is_refused(
    site: Any, source: Any, request_: bytes, status: int, reason: str
) -> None:
    answer = tell(site.server.url, request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close\r\n" in answer.lower()
    soon(lambda: source.refusals == {reason: 1})
    soon(lambda: site.server.connections == 0)


@pytest.mark.parametrize(
    "request_",
    [
        ASKS + b"x: " + b"y" * 16_000 + b"\r\n\r\n",
        ASKS + b"x: y\r\n" * 62 + b"\r\n",
        ASKS + b"content-length: 0\r\n\r\n",
    ],
)
def test_what_is_just_within_the_limits_is_answered(
    site: Any, source: Any, request_: bytes
) -> None:
    request_ = request_.replace(b"host: x", b"host: x\r\nconnection: close")
    assert tell(site.server.url, request_).startswith(b"HTTP/1.1 200 OK\r\n")
    assert not source.refusals


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from(
                [b"GET ", b"HEAD ", b"/metrics", b" HTTP/1.1", b"\r\n", b"\n", b"host: x", b":",
                 b"content-length: ", b"0", b"7", b"transfer-encoding: chunked", b"\0", b"\xff"]
            )
        ).map(b"".join),
    )
)  # fmt: skip
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_sent_the_next_one_is_served(site: Any, garbage: bytes) -> None:
    with connected(site.server.url) as client:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        answer = said(client)
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answer
    assert site.ask("/-/ready").status == 200


# ---- order ---------------------------------------------------------------------------------------


def test_requests_in_a_row_are_answered_in_a_row(site: Any) -> None:
    paths = [b"/-/ready", b"/none", b"/-/healthy", b"/metrics"] * 25
    text = b"".join(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path for path in paths)
    last = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = tell(site.server.url, text + last)
    statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404", b"200", b"200"] * 25 + [b"200"]


def test_byte_by_byte_is_the_same_request(site: Any) -> None:
    with connected(site.server.url) as client:
        for byte in ASKS + b"connection: close\r\n\r\n":
            client.sendall(bytes([byte]))
        assert said(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_who_says_no_more_still_gets_the_answer(site: Any, source: Any) -> None:
    source.the_tables = big(5_000_000)
    with connected(site.server.url) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert len(said(client)) > 5_000_000


# ---- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("say", [b"", b"G", ASKS])
def test_a_request_that_does_not_end_is_ended(run: Any, source: Any, say: bytes) -> None:
    url = run(source, LOOPBACK, Web(request_seconds=0.2)).server.url
    assert tell(url, say).startswith(b"HTTP/1.1 408 ")
    soon(lambda: source.refusals == {refusals.SLOW_REQUEST: 1})


def test_a_byte_now_and_then_gives_no_more_time(run: Any, source: Any) -> None:
    url = run(source, LOOPBACK, Web(request_seconds=1)).server.url
    with connected(url) as client:
        client.settimeout(0.1)
        answer = b""
        for _ in range(600):  # a minute
            with suppress(TimeoutError):
                client.sendall(b"x")
                answer = client.recv(100)
                break
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_second_request_that_does_not_end_is_ended(run: Any, source: Any) -> None:
    url = run(source, LOOPBACK, Web(request_seconds=0.2)).server.url
    answer = tell(url, ASKS + b"\r\n" + ASKS)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"408"]


def test_an_idle_connection_is_closed_and_not_counted(run: Any, source: Any) -> None:
    url = run(source, LOOPBACK, Web(idle_seconds=0.2)).server.url
    assert tell(url, ASKS + b"\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    assert not source.refusals


def test_who_does_not_take_the_answer_is_cut_off(run: Any, source: Any) -> None:
    source.the_tables = big(20_000_000)
    running = run(source, LOOPBACK, Web(answer_seconds=0.3))
    with connected(running.server.url, receive_bytes=4096) as stuck:
        stuck.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        soon(lambda: source.refusals)
        soon(lambda: source.refusals == {refusals.SLOW_READER: 1})
        soon(lambda: running.server.connections == 0)
        assert len(said(stuck)) < 20_000_000


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("say", [b"", ASKS, ASKS + b"\r\n"], ids=["silent", "half", "idle"])
def test_of_a_thousand_connections_the_scrape_is_answered(
    run: Any, source: Any, say: bytes
) -> None:
    running = run(source, LOOPBACK, Web(max_connections=100))
    with many(running.server.url, 1000, say):
        assert running.server.connections <= 100
        assert running.ask("/metrics").status == 200
        soon(lambda: source.refusals[refusals.CONNECTIONS] > 850)


def test_clients_that_never_read_give_way_to_a_scrape(run: Any, source: Any) -> None:
    source.the_tables = big(8_000_000)
    running = run(source, LOOPBACK, Web(max_connections=50))
    with many(running.server.url, 300, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"):
        assert len(running.ask("/metrics").body) > 8_000_000


def test_who_has_waited_longest_gives_way_first(run: Any, source: Any) -> None:
    running = run(source, LOOPBACK, Web(max_connections=4))
    with many(running.server.url, 4, ASKS) as clients:
        soon(lambda: running.server.connections == 4)
        clients[0].sendall(b"\r\n")
        assert clients[0].recv(15) == b"HTTP/1.1 200 OK"  # now it waits since a moment ago
        with connected(running.server.url) as newest:
            assert said(clients[1]) == b""
            for client in (clients[2], newest):
                client.sendall(b"\r\n" if client is not newest else ASKS + b"\r\n")
                assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_answers_that_nobody_takes_have_a_limit_together(run: Any, source: Any) -> None:
    running = run(source, LOOPBACK, Web(max_waiting_bytes=40_000_000))
    alive: list[int] = []
    clients = []
    try:
        for number in range(12):
            source.the_tables = big(9_000_000 + number)  # another answer for each
            client = connected(running.server.url, receive_bytes=4096)
            clients.append(client)
            sock = client.__enter__()
            sock.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            assert sock.recv(15) == b"HTTP/1.1 200 OK"
            alive.append(running.server.connections)
    finally:
        for client in clients:
            client.__exit__(None, None, None)
    assert max(alive) <= 5
    soon(lambda: source.refusals == {refusals.WAITING_BYTES: 8, refusals.GONE: 4})


@pytest.mark.parametrize("more", [b"", b"connection: close\r\n"])
def test_an_answer_is_let_go_once_it_is_taken(run: Any, source: Any, more: bytes) -> None:
    source.the_tables = big(3_000_000)
    running = run(source)
    with connected(running.server.url) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n" + more + b"\r\n")
        taken = 0
        while taken < 3_000_000:
            taken += len(client.recv(65536))
        soon(lambda: not any(one.answer for one in list(running.server._connections)))
        assert running.server.connections == 1  # though it has not gone


class Hanging:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.body = "well"
        self.go_on = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        while not self.go_on.is_set():
            await asyncio.sleep(0.01)
        await PlainTextResponse(self.body)(scope, receive, send)


@pytest.fixture
def hanging() -> Iterator[tuple[Hanging, Server]]:
    """Run that application in a server with room for four connections."""
    app = Hanging()
    server = Server(app, LOOPBACK, Web(max_connections=4))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    yield app, server
    app.go_on.set()
    server.stop()
    thread.join()


@pytest.mark.parametrize("requests", [1, 20])
def test_who_is_being_answered_does_not_give_way_and_the_next_one_waits(
    hanging: tuple[Hanging, Server], requests: int
) -> None:
    """Check clients that ask for several answers at once, too."""
    app, server = hanging
    whole = ASKS + b"\r\n"
    with many(server.url, 4, whole * requests) as clients:
        soon(lambda: app.asked == 4)
        with connected(server.url) as fifth:
            fifth.sendall(whole)
            assert server.connections == 4
            app.go_on.set()
            for client in (*clients, fifth):
                assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_a_newcomer_gets_in_though_those_before_it_do_not_take_their_answers(
    hanging: tuple[Hanging, Server],
) -> None:
    """Check one that came while all others were being answered, who then took no answer."""
    app, server = hanging
    app.body = "x" * 20_000_000
    with many(server.url, 4, ASKS + b"\r\n"):
        soon(lambda: app.asked == 4)
        with connected(server.url) as fifth:
            fifth.sendall(ASKS + b"\r\n")
            app.go_on.set()
            assert fifth.recv(15) == b"HTTP/1.1 200 OK"


def test_a_reader_that_gets_on_does_not_give_way(
    hanging: tuple[Hanging, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "STALLED_SECONDS", 60.0)  # on a busy machine they get on slowly
    app, server = hanging
    app.body = "x" * 20_000_000
    app.go_on.set()
    with ExitStack() as stack:
        readers = [stack.enter_context(connected(server.url)) for _ in range(4)]
        for reader in readers:
            reader.sendall(ASKS + b"\r\n")
        soon(lambda: app.asked == 4)
        taken = dict.fromkeys(readers, 0)
        with connected(server.url) as fifth:  # waits for them
            fifth.sendall(ASKS + b"\r\n")
            while min(taken.values()) < 20_000_000:
                for reader in readers:
                    if taken[reader] < 20_000_000:
                        got = len(reader.recv(65536))
                        assert got > 0
                        taken[reader] += got
            assert fifth.recv(15) == b"HTTP/1.1 200 OK"


def test_the_end_of_an_answer_is_not_lost_when_connections_give_way(
    hanging: tuple[Hanging, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check an end that neither client nor kernel has when the connection looks idle."""
    monkeypatch.setattr(web_server, "STALLED_SECONDS", 60.0)
    app, server = hanging
    app.body = "x" * 2_000_000
    app.go_on.set()
    for left in range(0, 1_000_000, 25_000):  # one of these leaves just the end to the server
        with connected(server.url) as reader:
            reader.sendall(ASKS + b"\r\n")
            taken = 0
            while taken < 2_000_000 - left:
                taken += len(reader.recv(min(65536, 2_000_000 - left - taken)))
            with many(server.url, 5, b""):
                soon(lambda: server.connections == 4)
                while taken < 2_000_000:
                    got = len(reader.recv(65536))
                    assert got > 0, left
                    taken += got
