# SPDX-License-Identifier: Apache-2.0
"""A sender to a syslog daemon over a stream: TCP, TLS, or a unix socket.

There are no answers in syslog. So a batch counts as arrived once the other machine's kernel has
acknowledged all of it. Of a batch that was broken off, all is sent again.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from shmetrics.config.lines_destination import LinesDestination
from shmetrics.delivery.message import Message
from shmetrics.delivery.rfc5424 import Header, octet_counted
from shmetrics.forwarding.byte_stream import ByteStream, said
from shmetrics.forwarding.sender import Outcome, TryAgain

if TYPE_CHECKING:
    import ssl


class StreamSyslog:
    """A sender over one connection, with a frame around each message."""

    def __init__(
        self,
        connect: Callable[[float], socket.socket],
        header: Header,
        frame: Callable[[bytes], bytes] = octet_counted,
        timeout_seconds: float = 10.0,
    ) -> None:
        """Prepare to send; nothing is opened yet.

        Args:
            connect: opens a connection within so many seconds.
            header: the header of the messages.
            frame: puts a frame around a message.
            timeout_seconds: how long a batch may take.
        """
        self._stream = ByteStream(connect, timeout_seconds)
        self._header = header
        self._frame = frame

    def send(self, messages: Sequence[Message]) -> Outcome:
        """Send a batch, and wait until it is acknowledged; see Sender."""
        batch = b"".join(
            self._frame(self._header.message(message.time_ns, message.text)) for message in messages
        )
        try:
            self._stream.send(batch)
        except OSError as error:
            raise TryAgain(said(error)) from None
        return Outcome()

    def close(self) -> None:
        """End the connection."""
        self._stream.close()


def stream_to(
    destination: LinesDestination, tls: ssl.SSLContext | None
) -> Callable[[float], socket.socket]:
    """Return what connects to a host, over TLS if there is a context (RFC 5425, section 4)."""

    def connect(seconds: float) -> socket.socket:
        sock = socket.create_connection((destination.host, destination.port), seconds)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return tls.wrap_socket(sock, server_hostname=destination.host) if tls else sock
        except OSError:
            sock.close()
            raise

    return connect
