# SPDX-License-Identifier: Apache-2.0
"""Senders to syslog daemons over datagrams, and to their unix sockets.

A datagram has arrived once it was sent: a unix socket has it then, and over UDP nobody knows.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Any, cast

from shmetrics.config.lines_destination import LinesDestination
from shmetrics.delivery.message import Message
from shmetrics.delivery.rfc5424 import Header, ended_by_newline
from shmetrics.delivery.stream import StreamSyslog
from shmetrics.forwarding.byte_stream import said
from shmetrics.forwarding.sender import Outcome, Sender, TryAgain


class DatagramSyslog:
    """A sender over datagrams, each of one message."""

    def __init__(
        self, destination: LinesDestination, header: Header, timeout_seconds: float = 10.0
    ) -> None:
        """Prepare to send; nothing is opened yet.

        Args:
            destination: a path, or a host and a port.
            header: the header of the messages.
            timeout_seconds: how long a daemon may take to make room.
        """
        self._destination = destination
        self._header = header
        self._timeout_seconds = timeout_seconds
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[Message]) -> Outcome:
        """Send messages one by one; see Sender."""
        n_failed, why = 0, ""
        for number, message in enumerate(messages):
            datagram = self._header.message(message.time_ns, message.text)
            try:
                self._socket = self._socket or self._connected()
                self._socket.send(datagram)
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    n_failed, why = n_failed + 1, f"{len(datagram)} bytes: {error.strerror}"
                    continue
                self.close()
                raise TryAgain(said(error), left=messages[number:], failed=n_failed) from None
        return Outcome(failed=n_failed, why=why)

    def _connected(self) -> socket.socket:
        family, address = socket.AF_UNIX, cast(Any, self._destination.path)
        if self._destination.host:
            where = socket.getaddrinfo(
                self._destination.host, self._destination.port, type=socket.SOCK_DGRAM
            )
            family, *_, address = where[0]
        # Connected, so that over UDP it hears of a port that nobody has.
        return connected(family, socket.SOCK_DGRAM, address, self._timeout_seconds)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class UnixSyslog:
    """A sender to a daemon's unix socket, which is one of datagrams or of streams."""

    def __init__(
        self, destination: LinesDestination, header: Header, timeout_seconds: float = 10.0
    ) -> None:
        """Prepare to send; nothing is opened yet. See DatagramSyslog."""
        self._destination = destination
        self._header = header
        self._timeout_seconds = timeout_seconds
        self._sender: Sender[Message] | None = None

    def send(self, messages: Sequence[Message]) -> Outcome:
        """Send messages, as the socket that is there now takes them; see Sender."""
        self._sender = self._sender or self._fitting()
        try:
            return self._sender.send(messages)
        except TryAgain:
            self.close()  # the next daemon may have the other kind
            raise

    def _fitting(self) -> Sender[Message]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            is_stream = probe.connect_ex(self._destination.path) == errno.EPROTOTYPE
        if not is_stream:
            return DatagramSyslog(self._destination, self._header, self._timeout_seconds)
        return StreamSyslog(
            lambda seconds: connected(
                socket.AF_UNIX, socket.SOCK_STREAM, self._destination.path, seconds
            ),
            self._header,
            ended_by_newline,
            self._timeout_seconds,
        )

    def close(self) -> None:
        """Close the socket."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None


def connected(family: int, kind: int, address: Any, seconds: float) -> socket.socket:
    """Return a socket that is connected to an address. Raises OSError."""
    sock = socket.socket(family, kind)
    try:
        sock.settimeout(seconds)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock
