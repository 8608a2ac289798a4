# SPDX-License-Identifier: Apache-2.0
"""A private victoria-metrics, which is written to and asked for what it has."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tests.servers.ports import ReservedPort
from tests.servers.processes import ServerProcess

__all__ = ["Victoria", "lacking"]

START_SECONDS = 60


def lacking() -> str:
    """Return the reason why none can run here; "" if it can."""
    return "" if shutil.which("victoria-metrics") else "no victoria-metrics, which Debian has"


class Victoria:
    """A server with a folder, which runs until stop()."""

    def __init__(self, folder: Path) -> None:
        self._reserved = ReservedPort()
        address = f"127.0.0.1:{self._reserved.number}"
        self.url = f"http://{address}"
        self.port = self._reserved.number
        command = ["victoria-metrics", f"-storageDataPath={folder}", f"-httpListenAddr={address}"]
        self._process = ServerProcess(command, folder / "victoria.log")
        self._process.ready_when(self._is_ready, START_SECONDS)

    def values(self, match: str) -> dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]:
        """Return times in milliseconds and values of all series that match, by their labels."""
        self._get("/internal/force_flush")
        query = urllib.parse.urlencode({"match[]": match})
        found = {}
        for line in self._get(f"/api/v1/export?{query}").splitlines():
            series = json.loads(line)
            labels = tuple(sorted(series["metric"].items()))
            values = [float("nan") if value is None else value for value in series["values"]]
            found[labels] = list(zip(series["timestamps"], values, strict=True))
        return found

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            found: bytes = answer.read()
            return found

    def _is_ready(self) -> bool:
        try:
            return bool(self._get("/health"))
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        self._process.stop()
        self._reserved.release()
