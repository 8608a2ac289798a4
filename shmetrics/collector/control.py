# SPDX-License-Identifier: Apache-2.0
"""The control socket, at which root, or the collector's user, gives the collector orders.

A request is one message, a JSON object; so is the answer. Nobody else may connect: the file is for
its user alone, and the kernel says who has connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from shmetrics.errors import ShmetricsError
from shmetrics.registration.peer import peer_of
from shmetrics.unix_socket import Access, bind

MESSAGE_BYTES = 64 * 1024
SILENT_SECONDS = 5.0
MAX_CONNECTIONS = 8

Forget = Callable[[str, bool], str]


class Control:
    """The socket, in the running loop."""

    def __init__(self, path: Path, forget: Forget) -> None:
        """Listen from now on.

        Args:
            path: the path of the socket; what an earlier collector left there is replaced.
            forget: removes a family; called with its name, and whether processes may have it.
                Returns a line for people, or raises ShmetricsError with one.

        Raises:
            ShmetricsError: the socket cannot be made.
        """
        self._path = path
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            path.unlink(missing_ok=True)
            bind(self._socket, str(path), Access(0o600))
            self._socket.listen(MAX_CONNECTIONS)
        except OSError as error:
            self._socket.close()
            raise ShmetricsError(f"{path}: no socket can be made there: {error}") from None
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """End all connections, and remove the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        with contextlib.suppress(OSError):  # the next collector removes it then
            self._path.unlink(missing_ok=True)
        for connection in list(self._silent):
            self._end(connection)

    def _accept(self) -> None:
        """Take the next connection, if that process may tell us anything."""
        try:
            connection, _ = self._socket.accept()
        except OSError:  # it has gone again, or there is no descriptor for it now
            return
        connection.setblocking(False)
        if peer_of(connection).uid not in (0, os.geteuid()) or len(self._silent) >= MAX_CONNECTIONS:
            connection.close()
            return
        self._silent[connection] = self._loop.call_later(SILENT_SECONDS, self._end, connection)
        self._loop.add_reader(connection, self._readable, connection)

    def _end(self, connection: socket.socket) -> None:
        """End a connection."""
        self._silent.pop(connection).cancel()
        self._loop.remove_reader(connection)
        connection.close()

    def _readable(self, connection: socket.socket) -> None:
        """Answer the request of a connection, and end it."""
        with contextlib.suppress(OSError):  # it has gone
            message = connection.recv(MESSAGE_BYTES)
            if message:
                connection.send(json.dumps(self._answer(message)).encode()[:MESSAGE_BYTES])
        self._end(connection)

    def _answer(self, message: bytes) -> dict[str, str]:
        """Do what a message asks for, and return the answer: `done` or `problem`."""
        try:
            request = json.loads(message)
            name, force = request["forget"], request.get("force", False)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            name = force = None
        if not isinstance(name, str) or not isinstance(force, bool):
            return {"problem": "the request is of another version; restart the collector"}
        try:
            return {"done": self._forget(name, force)}
        except ShmetricsError as error:
            return {"problem": str(error)}
