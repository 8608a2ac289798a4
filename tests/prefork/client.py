# SPDX-License-Identifier: Apache-2.0
"""Many clients of a server behind a unix socket."""

from __future__ import annotations

import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PATIENCE_SECONDS = 60
CLIENTS = 8


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(str(self._path))


def ask(server: Path, path: str = "/") -> int:
    """Return the pid of the process that answered, or 0 if none did."""
    connection = _Connection(server)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return int(answer.read()) if answer.status == 200 else 0
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def ask_often(server: Path, n: int) -> list[int]:
    """Ask n times, CLIENTS at a time; return the answers."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(clients.map(lambda _: ask(server), range(n)))
