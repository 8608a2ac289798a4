# SPDX-License-Identifier: Apache-2.0
"""Graphite's carbon-cache, of Debian's graphite-carbon, asked for what it has in its cache."""

from __future__ import annotations

import pickle
import shutil
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.servers.ports import ReservedPort
from tests.servers.processes import ServerProcess

__all__ = ["Carbon", "lacking"]

START_SECONDS = 60

# No number is ever old enough to be written to disk, so that all stays in the cache.
_CONFIGURATION = """
[cache]
STORAGE_DIR = {folder}
CONF_DIR = {folder}
LOG_DIR = {folder}
PID_DIR = {folder}
LOCAL_DATA_DIR = {folder}/whisper
USER =
MAX_CACHE_SIZE = inf
CACHE_WRITE_STRATEGY = timesorted
MIN_TIMESTAMP_LAG = 10000000000
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
CARBON_METRIC_INTERVAL = 0
ENABLE_TAGS = False
"""


def lacking() -> str:
    """Return the reason why no carbon can run here; "" if it can."""
    return "" if shutil.which("carbon-cache") else "no carbon-cache; Debian's graphite-carbon is it"


class Carbon:
    """A carbon-cache with a folder, which runs until stop(). It can be started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {name: ReservedPort() for name in ("line", "pickle", "query")}
        numbers = {name: port.number for name, port in self._ports.items()}
        (folder / "carbon.conf").write_text(_CONFIGURATION.format(folder=folder, **numbers))
        (folder / "storage-schemas.conf").write_text(
            "[default]\npattern = .*\nretentions = 1s:1h\n"
        )
        self.line_port, self.pickle_port = numbers["line"], numbers["pickle"]
        self.start()

    def start(self) -> None:
        command = ["carbon-cache", f"--config={self._folder}/carbon.conf", "--nodaemon"]
        command += [f"--pidfile={self._folder}/carbon.pid", "start"]
        self.log = self._folder / "carbon.log"
        self._process = ServerProcess(command, self.log)
        self._process.ready_when(self._is_ready, START_SECONDS)

    def stop(self) -> None:
        self._process.stop()

    def close(self) -> None:
        self.stop()
        for port in self._ports.values():
            port.release()

    def values(self, paths: Iterable[str]) -> dict[str, list[tuple[float, float]]]:
        """Return times and values by path, of those of these paths that are there."""
        found = self._asked({"type": "cache-query-bulk", "metrics": list(paths)})
        return {path: points for path, points in found["datapointsByMetric"].items() if points}

    def _asked(self, query: dict[str, Any]) -> Any:
        request = pickle.dumps(query, 2)
        with socket.create_connection(("127.0.0.1", self._ports["query"].number), 10) as sock:
            sock.sendall(struct.pack("!L", len(request)) + request)
            with sock.makefile("rb") as file:
                (n_bytes,) = struct.unpack("!L", file.read(4))
                return pickle.loads(file.read(n_bytes))

    def _is_ready(self) -> bool:
        try:
            for port in self._ports.values():
                socket.create_connection(("127.0.0.1", port.number), 1).close()
        except OSError:
            return False
        return True
