# SPDX-License-Identifier: Apache-2.0
"""The HTTP server in the collector's own event loop, on a socket that we bind ourselves.

Why h11 under starlette, and connections of our own: what matters here is who gives way when there
are too many, how long a client may take for a request and for an answer, and which certificate the
next connection gets. Servers that are made for applications leave that to a proxy in front of them:
uvicorn limits the size of a head, answers everybody with 503 over a number of connections, waits
for the rest of a request or a slow reader for ever, and keeps the TLS context that it started with;
aiohttp and hypercorn are alike in this. granian brings its own runtime and worker processes, which
would have to be told every number first. h11 does the protocol, connection.py has the clock, and
this module the table of all connections. The application is ASGI, so that either can be replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from typing import Protocol

from shmetrics.config import Web
from shmetrics.config.address import Address
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
KERNEL_BYTES = 256 * 1024  # of an answer; left to itself the kernel takes megabytes for each
STALLED_SECONDS = 1.0  # a reader that got on since then does not give way
CROWDED_SECONDS = 0.1  # until somebody may have stalled
ACCEPT_PAUSE_SECONDS = 1.0  # after an error that will not go by itself

_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class AccessPolicy(Protocol):
    """How clients come in, as of now."""

    @property
    def context(self) -> ssl.SSLContext | None:
        """For the TLS of the next connection; None: there is no TLS."""

    def admits(self, transport: asyncio.Transport) -> bool:
        """Whether the client at the other end may ask at all."""


class OpenAccess:
    """For everybody, without TLS."""

    context = None

    def admits(self, transport: asyncio.Transport) -> bool:
        return True


class Server:
    """Listens from its construction on, answers while serve() runs."""

    def __init__(
        self,
        app: App,
        address: Address,
        limits: Web = Web(),  # noqa: B008
        access: AccessPolicy = OpenAccess(),  # noqa: B008
        observer: Observer = NullObserver(),  # noqa: B008
    ) -> None:
        """Binds. Raises ShmetricsError, one line, if the address cannot be had."""
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
        self._nobody = asyncio.Event()

    @property
    def address(self) -> Address:
        """Where it listens: the address and the port that were really taken."""
        return Address(*self._socket.getsockname()[:2])

    @property
    def url(self) -> str:
        """Where a client on this node finds it."""
        host, port = self.address
        if not self._address.host:  # every interface, of both protocols where there are two
            host = "127.0.0.1"
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"{self._scheme}://{Address(here, port)}"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def serve(self) -> None:
        """Answers until stop(). What is under way then has two seconds; a client that does not
        read is left."""
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
        await self._everybody_left(GRACE_SECONDS)
        for connection in list(self._connections):
            connection.abort()
        await self._everybody_left(GRACE_SECONDS)
        self._loop = None

    async def _everybody_left(self, seconds: float) -> None:
        self._nobody.clear()
        if self._connections or self._ending:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._nobody.wait(), seconds)

    def stop(self) -> None:
        """Ends serve() soon. May be called before it began, and by another thread."""
        if self._loop is None:
            self._told_to_stop.set()
        else:
            self._loop.call_soon_threadsafe(self._told_to_stop.set)

    def close(self) -> None:
        """Gives the address back, also if serve() never ran."""
        self._socket.close()

    # ---- who comes in -------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_A_TIME):
            full = len(self._connections) >= self._limits.max_connections
            least = self._least_loss() if full else None
            if full and least is None:  # all are being answered: it waits in the kernel's queue
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
        """An open file is got from who waits; if that does not help, we wait ourselves."""
        least = self._least_loss()
        if error.errno in _NO_DESCRIPTORS and least is not None:
            self._end(least, refusals.DESCRIPTORS)
        else:
            self._listen(False)
            loop = asyncio.get_running_loop()
            self._resuming = loop.call_later(ACCEPT_PAUSE_SECONDS, self._listen, True)

    def _least_loss(self) -> Connection | None:
        """Who gives way, if somebody has to: not who is being answered, or takes an answer well."""
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
        """Makes a transport of the socket, after TLS's handshake if there is TLS."""
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
        except Exception as error:  # TLS's transports do not know all ways in which a client leaves
            self._observer.refused(refusals.TLS)
            self._warn("a handshake", error)
        finally:
            if connection.transport is None:
                connection.connection_lost(None)

    def _end(self, connection: Connection, reason: str) -> None:
        """Its descriptor is free a moment later; its place is free now."""
        self._observer.refused(reason)
        del self._connections[connection]
        self._ending.add(connection)
        connection.abort()

    # ---- what connections tell: see connection.Owner ------------------------------------------

    def admits(self, connection: Connection) -> bool:
        assert connection.transport is not None
        return self._access.admits(connection.transport)

    def keeps(self, connection: Connection) -> bool:
        """Not if another certificate, or other names of clients, are in force since it began."""
        stopping = self._told_to_stop.is_set()
        return not stopping and self._connections.get(connection) is self._access.context

    def sending(self, connection: Connection) -> None:
        """Answers that wait to be taken have a limit together; an answer to many counts once."""
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
        """Of a fault that clients can repeat as they like."""
        kind = type(error).__name__
        self._rate_limited.warning(kind, f"{what}: {kind}: {error}")
        log.debug("%s", what, exc_info=error)

    def refused(self, reason: str) -> None:
        self._observer.refused(reason)

    def answered(self) -> None:
        """Somebody may give way again."""
        if self._crowded and self._resuming is not None:
            self._crowded = False
            self._resuming.cancel()
            self._listen(True)
            self._accept()

    def lost(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._ending.discard(connection)
        if not self._connections and not self._ending:
            self._nobody.set()
        self.answered()
