# SPDX-License-Identifier: Apache-2.0
"""One HTTP request and its answer, within a limited time and a limited size, for any server.

http.client has a time limit for each read alone: a server that sends a byte now and then, or
`100 Continue` for ever, can hold it without end. Here one clock runs from the look-up of the name
to the last byte, and the bytes of the answer are counted. This needs the standard library only,
because OSProfiler's command asks collectors from environments that have nothing else.
"""

from __future__ import annotations

import email.utils
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

#: The most bytes of the status, the headers and every `100 Continue` before them.
MOST_HEAD_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 64 * 1024


class AnswerTooLong(OSError):
    """An answer is longer than allowed."""


class Peer(NamedTuple):
    """The server that a request goes to.

    Attributes:
        host: its name or address.
        port: its port.
        tls: the context of TLS; None: plain HTTP.
        server_name: the name in its certificate, if that is not the host.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""


class Answer(NamedTuple):
    """An answer. Its body has at most the wanted bytes; is_whole tells whether that is all."""

    status: int
    reason: str
    headers: Message
    body: bytes
    is_whole: bool


class Clock:
    """A time limit for an exchange as a whole, and for each of its steps."""

    def __init__(self, seconds: float, silent_seconds: float | None = None) -> None:
        """Start the clock.

        Args:
            seconds: the limit for the whole exchange.
            silent_seconds: the limit for one step; None: no limit of its own.
        """
        self._ends_at = time.monotonic() + seconds
        self._silent_seconds = seconds if silent_seconds is None else silent_seconds

    def left(self) -> float:
        """Return the seconds that the next step may take. Raises TimeoutError if none are left."""
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
    """Send a request on a connection of its own, and return the answer.

    Args:
        peer: the server.
        method: the HTTP method.
        path: the path, with the query.
        headers: the headers of the request.
        clock: the time limit.
        body: the body of the request, or None.
        most_bytes: the most bytes of the answer's body that are read.

    Raises:
        OSError: the server cannot be reached, or answers too late (TimeoutError) or too much.
        http.client.HTTPException: the answer is not HTTP.
        ValueError: the request cannot be sent, because of its path or headers.
    """
    sock = connect(peer, clock)
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


def connect(peer: Peer, clock: Clock) -> socket.socket:
    """Connect to a server, with TLS if the peer wants it. Raises OSError."""
    addresses = lookups.addresses(peer.host, peer.port, clock.left())
    problem: OSError = OSError(f"{peer.host}: no address")
    for n_tried, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            # An address that does not answer leaves time for the others.
            sock.settimeout(clock.left() / (len(addresses) - n_tried))
            sock.connect(address)
            if peer.tls is None:
                return sock
            sock.settimeout(clock.left())  # for the whole handshake
            return peer.tls.wrap_socket(sock, server_hostname=peer.server_name or peer.host)
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
    raise problem


def retry_after_seconds(said: str) -> float:
    """Return the seconds of a Retry-After header: a number, or a date; 0 if it is neither."""
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        return max(email.utils.parsedate_to_datetime(said).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


class _Connection(http.client.HTTPConnection):
    """HTTP on an existing stream."""

    def __init__(self, peer: Peer, stream: _Stream) -> None:
        if peer.tls is not None:
            self.default_port = http.client.HTTPS_PORT
        super().__init__(peer.host, peer.port)
        self.sock: Any = stream


class _Stream(io.RawIOBase):
    """A socket as http.client uses one, with the limits of time and size.

    Each step may take the time that is left, and the bytes that are read are counted. The caller
    closes the socket.
    """

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
            raise AnswerTooLong("the answer has no end")
        self._sock.settimeout(self._clock.left())
        n = self._sock.recv_into(memoryview(into)[: self._left_bytes])
        self._left_bytes -= n
        return n

    def close(self) -> None:
        """Do nothing: http.client closes its reader, but the socket may have more to read."""


_Key: TypeAlias = tuple[int, str, int]  # a process, a host and a port


class Lookups:
    """Look-ups of host names, in threads, because the system's resolver has no time limit.

    A name has one thread at most, however many callers wait for it. Its result is for these
    callers; later callers start a new look-up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[_Key, _Lookup] = {}

    def addresses(self, host: str, port: int, seconds: float) -> list[Any]:
        """Return the addresses of a host, as getaddrinfo() does.

        Args:
            host: a name or an address.
            port: the port.
            seconds: the longest wait.

        Raises:
            OSError: there are none, or the look-up takes too long (TimeoutError).
        """
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)
        except (socket.gaierror, UnicodeError):
            pass  # not an address: a thread looks it up as a name
        key = os.getpid(), host, port  # a forked child has none of the threads
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
        """Forget a look-up. Its own thread calls this, as no caller may wait for it any more."""
        with self._lock:  # so that it is stored before it is forgotten
            del self._under_way[key]


class _Lookup:
    """A look-up of one name, in a thread."""

    def __init__(self, host: str, port: int, ended: Callable[[], None]) -> None:
        """Start the thread.

        Args:
            host: the name.
            port: the port.
            ended: called by the thread before the result is available.

        Raises:
            RuntimeError: there are too many threads.
        """
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
            self.problem = OSError(f"{self._where[0]!r} is not the name of a host")
        finally:
            self._ended()
            self.has_ended.set()


lookups = Lookups()
