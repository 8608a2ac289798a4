# SPDX-License-Identifier: Apache-2.0
"""A proxy before a good server, which is in trouble as a test says, and then is not."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Literal

from tests.servers.ports import ReservedPort

__all__ = ["Trouble", "Way"]

Way = Literal["closed", "full", "mute", "no_answer", "cut", "good"]
_SMALL_BYTES = 4096


class Trouble:
    """The proxy, on a port that stays its own.

    Attributes:
        cut_bytes: after how many bytes a connection is cut.
        tries: how many connections there were.
    """

    def __init__(self, good_port: int, way: Way) -> None:
        """Begin.

        Args:
            good_port: the port of the good server.
            way: "closed": nobody listens; "full": no connection comes about; "mute": nothing is
                read; "no_answer": all is read, and nothing answered; "cut": a connection is cut in
                the middle; "good": all is forwarded.
        """
        self._good_port = good_port
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.cut_bytes = 100
        self.tries = 0
        self._way: Way = "closed"
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.begin(way)

    def begin(self, way: Way) -> None:
        """Be so from now on; what is open is ended."""
        self._end()
        self._way = way
        if way == "closed":
            return
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # So that what nobody reads soon fills all buffers.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BYTES)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(0 if way == "full" else 16)
        if way == "full":
            self._fill()
        else:
            self._start(self._accept, self._listener)

    def _fill(self) -> None:
        """Leave no room for a further connection."""
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self._open.append(sock)

    def _start(self, does: object, *args: object) -> None:
        thread = threading.Thread(target=does, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:  # closed
                return
            self.tries += 1
            self._open.append(sock)
            if self._way != "mute":
                self._start(self._serve, sock, self._way)

    def _serve(self, sock: socket.socket, way: Way) -> None:
        with contextlib.suppress(OSError):
            if way == "good":
                self._pass_on(sock)
            elif way == "no_answer":
                while sock.recv(1 << 16):
                    pass
            else:
                left = self.cut_bytes
                while left > 0 and (data := sock.recv(left)):
                    left -= len(data)
                # With this, closing it resets the connection.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    def _pass_on(self, sock: socket.socket) -> None:
        good = socket.create_connection(("127.0.0.1", self._good_port))
        self._open.append(good)
        self._start(_copy, good, sock)
        _copy(sock, good)

    def _end(self) -> None:
        if self._listener is not None:
            _close(self._listener)
            self._listener = None
        if self._threads:
            self._threads.pop(0).join()  # the one that accepts: no connection comes after it
        while self._open or self._threads:  # a thread may open one more, and start another thread
            while self._open:
                _close(self._open.pop())
            if self._threads:
                self._threads.pop().join()

    def close(self) -> None:
        self._end()
        self._reserved.release()


def _close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
