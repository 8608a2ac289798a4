# SPDX-License-Identifier: Apache-2.0
"""Clients made of bare sockets, which send what no library sends and leave answers unread."""

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
    """Connect to url. receive_bytes: how much the kernel takes for a client that does not read."""
    with socket.socket() as client:
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(address_of(url))
        yield client


@contextmanager
def many(url: str, number: int, say: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open that many connections, each of which sends these bytes and nothing more."""
    with ExitStack() as stack:
        clients = []
        for _ in range(number):
            client = stack.enter_context(connected(url, receive_bytes=4096))
            with suppress(OSError):  # it has given way already
                client.sendall(say)
            clients.append(client)
        yield clients


def said(client: socket.socket) -> bytes:
    """Read until the server ends the connection."""
    answer = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65536):
            answer += piece
    return answer


def tell(url: str, request: bytes) -> bytes:
    """Return the whole answer to a request after which the server ends the connection."""
    with connected(url) as client:
        with suppress(BrokenPipeError, ConnectionResetError):  # it had heard enough
            client.sendall(request)
        return said(client)


def soon(true: Callable[[], object]) -> None:
    """Wait until this is true: the server may count after its client has the answer."""
    until(true, lambda: "not so", PATIENCE_SECONDS)
