# SPDX-License-Identifier: Apache-2.0
"""One HTTP/1.1 connection: bytes to requests, the application's answers to bytes, within limits.

h11 knows the protocol; this module limits sizes and times. No request has a body here, so a request
is its head, which has to be complete within a time and a size. An answer is sent in pieces, each
when the kernel has taken the one before it. So a client that does not read costs one piece and a
reference to the answer, for a limited time.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Sized
from typing import Protocol

import h11

from shmetrics.config.options import Web
from shmetrics.http import asgi, refusals
from shmetrics.http.asgi import App, Message

PIECE_BYTES = 256 * 1024
# A client that is refused may still be sending. If the connection were closed at once, the client's
# kernel would drop the answer unread.
LINGER_SECONDS = 2.0


class Phase(enum.IntEnum):
    """The phase of a connection. Where too many are open, they give way in this order."""

    LEAVING = 0  # has been sent its last answer
    ASKING = 1  # has sent no complete request since it began, or since its last answer
    TAKING = 2  # is being sent its answer
    WAITING = 3  # waits for the application; does not give way


class Owner(Protocol):
    """The server, as a connection sees it."""

    def admits(self, connection: Connection) -> bool:
        """Return whether this client may ask at all; called once, when it has connected."""

    def keeps(self, connection: Connection) -> bool:
        """Return whether the connection may have another request."""

    def sending(self, connection: Connection) -> None:
        """Note that a piece of an answer is about to be sent; connection.answer is that answer."""

    def answered(self) -> None:
        """Note that an answer was sent, before the next request is read."""

    def failed(self, target: bytes, error: Exception) -> None:
        """Note that the application raised an error for a request of this target."""

    def refused(self, reason: str) -> None:
        """Note that a client is refused or cut off: a reason of shmetrics.http.refusals."""

    def lost(self, connection: Connection) -> None:
        """Note that the connection has ended."""


class Connection(asyncio.Protocol):
    """A client's connection, from the accepted socket to its end.

    The time for the first request includes the handshake of TLS.

    Attributes:
        phase: the phase of the connection.
        since: the time of its last progress, on the loop's clock, in seconds.
        answer: the answer that its client has yet to take; other connections may share it.
        piece: The part of the answer that this connection alone keeps in memory.
        transport: None before and after.
        opening: The task that makes the transport; set by the owner.
    """

    def __init__(self, app: App, limits: Web, owner: Owner) -> None:
        self._app = app
        self._limits = limits
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._h11 = h11.Connection(h11.SERVER, limits.max_head_bytes)
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._started: Message | None = None
        self._asked_before = False
        self._head_only = False
        self._heard_all = False
        self.transport: asyncio.Transport | None = None
        self.opening: asyncio.Task[None] | None = None
        self.answer: Sized = b""
        self.piece = b""
        self._enter(Phase.ASKING, limits.request_seconds)

    def _enter(self, phase: Phase, seconds: float | None) -> None:
        self.phase = phase
        self.since = self._loop.time()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._late)

    def _late(self) -> None:
        """End the connection: the time for its phase is over."""
        idle = self._asked_before and not self._h11.trailing_data[0]
        if self.phase is Phase.TAKING:
            self._owner.refused(refusals.SLOW_READER)
        elif self.phase is Phase.ASKING and not idle:
            self._owner.refused(refusals.SLOW_REQUEST)
            if self.transport is not None:
                self._refuse(408, "the request took too long")
                return
        self.abort()

    def abort(self) -> None:
        """End the connection at once, whatever it is doing."""
        if self.transport is not None:
            self.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def finish(self) -> None:
        """End the connection after the answer that is under way, if there is one."""
        if self.phase is Phase.ASKING and self.transport is not None:
            self.transport.close()
        elif self.phase is Phase.ASKING:
            self.abort()

    # ---- the transport's side -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # Writing pauses until the kernel has taken everything. (asyncio's TLS pauses at the limit
        # that is set here, its TCP above that.)
        transport.set_write_buffer_limits(1 if transport.get_extra_info("sslcontext") else 0, 0)
        if not self._owner.admits(self):
            self._owner.refused(refusals.CLIENT_NAME)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if exc is not None and self.phase in (Phase.WAITING, Phase.TAKING):
            self._owner.refused(refusals.GONE)
        if self.transport is not None:
            self.transport.close()  # in CPython 3.10 the transport of TLS does not know
        self.transport = None
        self.answer = self.piece = b""
        self._writable.set()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def eof_received(self) -> bool:
        """Return whether to keep the connection open for writing.

        An answer that is due can still be sent, but not with TLS, which has no half-open state.
        """
        assert self.transport is not None
        self._heard_all = True
        return self.phase in (Phase.WAITING, Phase.TAKING) and self.transport.can_write_eof()

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.LEAVING or self.transport is None:
            return
        if self.phase is Phase.ASKING:
            if self._asked_before and not self._h11.trailing_data[0]:
                self._enter(Phase.ASKING, self._limits.request_seconds)
            self._h11.receive_data(data)
            self._read()
        else:  # the next request, before this one is answered: keep it, and read no further
            self._h11.receive_data(data)
            self.transport.pause_reading()

    # ---- requests -----------------------------------------------------------------------------

    def _read(self) -> None:
        """Read a request, if all of it has come, and serve it."""
        try:
            event = self._h11.next_event()
            if not isinstance(event, h11.Request):
                self._end_if_heard_all()
                return
            size = len(event.target) + sum(len(name) + len(value) for name, value in event.headers)
            if size > self._limits.max_head_bytes or len(event.headers) > self._limits.max_headers:
                raise h11.RemoteProtocolError("the request is too large", 431)
            if event.http_version not in (b"1.0", b"1.1"):
                raise h11.RemoteProtocolError("this is another protocol", 505)
            if not isinstance(self._h11.next_event(), h11.EndOfMessage):
                self._owner.refused(refusals.BODY)
                self._refuse(413, "no request here has a body")
                return
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            self._owner.refused(refusals.HEAD if status == 431 else refusals.MALFORMED)
            self._refuse(status, "too large a request" if status == 431 else "this is not HTTP/1.1")
            return
        self._asked_before = True
        self._head_only = event.method == b"HEAD"
        self._enter(Phase.WAITING, None)
        self._task = self._loop.create_task(self._serve(event))

    def _refuse(self, status: int, why: str) -> None:
        """Answer without the application, and end the connection."""
        assert self.transport is not None
        body = f"{status} {why}\n".encode()
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [(b"content-type", b"text/plain; charset=utf-8"), asgi.date()]
            headers += [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
            self._write(asgi.response(status, headers))
            self._write(h11.Data(data=body))
            self._write(h11.EndOfMessage())
        self._leave(LINGER_SECONDS)

    def _leave(self, seconds: float) -> None:
        """Send no more; the client has some seconds to take what was sent."""
        assert self.transport is not None
        self._enter(Phase.LEAVING, seconds)
        self.answer = b""
        if self._is_gone():
            return
        self._read_on()
        if self._heard_all or not self.transport.can_write_eof():
            self.transport.close()  # what was written is still sent; nothing is left to read
            return
        try:
            self.transport.write_eof()
        except OSError:  # the client has left since its answer was sent
            self._owner.refused(refusals.GONE)
            self.abort()

    # ---- answers ------------------------------------------------------------------------------

    async def _serve(self, request: h11.Request) -> None:
        if self.transport is None:
            return
        try:
            await self._app(asgi.scope(request, self.transport), asgi.receive, self._send)
        except asgi.ClientGone:
            pass
        except Exception as error:
            self._owner.failed(request.target, error)
        if self._is_gone():
            return
        if self._started is None:
            self._refuse(500, "the collector's log says more")
        elif self._h11.our_state is h11.SEND_BODY:
            self.abort()
        elif self._h11.our_state is h11.MUST_CLOSE:
            self._leave(self._limits.answer_seconds)
            self._owner.answered()
        else:
            self._next()

    def _next(self) -> None:
        assert self.transport is not None
        self._h11.start_next_cycle()
        self._started = None
        self.answer = b""
        waiting = bool(self._h11.trailing_data[0])
        limits = self._limits
        self._enter(Phase.ASKING, limits.request_seconds if waiting else limits.idle_seconds)
        self._read_on()
        self._owner.answered()  # which may make this connection give way
        if self.transport is None or self.transport.is_closing():
            return
        if waiting:
            self._read()
        else:
            self._end_if_heard_all()

    def _end_if_heard_all(self) -> None:
        """End a connection that can have no further request.

        The client ended its half while an answer was being sent that did not say "close". asyncio
        does not watch the socket any more, so nothing else would end the connection.
        """
        if self._heard_all and self.transport is not None:
            self.transport.close()

    async def _send(self, message: Message) -> None:
        """Send the application's answer: its start, then its body in one message or several.

        An answer that is made while it is sent has the extra key "answer" in its start: what it is
        made of, whose length is the memory that it holds until the last client has taken it.

        Raises:
            ClientGone: There is nobody to answer any more.
        """
        if self._is_gone():
            raise asgi.ClientGone
        if message["type"] == "http.response.start":
            self._started = message
            headers = [*message["headers"], asgi.date()]
            if self._heard_all or not self._owner.keeps(self):
                headers.append((b"connection", b"close"))
            self._write(asgi.response(message["status"], headers))
            self.answer = message.get("answer", b"")
            self._enter(Phase.TAKING, self._limits.answer_seconds)
            return
        body = message.get("body", b"")
        if body and not self._head_only:
            await self._send_body(body)
        if not message.get("more_body", False):
            self._write(h11.EndOfMessage())
            # Without this a connection that gives way between two requests could lose the end of
            # its answer.
            await self._writable.wait()

    async def _send_body(self, body: bytes) -> None:
        """Send one message of a body, in pieces.

        Raises:
            ClientGone: There is nobody to answer any more.
        """
        if self.answer:
            self.piece = body
        else:
            self.answer = body
        self._owner.sending(self)
        for at in range(0, len(body), PIECE_BYTES):
            if self._is_gone():
                raise asgi.ClientGone
            self._write(h11.Data(data=body[at : at + PIECE_BYTES]))
            if not self._writable.is_set():
                await self._writable.wait()
            self.since = self._loop.time()
        self.piece = b""

    def _write(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if self.transport is not None and not self._is_gone():
            self.transport.write(data or b"")

    def _read_on(self) -> None:
        """Resume reading, if it was paused."""
        assert self.transport is not None
        with contextlib.suppress(AttributeError):  # from TLS in CPython 3.10, without its socket
            self.transport.resume_reading()

    def _is_gone(self) -> bool:
        """Return whether the client has left."""
        try:
            return self.transport is None or self.transport.is_closing()
        except AttributeError:  # from TLS in CPython 3.10, without its socket
            return True
