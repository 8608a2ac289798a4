# SPDX-License-Identifier: Apache-2.0
"""The datagram socket of oslo.metrics's protocol: its file, its permissions, its batches."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from shmetrics.unix_socket import Access, bound, remove

MAX_DATAGRAM_BYTES = 65536
# Datagrams read per wake-up. A flood is then a series of short wake-ups, and the collector drains
# and answers between them.
BATCH = 64


class Listener:
    """A bound datagram socket."""

    def __init__(self, path: str, access: Access, take: Callable[[bytes, bool], None]) -> None:
        """Bind the socket. The file of a daemon that has ended is replaced.

        Args:
            path: the path of the socket.
            access: the permissions of its file.
            take: called with each datagram, and whether it was cut short.

        Raises:
            ShmetricsError: a process listens there already, or the socket cannot be made.
        """
        self._path = path
        self._take = take
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = bound(path, socket.SOCK_DGRAM, access)
        self._inode = os.stat(path).st_ino

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read datagrams in a loop from now on."""
        self._loop = loop
        loop.add_reader(self._socket, self.read_batch)

    def read_batch(self) -> None:
        """Read the datagrams that are there, at most one batch."""
        for _ in range(BATCH):
            try:
                datagram, _, flags, _ = self._socket.recvmsg(MAX_DATAGRAM_BYTES)
            except OSError:  # BlockingIOError: there are no more
                return
            self._take(datagram, bool(flags & socket.MSG_TRUNC))

    def close(self) -> None:
        """Read a last batch of datagrams, and remove the socket and its file."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._loop = None
        remove(self._path, self._inode)
        self.read_batch()
        self._socket.close()
