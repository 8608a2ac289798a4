# SPDX-License-Identifier: Apache-2.0
"""The collector's end of registrations: a listening socket in the collector's asyncio loop.

It handles messages and descriptors. The decisions are made by the functions admit and grant of the
caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from array import array
from collections.abc import Callable
from pathlib import Path

from shmetrics import layout
from shmetrics.errors import ShmetricsError
from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.registration import protocol
from shmetrics.registration.decision import AdmitFunction, Granted, GrantFunction, Refused
from shmetrics.registration.peer import Peer, peer_of
from shmetrics.registration.pending_connections import PendingConnections
from shmetrics.registration.protocol import Answer, Connection, Event, Hello, Result, State
from shmetrics.unix_socket import Access, bind

log = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 5.0
ACCEPT_PAUSE_S = 1.0  # after an error that may last, such as too many open files
BACKLOG = 512
BATCH = 64  # connections accepted per wake-up, so that a flood leaves time for other work

_ANCILLARY_BYTES = socket.CMSG_SPACE(64 * 4)


class _Client:
    """One connection."""

    def __init__(self, sock: socket.socket, peer: Peer) -> None:
        self.socket = sock
        self.peer = peer
        self.connection = Connection()
        self.timeout: asyncio.TimerHandle | None = None


class Server:
    """A listening socket, and the registrations that are under way on it."""

    def __init__(
        self,
        path: Path,
        access: Access,
        admit: AdmitFunction,
        grant: GrantFunction,
        on_gone: Callable[[int], None],
        on_result: Callable[[str], None],
        text: str = "",
    ) -> None:
        """Bind the socket, and listen.

        Args:
            path: the path of the socket.
            access: the permissions of its file.
            admit: decides about a process before its hello is read.
            grant: decides about a hello.
            on_gone: called with the id of a lane whose emitter ended before it got the lane.
            on_result: called with the name of the result at the end of each registration.
            text: sent with each grant.

        Raises:
            ShmetricsError: there can be no socket at *path*.
        """
        self._path = path
        self._admit = admit
        self._grant = grant
        self._on_gone = on_gone
        self._on_result = on_result
        self._text = text
        self._clients: set[_Client] = set()
        self.pending: PendingConnections[_Client] = PendingConnections()
        self._rate_limited = RateLimitedLog(log)
        self._resuming: asyncio.TimerHandle | None = None
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            path.unlink(missing_ok=True)  # ours to remove: we hold the directory's lock
            bind(self._socket, str(path), access)
            self._socket.listen(BACKLOG)
            self._file = _identity(path)
        except OSError as error:
            self._socket.close()
            raise ShmetricsError(
                f"{path}: no socket can be made there ({error.strerror or error}); "
                "choose another --runtime-dir"
            ) from None

    def start(self) -> None:
        """Accept connections from now on, in the running loop."""
        self._resuming = None
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def obstacle(self) -> str:
        """Return why no process can register, and the mend, in one line; "" if processes can."""
        try:
            is_ours = _identity(self._path) == self._file
        except OSError as error:
            return f"{self._path}: {error.strerror}; restart the collector"
        if not is_ours:
            return f"{self._path}: something else is in its place; restart the collector"
        if self._resuming is not None:
            return f"{self._path}: cannot accept; see the log"
        return ""

    def close(self) -> None:
        """End all connections, and remove the socket. Lanes stay as they are."""
        loop = asyncio.get_running_loop()
        if self._resuming is not None:
            self._resuming.cancel()
        loop.remove_reader(self._socket)
        self._socket.close()
        with contextlib.suppress(OSError):  # the next collector removes it then
            self._path.unlink(missing_ok=True)
        for client in list(self._clients):
            self._forget(client)

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                sock, _address = self._socket.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                self._rate_limited.warning(
                    "accept", f"{self._path}: cannot accept: {error.strerror}"
                )
                # The connection still waits, and the obstacle is still there.
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._socket)
                self._resuming = loop.call_later(ACCEPT_PAUSE_S, self.start)
                return
            sock.setblocking(False)
            peer = peer_of(sock)
            refused = self._admit(peer)
            if refused is None:
                self._welcome(_Client(sock, peer))
            else:
                self._turn_away(sock, peer, refused)

    def _turn_away(self, sock: socket.socket, peer: Peer, refused: Refused) -> None:
        """Send a refusal to a process and close its connection. It is short, to stand a flood."""
        with sock, contextlib.suppress(OSError):
            self._count_refusal(peer, "a process", refused)
            sock.send(_refusal(refused))

    def _welcome(self, client: _Client) -> None:
        """Read the hello of a process. If it is not there yet, wait for it, for a limited time."""
        loop = asyncio.get_running_loop()
        self._clients.add(client)
        loop.add_reader(client.socket, self._readable, client)
        self._readable(client)
        if client in self._clients and client.connection.state is State.CONNECTED:
            client.timeout = loop.call_later(
                HELLO_TIMEOUT_S, self._drop, client, "silent", "has not said hello"
            )
            leaves = self.pending.add(client, client.peer.uid)
            if leaves is not None:
                self._drop(leaves, "silent", "one of too many that have not said hello")

    def _drop(self, client: _Client, result: str, why: str) -> None:
        """End a connection that broke the rules."""
        peer = client.peer
        self._rate_limited.warning(
            result, f"registration of pid {peer.pid}, uid {peer.uid}: {why}", peer.uid
        )
        self._on_result(result)
        self._forget(client)

    def _forget(self, client: _Client) -> None:
        self._stop_waiting(client)
        asyncio.get_running_loop().remove_reader(client.socket)
        client.socket.close()
        self._clients.discard(client)

    def _stop_waiting(self, client: _Client) -> None:
        self.pending.discard(client)
        if client.timeout is not None:
            client.timeout.cancel()

    def _readable(self, client: _Client) -> None:
        try:
            message, ancillary, flags, _ = client.socket.recvmsg(
                protocol.MESSAGE_MAX_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            message, ancillary, flags = b"", [], 0
        _close_descriptors(ancillary)  # emitters may not send any
        if not message:
            self._ended(client)
        elif flags & socket.MSG_TRUNC:
            self._malformed(client, f"message over {protocol.MESSAGE_MAX_BYTES} bytes")
        else:
            self._take_hello(client, message)

    def _ended(self, client: _Client) -> None:
        client.connection.advance(Event.END)
        self._forget(client)

    def _malformed(self, client: _Client, why: str) -> None:
        if client.connection.state is State.CONNECTED:
            refused = Refused(Result.MALFORMED, why)
            self._send(client, _refusal(refused), [])
        self._drop(client, "malformed", why)

    def _take_hello(self, client: _Client, message: bytes) -> None:
        try:
            hello = protocol.decode_hello(message)
            client.connection.advance(Event.HELLO)
        except protocol.ProtocolError as error:
            self._malformed(client, str(error))
            return
        self._stop_waiting(client)
        found = self._decide(client.peer, hello)
        if isinstance(found, Refused):
            self._refuse(client, hello, found)
            return
        answer = Answer(Result.GRANTED, layout.LAYOUT_VERSION, found.lane_id, self._text)
        descriptors = [fd for fd in (found.lane_fd, found.kick_fd) if fd is not None]
        sent = self._send(client, protocol.encode_answer(answer, hello.protocol), descriptors)
        os.close(found.lane_fd)
        client.connection.advance(Event.GRANT)
        self._forget(client)
        self._on_result("granted" if sent else "gone")
        if not sent:
            self._on_gone(found.lane_id)

    def _decide(self, peer: Peer, hello: Hello) -> Granted | Refused:
        if hello.layout_version != layout.LAYOUT_VERSION:
            return Refused(
                Result.VERSION,
                f"lane layout {hello.layout_version} is unknown here, "
                f"this collector has {layout.LAYOUT_VERSION}; update the older side",
            )
        return self._grant(peer, hello)

    def _refuse(self, client: _Client, hello: Hello, refused: Refused) -> None:
        self._count_refusal(client.peer, hello.process, refused)
        with contextlib.suppress(OSError):  # gone before the answer
            client.socket.send(_refusal(refused))
        client.connection.advance(Event.REFUSAL)
        self._forget(client)

    def _count_refusal(self, peer: Peer, process: str, refused: Refused) -> None:
        result = refused.result.name.lower()
        self._rate_limited.warning(
            result,
            f"registration of {process} (pid {peer.pid}, uid {peer.uid}) refused: {refused.text}",
            peer.uid,
        )
        self._on_result(result)

    def _send(self, client: _Client, answer: bytes, descriptors: list[int]) -> bool:
        rights = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        )
        try:
            client.socket.sendmsg([answer], rights)
        except OSError:
            return False  # gone before the answer
        return True


def _identity(path: Path) -> tuple[int, int]:
    """Return the device and inode of a path. Raises OSError."""
    status = path.lstat()
    return status.st_dev, status.st_ino


def _refusal(refused: Refused) -> bytes:
    return protocol.encode_answer(Answer(refused.result, layout.LAYOUT_VERSION, 0, refused.text))


def _close_descriptors(ancillary: list[tuple[int, int, bytes]]) -> None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors = array("i")
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
            for descriptor in descriptors:
                os.close(descriptor)
