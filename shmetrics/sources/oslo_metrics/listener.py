# SPDX-License-Identifier: Apache-2.0
"""The datagram socket of the stock protocol: its file, its owner, its batches."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable

from shmetrics.errors import ShmetricsError
from shmetrics.unix_socket import Access, bind

MAX_DATAGRAM_BYTES = 65536
# Datagrams read at one wake-up. A flood is then a chain of short wake-ups, between which the
# collector drains and answers.
BATCH = 64


class Listener:
    """A bound socket. Raises ShmetricsError, one line, if it cannot be had.

    The file of a dead daemon is replaced; one that somebody listens on is left alone.
    """

    def __init__(self, path: str, access: Access, take: Callable[[bytes, bool], None]) -> None:
        self._path = path
        self._take = take
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            _make_way(path)
            bind(self._socket, path, access)
            self._inode = os.stat(path).st_ino
        except OSError as error:
            self._socket.close()
            raise ShmetricsError(f"{path}: {error.strerror or error}") from None
        except ShmetricsError:
            self._socket.close()
            raise

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Reads from now on, whenever the loop has time."""
        self._loop = loop
        loop.add_reader(self._socket, self.read_batch)

    def read_batch(self) -> None:
        """Takes what is there, up to a batch."""
        for _ in range(BATCH):
            try:
                datagram, _, flags, _ = self._socket.recvmsg(MAX_DATAGRAM_BYTES)
            except OSError:  # BlockingIOError: that was all
                return
            self._take(datagram, bool(flags & socket.MSG_TRUNC))

    def close(self) -> None:
        """Takes what has been sent already, then removes the socket and its file."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._loop = None
        try:
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except OSError:
            pass  # somebody else removed it
        self.read_batch()
        self._socket.close()


def _make_way(path: str) -> None:
    """Removes a dead daemon's file."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ShmetricsError(f"{path}: this is there and is no socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as probe:
        result = probe.connect_ex(path)
    if result == errno.ECONNREFUSED:
        os.unlink(path)
    elif result in (0, errno.EPROTOTYPE):
        raise ShmetricsError(f"{path}: somebody listens there; stop that daemon, or take another")
    elif result != errno.ENOENT:
        raise ShmetricsError(f"{path}: {os.strerror(result)}")
