# SPDX-License-Identifier: Apache-2.0
"""Servers that keep their clients waiting: each does so for some seconds, and is a good one then.
So a client that waits gets an answer, and a test sees that it has waited."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

__all__ = ["ANSWER", "Conversation", "Dripping", "Misbehaving"]

#: How long one is kept waiting, at most.
SECONDS: Final = 5.0
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Conversation:
    """One connection, as the server has it. Whatever it does ends when the client is gone."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ends_at = time.monotonic() + SECONDS

    def listen(self) -> None:
        """Read some of the request."""
        self._sock.recv(1 << 16)

    def say(self, data: bytes) -> None:
        self._sock.sendall(data)

    def wait(self, seconds: float = SECONDS) -> bool:
        """Send nothing for so long. False: it was the last time, or the client is gone."""
        poll = select.poll()
        poll.register(self._sock, select.POLLRDHUP)
        left = self._ends_at - time.monotonic()
        return not poll.poll(1000 * max(min(seconds, left), 0)) and left > seconds

    def drip(self, data: bytes, pause_seconds: float = 0.02) -> None:
        """Send a byte now and then, and after long enough the rest."""
        for at in range(len(data)):
            self._sock.sendall(data[at : at + 1])
            if not self.wait(pause_seconds):
                self._sock.sendall(data[at + 1 :])
                return

    def flood(self, data: bytes, most_bytes: int = 1 << 26) -> None:
        """Send the same again and again."""
        for _ in range(0, most_bytes, len(data)):
            self._sock.sendall(data)


class Misbehaving:
    """A server that does the same with each client, and may take its time to listen."""

    def __init__(self, does: Callable[[Conversation], None]) -> None:
        self.connections = 0
        self.over = threading.Semaphore(0)  # once for each that has ended
        self._does = does
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.listen()
        self.port: int = self._sock.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:  # closed
                return
            sock.settimeout(4 * SECONDS)  # whatever a test does wrong
            self.connections += 1
            self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                self._does(Conversation(sock))
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1 << 16):  # so that what was said arrives
                    pass
            except OSError:  # the client is gone, or we are
                pass
            self._open.discard(sock)
        self.over.release()

    def close(self) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        self._sock.close()


class Dripping(Misbehaving):
    """A proxy before a good server, which passes on its answers byte by byte."""

    def __init__(self, port: int) -> None:
        super().__init__(self._pass_on)
        self._good_port = port

    def _pass_on(self, client: Conversation) -> None:
        with socket.create_connection(("127.0.0.1", self._good_port)) as good:
            asking = threading.Thread(target=self._ask, args=(client._sock, good))
            asking.start()
            try:
                while data := good.recv(1 << 16):
                    client.drip(data)
            finally:
                for sock in (good, client._sock):
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)
                asking.join()

    @staticmethod
    def _ask(client: socket.socket, good: socket.socket) -> None:
        try:
            while data := client.recv(1 << 16):
                good.sendall(data)
            good.shutdown(socket.SHUT_RDWR)  # the client is gone
        except OSError:
            pass
