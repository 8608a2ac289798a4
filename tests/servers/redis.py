# SPDX-License-Identifier: Apache-2.0
"""A Redis server of our own, which keeps nothing."""

import shutil
import socket
from pathlib import Path

from tests.servers.ports import ReservedPort
from tests.servers.processes import ServerProcess

__all__ = ["Redis", "lacking"]

START_SECONDS = 60


def lacking() -> str:
    """Return the reason why no server can run here; "" if it can."""
    return "" if shutil.which("redis-server") else "no redis-server; Debian has it"


class Redis:
    """A Redis server, which runs until stop(). options: more of redis-server's."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        port: ReservedPort | None = None,
        configuration: str = "",
    ) -> None:
        """Begin on a port that is taken over. configuration: the text of a file, which a
        sentinel writes on."""
        self._port = port or ReservedPort()
        self._bus = ReservedPort()  # of a cluster; by default it is ours and 10,000
        command = ["redis-server"]
        if configuration:
            file = folder / "redis.conf"
            file.write_text(configuration)
            command.append(str(file))
        command += ["--port", str(self._port.number), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        command += options
        if "--cluster-enabled" in options:
            command += ["--cluster-port", str(self._bus.number)]
        self._process = ServerProcess(command, folder / "redis.log")
        self._process.ready_when(self._answers, START_SECONDS)

    @property
    def port(self) -> int:
        return self._port.number

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port.number), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        self._process.stop()
        self._port.release()
        self._bus.release()
