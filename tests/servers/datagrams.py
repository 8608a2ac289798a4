# SPDX-License-Identifier: Apache-2.0
"""A receiver of datagrams at a unix socket, which is in trouble as a test says, and then is not."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Literal

__all__ = ["Datagrams", "Way"]

Way = Literal["closed", "full", "cut", "good"]
_POLL_SECONDS = 0.02


class Datagrams:
    """The receiver.

    Attributes:
        path: its socket.
        taken: the datagrams that it has read.
    """

    def __init__(self, path: Path, way: Way) -> None:
        """Begin.

        Args:
            path: the path of the socket.
            way: "closed": there is no socket; "full": nothing is read, so that soon no more is
                taken; "cut": it goes away after the first datagrams; "good": all is read.
        """
        self.path = path
        self.taken: list[bytes] = []
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._is_ended = threading.Event()
        self.begin(way)

    def begin(self, way: Way) -> None:
        """Be so from now on. What nobody has read yet is read then."""
        if way != "closed" and self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.bind(str(self.path))
            self._socket.settimeout(_POLL_SECONDS)
        if way in ("cut", "good"):
            if self._thread is not None:
                self._thread.join()  # it was cut
            self._thread = threading.Thread(target=self._read, args=(way,))
            self._thread.start()

    def _read(self, way: Way) -> None:
        assert self._socket is not None
        while not self._is_ended.is_set():
            with contextlib.suppress(TimeoutError):
                self.taken.append(self._socket.recv(1 << 16))
            if way == "cut" and len(self.taken) >= 3:
                self._remove()
                return

    def _remove(self) -> None:
        if self._socket is not None:
            self.path.unlink(missing_ok=True)
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        self._is_ended.set()
        if self._thread is not None:
            self._thread.join()
        self._remove()
