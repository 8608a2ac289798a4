# SPDX-License-Identifier: Apache-2.0
"""Clients made of bare sockets: what no library would send, and what none would leave unread."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.servers.processes import until

PATIENCE_SECONDS = 60


def address_of(url: str) -> tuple[str, int]:
    host, _, port = url.partition("://")[2].rpartition(":")
    return host.strip("[]"), int(port)


@contextmanager
def connected(url: str, receive_bytes: int = 0) -> Iterator[socket.socket]:
    """A connection to url. receive_bytes: what the kernel takes for a client that does not read."""
    with socket.socket() as client:
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(address_of(url))
        yield client


@contextmanager
def many(url: str, number: int, say: bytes = b"") -> Iterator[list[socket.socket]]:
    """That many connections, each of which says this, and nothing more."""
    with ExitStack() as stack:
        clients = []
        for _ in range(number):
            client = stack.enter_context(connected(url, receive_bytes=4096))
            with suppress(OSError):  # it has given way already
                client.sendall(say)
            clients.append(client)
        yield clients


def said(client: socket.socket) -> bytes:
    """All that comes until the server ends it."""
    answer = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65536):
            answer += piece
    return answer


def tell(url: str, request: bytes) -> bytes:
    """The whole answer to bytes after which the server ends the connection."""
    with connected(url) as client:
        with suppress(BrokenPipeError, ConnectionResetError):  # it had heard enough
            client.sendall(request)
        return said(client)


def soon(true: Callable[[], object]) -> None:
    """The server counts a moment after its client has heard."""
    until(true, lambda: "not so", PATIENCE_SECONDS)
