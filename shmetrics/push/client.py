# SPDX-License-Identifier: Apache-2.0
"""The client of the gatherer's socket for lines: finds the socket, connects, and sends lines."""

from __future__ import annotations

import os
import socket

from shmetrics import runtime_dir
from shmetrics.push import protocol

# A gatherer answers within its loop, which nothing blocks.
TIMEOUT_SECONDS = 2.0
# The RuntimeDirectory= of packaging/systemd/shmetrics-gather.service.
SERVICE_DIRECTORY = "/run/shmetrics-gather"


def socket_path() -> str:
    """Return where the gatherer of this node takes lines: the first of its two places there is."""
    beside_collector = os.path.join(runtime_dir.find(), protocol.SOCKET_NAME)
    of_service = os.path.join(SERVICE_DIRECTORY, protocol.SOCKET_NAME)
    named = os.environ.get(runtime_dir.VARIABLE)
    if named or os.path.exists(beside_collector) or not os.path.exists(of_service):
        return beside_collector
    return of_service


class GathererRefuses(ConnectionRefusedError):
    """The gatherer does not take lines of this process; the text says why."""


class LineClient:
    """A connection to the gatherer of this node."""

    def __init__(self, unit: str = "") -> None:
        """Connect, and ask which unit this program's lines belong to.

        Args:
            unit: the name that the user gave; "": whatever unit this process is in.

        Raises:
            GathererRefuses: it takes none of this process.
            OSError: there is no gatherer, or it does not answer; the text says which.
        """
        path = socket_path()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.settimeout(TIMEOUT_SECONDS)
            self._socket.connect(path)
            self._socket.send(protocol.hello(unit))
            answer = self._socket.recv(protocol.MOST_PACKET_BYTES).decode(errors="replace")
            if not answer.startswith("ok "):
                raise GathererRefuses(f"{path}: {answer or 'the connection was ended'}")
        except OSError:
            self._socket.close()
            raise
        self.unit = answer.removeprefix("ok ")

    def send(self, line: bytes) -> None:
        """Hand a line over. Raises OSError if the gatherer is gone, or takes too long."""
        self._socket.send(line)

    def close(self) -> None:
        """Wait a moment until the gatherer has read all, and end the connection."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.recv(1)
        except OSError:
            pass  # it is gone, or in no hurry: what was sent is its own
        self._socket.close()
