# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: accepts connections in the running loop, and closes some if they are too many.

Why not a server that exists already: what matters here is which connection gives way when there are
too many, how long a client may take for a request and for an answer, and which certificate the next
connection gets. Servers for applications leave that to a proxy in front of them. uvicorn limits the
size of a head and answers 503 above a number of connections, but it waits for ever for the rest of
a request or for a slow reader, and keeps the TLS context that it started with; aiohttp and
hypercorn are alike in this. granian has its own runtime and worker processes, to which every number
would have to be copied first. So h11 does the protocol, connection.py the limits of one connection,
and this module the limits of all. The application is ASGI, so that either side can be replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from typing import Protocol

from shmetrics.config.address import Address
from shmetrics.config.options import Web
from shmetrics.http import refusals
from shmetrics.http.asgi import App
from shmetrics.http.bind import bind
from shmetrics.http.connection import Connection, Phase
from shmetrics.http.observer import NullObserver, Observer
from shmetrics.rate_limited_log import RateLimitedLog

log = logging.getLogger(__name__)

BACKLOG = 512
ACCEPTS_AT_A_TIME = 64  # then the loop looks after the others
GRACE_SECONDS = 2.0
KERNEL_BYTES = 256 * 1024  # of an answer; without a limit the kernel takes megabytes for each
STALLED_SECONDS = 1.0  # a client that took something since then does not give way
CROWDED_SECONDS = 0.1  # until the next look for a connection that can give way
ACCEPT_PAUSE_SECONDS = 1.0  # after an error that would come again at once

_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class AccessPolicy(Protocol):
    """The choice of clients that may come in, by the rules in force."""

    @property
    def context(self) -> ssl.SSLContext | None:
        """Return the context for the TLS of the next connection; None without TLS."""

    def admits(self, transport: asyncio.Transport) -> bool:
        """Return whether the client at the other end may ask at all."""


class OpenAccess:
    """The access policy that lets everybody in, without TLS."""

    context = None

    def admits(self, transport: asyncio.Transport) -> bool:
        return True


class Server:
    """A server, which listens from its construction on, and answers while serve() runs."""

    def __init__(
        self,
        app: App,
        address: Address,
        limits: Web = Web(),  # noqa: B008
        access: AccessPolicy = OpenAccess(),  # noqa: B008
        observer: Observer = NullObserver(),  # noqa: B008
    ) -> None:
        """Bind the address.

        Args:
            app: Makes the answers.
            address: the address to listen on.
            limits: Of sizes, times and numbers.
            access: the choice of clients that may come in.
            observer: Told of each refusal.

        Raises:
            ShmetricsError: One line: the address cannot be had.
        """
        self._app = app
        self._address = address
        self._limits = limits
        self._access = access
        self._observer = observer
        self._socket = bind(address)
        self._scheme = "http" if access.context is None else "https"
        self._connections: dict[Connection, ssl.SSLContext | None] = {}
        self._ending: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._crowded = False
        self._rate_limited = RateLimitedLog(log)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resuming: asyncio.TimerHandle | None = None
        self._told_to_stop = asyncio.Event()
        self._all_left = asyncio.Event()

    @property
    def address(self) -> Address:
        """Return the address and the port that were bound."""
        return Address(*self._socket.getsockname()[:2])

    @property
    def url(self) -> str:
        """Return the URL for a client on this node."""
        host, port = self.address
        if not self._address.host:  # every interface, of both protocols where there are two
            host = "127.0.0.1"
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"{self._scheme}://{Address(here, port)}"

    @property
    def connections(self) -> int:
        """Return the number of open connections."""
        return len(self._connections)

    async def serve(self) -> None:
        """Answer until stop().

        Answers that are under way then have GRACE_SECONDS; clients that do not read are cut off.
        """
        self._loop = asyncio.get_running_loop()
        self._listen(True)
        await self._told_to_stop.wait()
        if self._resuming is not None:
            self._resuming.cancel()
        self._crowded = False
        self._listen(False)
        self._socket.close()
        for connection in list(self._connections):
            connection.finish()
        await self._wait_until_all_left(GRACE_SECONDS)
        for connection in list(self._connections):
            connection.abort()
        await self._wait_until_all_left(GRACE_SECONDS)
        self._loop = None

    async def _wait_until_all_left(self, seconds: float) -> None:
        self._all_left.clear()
        if self._connections or self._ending:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._all_left.wait(), seconds)

    def stop(self) -> None:
        """End serve() soon. May be called before serve() began, and by another thread."""
        if self._loop is None:
            self._told_to_stop.set()
        else:
            self._loop.call_soon_threadsafe(self._told_to_stop.set)

    def close(self) -> None:
        """Close the listening socket, also if serve() never ran."""
        self._socket.close()

    # ---- accepting ----------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_A_TIME):
            full = len(self._connections) >= self._limits.max_connections
            least = self._first_to_give_way() if full else None
            if full and least is None:  # none can give way: clients wait in the kernel's queue
                self._crowded = True
                self._listen(False)
                loop = asyncio.get_running_loop()
                self._resuming = loop.call_later(CROWDED_SECONDS, self.answered)
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._cannot_accept(error)
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
            if least is not None:
                self._end(least, refusals.CONNECTIONS)
            self._begin(accepted)

    def _cannot_accept(self, error: OSError) -> None:
        """Free a descriptor by ending a connection; if there is none to end, pause."""
        least = self._first_to_give_way()
        if error.errno in _NO_DESCRIPTORS and least is not None:
            self._end(least, refusals.DESCRIPTORS)
        else:
            self._listen(False)
            loop = asyncio.get_running_loop()
            self._resuming = loop.call_later(ACCEPT_PAUSE_SECONDS, self._listen, True)

    def _first_to_give_way(self) -> Connection | None:
        """Return the connection that gives way if one has to; None if none can.

        A connection that waits for the application does not, nor does one whose client takes its
        answer.
        """
        stalled = asyncio.get_running_loop().time() - STALLED_SECONDS
        idle = (
            one
            for one in self._connections
            if one.phase < Phase.TAKING or (one.phase is Phase.TAKING and one.since < stalled)
        )
        return min(idle, key=lambda one: (one.phase, one.since), default=None)

    def _listen(self, on: bool) -> None:
        loop = asyncio.get_running_loop()
        if on:
            loop.add_reader(self._socket, self._accept)
        else:
            loop.remove_reader(self._socket)

    def _begin(self, accepted: socket.socket) -> None:
        connection = Connection(self._app, self._limits, self)
        context = self._access.context
        self._connections[connection] = context
        opening = asyncio.create_task(self._open(connection, accepted, context))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(
        self, connection: Connection, accepted: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        """Make a transport of the socket, after the handshake of TLS if there is TLS."""
        if connection not in self._connections:  # has given way already
            accepted.close()
            connection.connection_lost(None)
            return
        connection.opening = asyncio.current_task()
        # The connection's own time is shorter, and counts why it ended.
        patience = None if context is None else self._limits.request_seconds + 1
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=context, ssl_handshake_timeout=patience
            )
        except OSError:  # ssl.SSLError is one
            self._observer.refused(refusals.TLS)
        except Exception as error:  # asyncio's TLS does not know all ways in which clients leave
            self._observer.refused(refusals.TLS)
            self._warn("a handshake", error)
        finally:
            if connection.transport is None:
                connection.connection_lost(None)

    def _end(self, connection: Connection, reason: str) -> None:
        """End a connection: its place is free now, its descriptor a moment later."""
        self._observer.refused(reason)
        del self._connections[connection]
        self._ending.add(connection)
        connection.abort()

    # ---- for connections: see connection.Owner ------------------------------------------------

    def admits(self, connection: Connection) -> bool:
        assert connection.transport is not None
        return self._access.admits(connection.transport)

    def keeps(self, connection: Connection) -> bool:
        """Return whether the TLS context is still the one with which the connection began."""
        stopping = self._told_to_stop.is_set()
        return not stopping and self._connections.get(connection) is self._access.context

    def sending(self, connection: Connection) -> None:
        """End slow connections while the answers that wait to be taken exceed their limit.

        An answer that several connections share counts once.
        """
        while True:
            taking = [one for one in self._connections if one.phase is Phase.TAKING]
            sizes = {id(one.answer): len(one.answer) for one in taking}
            own_bytes = sum(len(one.piece) for one in taking)
            shared_bytes = 0 if len(sizes) == 1 else sum(sizes.values())
            if shared_bytes + own_bytes <= self._limits.max_waiting_bytes or len(taking) == 1:
                return
            slowest = min(taking, key=lambda one: one.since)
            self._end(slowest, refusals.WAITING_BYTES)

    def failed(self, target: bytes, error: Exception) -> None:
        self._warn(f"no answer to {target[:200].decode('ascii', 'replace')}", error)

    def _warn(self, what: str, error: Exception) -> None:
        """Log a fault that clients can repeat as they like, each kind at most once a minute."""
        kind = type(error).__name__
        self._rate_limited.warning(kind, f"{what}: {kind}: {error}")
        log.debug("%s", what, exc_info=error)

    def refused(self, reason: str) -> None:
        self._observer.refused(reason)

    def answered(self) -> None:
        """Accept again, if accepting had paused because no connection could give way."""
        if self._crowded and self._resuming is not None:
            self._crowded = False
            self._resuming.cancel()
            self._listen(True)
            self._accept()

    def lost(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._ending.discard(connection)
        if not self._connections and not self._ending:
            self._all_left.set()
        self.answered()
