# SPDX-License-Identifier: Apache-2.0
"""The datagram socket of oslo.metrics's protocol: its file, its permissions, who sends.

The kernel tells with each datagram which process has sent it (SCM_CREDENTIALS in unix(7)).
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import TypeAlias

from shmetrics.unix_socket import Access, bound, remove

MAX_DATAGRAM_BYTES = 65536
# Datagrams read per wake-up. A flood is then a series of short wake-ups, and the collector drains
# and answers between them.
BATCH = 64

_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_CREDENTIALS_BYTES = socket.CMSG_SPACE(_CREDENTIALS.size)  # and no room for descriptors

Take: TypeAlias = Callable[[bytes, bool, int], None]


class Listener:
    """A bound datagram socket."""

    def __init__(self, path: str, access: Access, take: Take) -> None:
        """Bind the socket. The file of a daemon that has ended is replaced.

        Args:
            path: the path of the socket.
            access: the permissions of its file.
            take: called with each datagram, whether it was cut short, and the pid of its sender; 0:
                one in a PID namespace that this process cannot see.

        Raises:
            ShmetricsError: a process listens there already, or the socket cannot be made.
        """
        self._path = path
        self._take = take
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = bound(path, socket.SOCK_DGRAM, access)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._inode = os.stat(path).st_ino

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read datagrams in a loop from now on."""
        self._loop = loop
        loop.add_reader(self._socket, self.read_batch)

    def read_batch(self) -> None:
        """Read the datagrams that are there, at most one batch."""
        for _ in range(BATCH):
            try:
                datagram, ancillary, flags, _ = self._socket.recvmsg(
                    MAX_DATAGRAM_BYTES, _CREDENTIALS_BYTES
                )
            except OSError:  # BlockingIOError: there are no more
                return
            self._take(datagram, bool(flags & socket.MSG_TRUNC), sender(ancillary))

    def close(self) -> None:
        """Read a last batch of datagrams, and remove the socket and its file."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._loop = None
        remove(self._path, self._inode)
        self.read_batch()
        self._socket.close()


def sender(ancillary: Iterable[tuple[int, int, bytes]]) -> int:
    """Return the pid of a datagram's sender, from what the kernel says beside it; 0: not known."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid: int = _CREDENTIALS.unpack(data)[0]
            return pid
    return 0
