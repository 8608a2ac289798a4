# SPDX-License-Identifier: Apache-2.0
"""One request and its answer, in time and of bounded size, whatever the other side does."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from shmetrics import http_client as module
from shmetrics.http_client import Answer, AnswerTooLong, Clock, Lookups, Peer, exchange
from tests.servers.misbehaving import ANSWER, Conversation, Dripping, Misbehaving

SOON, LATER = 0.3, 60.0


@pytest.fixture
def serve() -> Iterator[Callable[..., Misbehaving]]:
    """Start a server that behaves like this."""
    with_all: list[Misbehaving] = []

    def start(does: Callable[[Conversation], None]) -> Misbehaving:
        with_all.append(Misbehaving(does))
        return with_all[-1]

    yield start
    for each in with_all:
        each.close()


def ask(port: int, seconds: float = LATER, **more: Any) -> Answer:
    return exchange(Peer("127.0.0.1", port), "GET", "/", {}, Clock(seconds), **more)


def good(client: Conversation) -> None:
    client.listen()
    client.say(ANSWER)


def test_an_answer(serve: Callable[..., Misbehaving]) -> None:
    found = ask(serve(good).port)
    assert (found.status, found.reason, found.body, found.is_whole) == (200, "OK", b"{}", True)
    assert found.headers["content-length"] == "2"


# ---- in time ------------------------------------------------------------------------------------


def hears_nothing(client: Conversation) -> None:
    client.wait()
    good(client)


def says_nothing(client: Conversation) -> None:
    client.listen()
    client.wait()
    client.say(ANSWER)


def drips(client: Conversation) -> None:
    client.listen()
    client.drip(ANSWER)


def drips_headers(client: Conversation) -> None:
    client.listen()
    client.say(b"HTTP/1.1 200 OK\r\n")
    while client.wait(0.02):
        client.say(b"a: b\r\n")
    client.say(b"\r\n")


def drips_a_body(client: Conversation) -> None:
    client.listen()
    client.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    client.drip(bytes(100_000))


def drips_chunks(client: Conversation) -> None:
    client.listen()
    client.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while client.wait(0.02):
        client.say(b"1\r\na\r\n")
    client.say(b"0\r\n\r\n")


def drips_trailers(client: Conversation) -> None:
    client.listen()
    client.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    while client.wait(0.02):
        client.say(b"a: b\r\n")
    client.say(b"\r\n")


def drips_continues(client: Conversation) -> None:
    client.listen()
    while client.wait(0.02):
        client.say(b"HTTP/1.1 100 Continue\r\n\r\n")
    client.say(ANSWER)


def never_ends_a_body(client: Conversation) -> None:
    client.listen()
    client.say(b"HTTP/1.1 200 OK\r\n\r\n{")
    client.wait()


SLOW = [
    *(hears_nothing, says_nothing, drips, drips_headers, drips_a_body, drips_chunks),
    *(drips_trailers, drips_continues, never_ends_a_body),
]


@pytest.mark.parametrize("does", SLOW)
def test_whoever_is_slow_is_left(
    serve: Callable[..., Misbehaving], does: Callable[[Conversation], None]
) -> None:
    server = serve(does)
    with pytest.raises(TimeoutError, match="timed out"):
        ask(server.port, SOON)
    assert server.over.acquire(timeout=LATER)  # nothing is held open


@pytest.mark.parametrize("does", [hears_nothing, says_nothing, never_ends_a_body])
def test_whoever_says_nothing_for_long_is_left_sooner(
    serve: Callable[..., Misbehaving], does: Callable[[Conversation], None]
) -> None:
    peer = Peer("127.0.0.1", serve(does).port)
    with pytest.raises(TimeoutError, match="timed out"):
        exchange(peer, "GET", "/", {}, Clock(LATER, SOON))


def test_whoever_says_something_now_and_then_has_all_the_time(
    serve: Callable[..., Misbehaving],
) -> None:
    peer = Peer("127.0.0.1", serve(drips).port)
    assert exchange(peer, "GET", "/", {}, Clock(LATER, 2.0)).body == b"{}"


def test_who_takes_no_request_is_left(serve: Callable[..., Misbehaving]) -> None:
    def takes_none(client: Conversation) -> None:
        client.wait()
        for _ in range(1 << 12):
            client.listen()
        client.say(ANSWER)

    server = serve(takes_none)
    with pytest.raises(TimeoutError, match="timed out"):
        ask(server.port, SOON, body=bytes(1 << 24))


def test_who_takes_a_request_in_small_pieces_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    waits = []

    class Slow(socket.socket):
        """A client that takes a byte a second."""

        def settimeout(self, value: float | None) -> None:
            waits.append(value)

        def send(self, *_: object) -> int:
            now[0] += 1.0
            return 1

    with Slow() as slow:
        stream = module._Stream(slow, Clock(5.0), 0)
        stream.sendall(bytes(4))
        with pytest.raises(TimeoutError, match="timed out"):
            stream.sendall(bytes(100))
    assert waits == [5.0, 4.0, 3.0, 2.0, 1.0]


# ---- with TLS -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def known(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def secured(authority: trustme.CA) -> Iterator[int]:
    """Yield the port of a server that speaks TLS, and answers well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("node-1", "127.0.0.1").configure_cert(context)

    def does(client: Conversation) -> None:
        with context.wrap_socket(client._sock, server_side=True) as sock:
            sock.recv(1 << 16)
            sock.sendall(ANSWER)

    server = Misbehaving(does)
    yield server.port
    server.close()


def test_an_answer_over_tls(secured: int, known: ssl.SSLContext) -> None:
    for peer in (
        Peer("127.0.0.1", secured, known),
        Peer("127.0.0.1", secured, known, "node-1"),
    ):
        assert exchange(peer, "GET", "/", {}, Clock(LATER)).body == b"{}"
    for peer in (
        Peer("127.0.0.1", secured, ssl.create_default_context()),
        Peer("127.0.0.1", secured, known, "node-2"),
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            exchange(peer, "GET", "/", {}, Clock(LATER))


def test_a_handshake_that_drips_is_left(secured: int, known: ssl.SSLContext) -> None:
    with closing(Dripping(secured)) as proxy, pytest.raises(TimeoutError, match="timed out"):
        exchange(Peer("127.0.0.1", proxy.port, known), "GET", "/", {}, Clock(SOON))


def test_a_handshake_that_never_comes_is_left(
    serve: Callable[..., Misbehaving], known: ssl.SSLContext
) -> None:
    server = serve(says_nothing)
    with pytest.raises(TimeoutError, match="timed out"):
        exchange(Peer("127.0.0.1", server.port, known), "GET", "/", {}, Clock(SOON))


# ---- of bounded size ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        b"HTTP/1.1 100 Continue\r\n" + b"a: b\r\n" * 50 + b"\r\n",
    ],
)
def test_who_says_continue_for_ever_is_left(serve: Callable[..., Misbehaving], said: bytes) -> None:
    """Check that this takes much less than the whole time: it would keep a processor busy."""

    def does(client: Conversation) -> None:
        client.listen()
        client.flood(said)
        client.say(ANSWER)

    with pytest.raises(AnswerTooLong, match="no end"):
        ask(serve(does).port)


@pytest.mark.parametrize(
    "said",
    [
        *(b"a: b\r\n" * 1000, b"a" * 65536, b"a: " + b"b" * 60_000 + b"\r\n"),
        *(b" b\r\n" * 1000, b"\0" * 65536),
    ],
)
def test_headers_without_end_are_left(serve: Callable[..., Misbehaving], said: bytes) -> None:
    def does(client: Conversation) -> None:
        client.listen()
        client.say(b"HTTP/1.1 200 OK\r\n")
        client.flood(said)
        client.say(b"\r\n\r\n")

    with pytest.raises((AnswerTooLong, http.client.HTTPException)):
        ask(serve(does).port)


@pytest.mark.parametrize("how", ["length", "chunked", "close"])
def test_of_a_body_without_end_no_more_is_taken_than_is_wanted(
    serve: Callable[..., Misbehaving], how: str
) -> None:
    head = {
        "length": b"Content-Length: 67108864\r\n\r\n",
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n",
        "close": b"\r\n",
    }[how]
    piece = b"1000\r\n" + b"x" * 4096 + b"\r\n" if how == "chunked" else b"x" * 4096

    def does(client: Conversation) -> None:
        client.listen()
        client.say(b"HTTP/1.1 200 OK\r\n" + head)
        client.flood(piece)

    found = ask(serve(does).port, most_bytes=100_000)
    assert (found.body, found.is_whole) == (b"x" * 100_000, False)


@pytest.mark.parametrize("n_bytes", [0, 1, 999, 1000])
@pytest.mark.parametrize("how", ["length", "chunked", "close"])
def test_a_body_that_fits_is_whole(
    serve: Callable[..., Misbehaving], how: str, n_bytes: int
) -> None:
    body = b"x" * n_bytes
    said = {
        "length": b"Content-Length: %d\r\n\r\n%s" % (n_bytes, body),
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n"
        + (b"%x\r\n%s\r\n" % (n_bytes, body) if body else b"")
        + b"0\r\n\r\n",
        "close": b"\r\n" + body,
    }[how]

    def does(client: Conversation) -> None:
        client.listen()
        client.say(b"HTTP/1.1 200 OK\r\n" + said)

    found = ask(serve(does).port, most_bytes=1000)
    assert (found.body, found.is_whole) == (body, True)


@pytest.mark.parametrize(
    "said",
    [
        *(b"", b"HTTP/1.1 20", b"HTTP/1.1 999999 x\r\n\r\n", b"HTTP/1.1 -20 x\r\n\r\n"),
        *(b"\0\1\2\3" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12345"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
    ],
)
def test_what_is_no_answer_is_an_error(serve: Callable[..., Misbehaving], said: bytes) -> None:
    def does(client: Conversation) -> None:
        client.listen()
        client.say(said)

    with pytest.raises((OSError, http.client.HTTPException)):
        ask(serve(does).port)


# ---- names --------------------------------------------------------------------------------------


class Resolver:
    """A resolver in the place of the system's, which waits at each name until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, addresses: list[tuple[str, int]]) -> None:
        self.asked = 0
        self.go = threading.Event()
        real = socket.getaddrinfo

        def resolve(host: str, port: int, **how: Any) -> Any:
            if "flags" in how:
                return real(host, port, **how)
            self.asked += 1
            assert self.go.wait(LATER)
            return [found for address in addresses for found in real(*address, **how)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_a_name_that_is_looked_up_slowly_is_left_and_looked_up_once(
    serve: Callable[..., Misbehaving], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(good)
    resolver = Resolver(monkeypatch, [("127.0.0.1", server.port)])
    peer = Peer("node-1", 4318)
    for _ in range(5):
        with pytest.raises(TimeoutError, match="timed out looking up node-1"):
            exchange(peer, "GET", "/", {}, Clock(0.01))
    (lookup,) = module.lookups._under_way.values()

    class Awaited(threading.Event):
        """An event that lets the resolver go on once somebody waits."""

        def wait(self, timeout: float | None = None) -> bool:
            resolver.go.set()
            return super().wait(timeout)

    lookup.has_ended = Awaited()
    assert exchange(peer, "GET", "/", {}, Clock(LATER)).body == b"{}"
    assert resolver.asked == 1
    assert exchange(peer, "GET", "/", {}, Clock(LATER)).body == b"{}"
    assert resolver.asked == 2  # an answer is not kept


def test_what_a_look_up_finds_when_nobody_waits_any_more_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check addresses and failures that may be hours old when somebody asks again."""
    addresses = [("127.0.0.1", 1)]
    resolver = Resolver(monkeypatch, addresses)
    lookups = Lookups()
    with pytest.raises(TimeoutError, match="timed out looking up node-1"):
        lookups.addresses("node-1", 4318, 0.01)
    (left,) = lookups._under_way.values()
    resolver.go.set()
    assert left.has_ended.wait(LATER)
    assert lookups._under_way == {}
    addresses[:] = [("127.0.0.2", 1)]
    ((*_, address),) = lookups.addresses("node-1", 4318, LATER)
    assert address == ("127.0.0.2", 1)


def test_of_several_addresses_one_that_is_silent_leaves_time_for_the_next(
    serve: Callable[..., Misbehaving], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(good)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        silent: int = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", silent))
        resolver = Resolver(monkeypatch, [("127.0.0.1", silent), ("127.0.0.1", server.port)])
        resolver.go.set()
        assert exchange(Peer("node-1", 1), "GET", "/", {}, Clock(4.0)).body == b"{}"
        for each in waiting:
            each.close()


@pytest.mark.parametrize("host", ["nosuch.invalid", "x" * 300, "a..b", "\ud800"])
def test_a_name_of_nobody_is_an_error(host: str) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        Lookups().addresses(host, 80, LATER)
    assert not isinstance(caught.value, TimeoutError)


def test_a_look_up_that_cannot_begin_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        with pytest.raises(OSError, match="cannot be looked up: can't start new thread"):
            lookups.addresses("localhost", 80, LATER)
    assert lookups.addresses("localhost", 80, LATER)


def test_nobody_is_connected_to_when_the_time_is_over(
    serve: Callable[..., Misbehaving], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(good)
    clock = Clock(0.0)
    with pytest.raises(TimeoutError, match="timed out"):
        exchange(Peer("127.0.0.1", server.port), "GET", "/", {}, clock)
    assert server.connections == 0
    assert module.lookups._under_way == {}
