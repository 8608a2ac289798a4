# SPDX-License-Identifier: Apache-2.0
"""One HTTP request and its answer, within one time and of bounded size, whoever is there.

http.client has a time for each read alone: who sends a byte now and then, or `100 Continue` for
ever, holds it as long as it likes. Here one clock runs from the look-up of the name to the last
byte, and what comes in is counted. Of the standard library only: a command of OSProfiler's asks
collectors from environments that have nothing else.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import ssl
    from email.message import Message

#: Of the status, the headers and every `100 Continue` before them.
MOST_HEAD_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 64 * 1024


class TooMuch(OSError):
    """More comes than an answer may have."""


class Peer(NamedTuple):
    """Names the server that a request goes to. tls: None speaks plain HTTP; server_name: whom its
    certificate has to name, if that is not the host."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""


class Answer(NamedTuple):
    """body: no more of it than was wanted; is_whole: it is all."""

    status: int
    reason: str
    headers: Message
    body: bytes
    is_whole: bool


class Clock:
    """How long something may take in all, and how long nothing may come of it."""

    def __init__(self, seconds: float, silent_seconds: float | None = None) -> None:
        """Begins now. silent_seconds: the longest wait for one step; None: there is none."""
        self._ends_at = time.monotonic() + seconds
        self._silent_seconds = seconds if silent_seconds is None else silent_seconds

    def left(self) -> float:
        """Seconds for the next step. Raises TimeoutError."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return min(left, self._silent_seconds)


def exchange(
    peer: Peer,
    method: str,
    path: str,
    headers: Mapping[str, str],
    clock: Clock,
    body: bytes | None = None,
    most_bytes: int = 64 * 1024,
) -> Answer:
    """Asks, on a connection of its own. most_bytes: of the answer's body. Raises OSError, of which
    TimeoutError is one, http.client.HTTPException, and ValueError for what cannot be sent."""
    sock = connected(peer, clock)
    try:
        connection = _Connection(peer, _Stream(sock, clock, MOST_HEAD_BYTES + most_bytes))
        connection.request(method, path, body, {**headers, "Connection": "close"})
        with connection.getresponse() as response:
            said = response.read(most_bytes + 1)
            if response.length and len(said) <= most_bytes:
                raise http.client.IncompleteRead(said, response.length)
        return Answer(
            response.status,
            response.reason,
            response.headers,
            said[:most_bytes],
            len(said) <= most_bytes,
        )
    finally:
        sock.close()


def connected(peer: Peer, clock: Clock) -> socket.socket:
    """A connection, with TLS if that is wanted. Raises OSError."""
    addresses = lookups.addresses(peer.host, peer.port, clock.left())
    problem: OSError = OSError(f"{peer.host}: no address")
    for n_tried, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            # One that is silent leaves time for the others.
            sock.settimeout(clock.left() / (len(addresses) - n_tried))
            sock.connect(address)
            if peer.tls is None:
                return sock
            sock.settimeout(clock.left())  # of the whole handshake
            return peer.tls.wrap_socket(sock, server_hostname=peer.server_name or peer.host)
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
    raise problem


class _Connection(http.client.HTTPConnection):
    """HTTP on a stream that is there already."""

    def __init__(self, peer: Peer, stream: _Stream) -> None:
        if peer.tls is not None:
            self.default_port = http.client.HTTPS_PORT
        super().__init__(peer.host, peer.port)
        self.sock: Any = stream


class _Stream(io.RawIOBase):
    """A socket as http.client uses one: each step has what is left of the time, and what is read is
    counted. Who made the socket closes it."""

    def __init__(self, sock: socket.socket, clock: Clock, most_bytes: int) -> None:
        self._sock = sock
        self._clock = clock
        self._left_bytes = most_bytes

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            self._sock.settimeout(self._clock.left())
            left = left[self._sock.send(left[:_PIECE_BYTES]) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if self._left_bytes <= 0:
            raise TooMuch("the answer has no end")
        self._sock.settimeout(self._clock.left())
        n = self._sock.recv_into(memoryview(into)[: self._left_bytes])
        self._left_bytes -= n
        return n

    def close(self) -> None:
        """http.client closes what it has read from; there may be more of it."""


_Key: TypeAlias = tuple[int, str, int]  # a process, a host and a port


class Lookups:
    """Looks names up in threads of its own: the system's resolver takes its time, and cannot be
    told to end. A name has one thread at most, however often it is asked for. What it finds is for
    those who wait for it: who asks later has a look-up of his own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[_Key, _Lookup] = {}

    def addresses(self, host: str, port: int, seconds: float) -> list[Any]:
        """As getaddrinfo() gives them. Raises OSError."""
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)
        except (socket.gaierror, UnicodeError):
            pass  # it is a name, or none, which a thread will say
        key = os.getpid(), host, port  # a fork has none of the threads
        with self._lock:
            lookup = self._under_way.get(key)
            if lookup is None:
                try:
                    lookup = _Lookup(host, port, partial(self._end, key))
                except RuntimeError as error:  # there are too many threads
                    raise OSError(f"{host} cannot be looked up: {error}") from None
                self._under_way[key] = lookup
        if not lookup.has_ended.wait(seconds):
            raise TimeoutError(f"timed out looking up {host}")
        if lookup.problem is not None:
            raise lookup.problem
        return lookup.found

    def _end(self, key: _Key) -> None:
        """Forgets a look-up. Its own thread says so, for nobody else may be there any more."""
        with self._lock:  # so it is noted before it is forgotten
            del self._under_way[key]


class _Lookup:
    """Looks one name up, in a thread."""

    def __init__(self, host: str, port: int, ended: Callable[[], None]) -> None:
        """Begins. ended: is called by the thread before what was found is told. Raises RuntimeError
        if there are too many threads."""
        self.has_ended = threading.Event()
        self.found: list[Any] = []
        self.problem: OSError | None = None
        self._where = host, port
        self._ended = ended
        threading.Thread(target=self._run, name="shmetrics-lookup", daemon=True).start()

    def _run(self) -> None:
        try:
            self.found = socket.getaddrinfo(*self._where, type=socket.SOCK_STREAM)
        except OSError as error:
            self.problem = error
        except UnicodeError:
            self.problem = OSError(f"{self._where[0]!r} is no name of a host")
        finally:
            self._ended()
            self.has_ended.set()


lookups = Lookups()
