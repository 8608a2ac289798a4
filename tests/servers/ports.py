# SPDX-License-Identifier: Apache-2.0
"""Ports that stay ours until the server that is to have them is up."""

import socket

__all__ = ["ReservedPort"]


class ReservedPort:
    """A free TCP port of 127.0.0.1, held by a socket that is bound and does not listen.

    While it is held the kernel gives the port to nobody who asks for any free one, and lets a
    server that sets SO_REUSEADDR (epmd, RabbitMQ, Prometheus and most others do) bind it beside
    us. A port that is only found and let go can be taken by a neighbour in between.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()
