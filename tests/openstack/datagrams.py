# SPDX-License-Identifier: Apache-2.0
"""Messages of stock oslo.messaging to oslo.metrics: a JSON datagram for each change of a metric."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

__all__ = ["Datagrams"]

DATAGRAM_BYTES = 1 << 16


class Datagrams:
    """The unix socket at *path*, read until stop(). It stands where oslo.metrics has its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while datagram := self._socket.recv(DATAGRAM_BYTES):
            self._taken.append(json.loads(datagram))

    def stop(self) -> list[dict[str, Any]]:
        """Return all that was sent: what the kernel holds for us comes before our last word."""
        if self._thread.is_alive():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as us:
                us.sendto(b"", str(self.path))
            self._thread.join()
            self._socket.close()
            self.path.unlink()
        return self._taken
