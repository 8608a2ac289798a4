# SPDX-License-Identifier: Apache-2.0
"""Bytes over one connection that is kept, to peers that answer nothing: TCP, TLS, a unix socket.

So bytes count as arrived once the other machine's kernel has acknowledged all of them.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable
from typing import Final

_POLL_SECONDS: Final = 0.005
_PIECE_BYTES: Final = 64 * 1024


class ByteStream:
    """A connection, which is made for the first bytes and after each failure."""

    def __init__(
        self, connect: Callable[[float], socket.socket], timeout_seconds: float = 10.0
    ) -> None:
        """Prepare to send; nothing is opened yet.

        Args:
            connect: opens a connection within so many seconds.
            timeout_seconds: how long a send() may take.
        """
        self._connect = connect
        self._timeout_seconds = timeout_seconds
        self._socket: socket.socket | None = None

    def send(self, data: bytes) -> None:
        """Send bytes, and wait until they are acknowledged.

        Raises:
            OSError: they may not have arrived; the connection is ended.
        """
        ends_at = time.monotonic() + self._timeout_seconds
        try:
            if self._socket is not None and _is_ended(self._socket):
                self.close()
            self._socket = self._socket or self._connect(self._timeout_seconds)
            left = memoryview(data)
            while left:
                self._socket.settimeout(_left(ends_at))
                left = left[self._socket.send(left[:_PIECE_BYTES]) :]
            self._wait_until_acknowledged(self._socket, ends_at)
        except OSError:
            self.close()
            raise

    @staticmethod
    def _wait_until_acknowledged(sock: socket.socket, ends_at: float) -> None:
        while sock.family != socket.AF_UNIX and _unacknowledged_bytes(sock):
            if _is_ended(sock):
                raise ConnectionResetError(errno.ECONNRESET, "the connection was ended")
            time.sleep(min(_POLL_SECONDS, _left(ends_at)))

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def said(error: OSError) -> str:
    """Return what is wrong, in one line."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return error.strerror or str(error) or type(error).__name__


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _is_ended(sock: socket.socket) -> bool:
    """Return whether the other end has closed a connection. A daemon sends nothing else."""
    sock.settimeout(0)
    try:
        return not sock.recv(4096)
    except OSError as error:
        return not _is_nothing_to_read(error)


def _is_nothing_to_read(error: OSError) -> bool:
    """Return whether a socket has nothing to read yet. TLS may have read what is none of ours.

    Where there is no TLS in the process it is not loaded for this: it takes 5 MB.
    """
    tls = sys.modules.get("ssl")
    return isinstance(error, BlockingIOError) or (
        tls is not None and isinstance(error, tls.SSLWantReadError)
    )


def _unacknowledged_bytes(sock: socket.socket) -> int:
    """Return how many bytes the other machine's kernel has not acknowledged yet, see tcp(7)."""
    found: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return found
