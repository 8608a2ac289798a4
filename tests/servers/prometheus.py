# SPDX-License-Identifier: Apache-2.0
"""A private Prometheus that scrapes what a test wants, and answers queries over its HTTP API."""

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.servers.ports import ReservedPort
from tests.servers.processes import ServerProcess, until

__all__ = ["Prometheus", "prometheus"]

#: Labels that a scrape adds to every series.
SCRAPE_LABELS = ("instance", "job")


class Prometheus:
    """A running Prometheus that scrapes the exposition at *url*, or takes remote write if that is
    "". All it owns is in *folder*."""

    def __init__(
        self,
        binary: str,
        folder: Path,
        url: str,
        features: Sequence[str] = (),
        scrape: Mapping[str, Any] = MappingProxyType({}),
        rules: Sequence[Path] = (),
    ) -> None:
        self._port = ReservedPort()
        self.url = f"http://127.0.0.1:{self._port.number}"
        configuration = folder / "prometheus.yml"
        configuration.write_text(_configuration(url, scrape, rules))
        command = [
            binary,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--log.level=warn",
        ]
        if not url:
            command.append("--web.enable-remote-write-receiver")
        if features:
            command.append(f"--enable-feature={','.join(features)}")
        self._log = folder / "prometheus.log"
        self._process = ServerProcess(command, self._log)
        self._process.ready_when(self._is_ready, 30)

    @property
    def log(self) -> str:
        """Return its warnings and errors."""
        return self._log.read_text()

    def get(self, path: str, **parameters: str) -> Any:
        """Return ``data`` of the HTTP API's answer to *path*, such as ``query``."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def samples(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series of an instant query, without scrape labels."""
        found = []
        for sample in self.get("query", query=expression)["result"]:
            labels = {k: v for k, v in sample["metric"].items() if k not in SCRAPE_LABELS}
            found.append((labels, float(sample["value"][1])))
        return found

    def wait_for(
        self,
        expression: str,
        true: Callable[[list[tuple[dict[str, str], float]]], object] = bool,
        seconds: float = 60,
    ) -> list[tuple[dict[str, str], float]]:
        """Query until *true* of the samples, and return them."""
        found: list[tuple[dict[str, str], float]] = []

        def is_there() -> object:
            found[:] = self.samples(expression)
            return true(found)

        until(is_there, lambda: f"{expression} is {found}; {self.get('targets')}", seconds)
        return found

    def stop(self) -> None:
        self._process.stop()
        self._port.release()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture
def prometheus(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Prometheus]]:
    """Yield `prometheus(url, features=(), scrape={}, rules=())`, which starts one that scrapes
    `url`; `scrape` is the rest of its scrape configuration, such as `basic_auth`, and `rules` are
    files of rules. Skip without the binary."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("Prometheus is not installed: no program named prometheus")
    started: list[Prometheus] = []

    def start(
        url: str,
        features: Sequence[str] = (),
        scrape: Mapping[str, Any] = MappingProxyType({}),
        rules: Sequence[Path] = (),
    ) -> Prometheus:
        folder = tmp_path_factory.mktemp("prometheus")
        server = Prometheus(binary, folder, url, features, scrape, rules)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def _configuration(url: str, scrape: Mapping[str, Any], rules: Sequence[Path]) -> str:
    if not url:
        return "{}"
    parts = urllib.parse.urlsplit(url)
    document = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {
                "job_name": "test",
                "metrics_path": parts.path or "/metrics",
                "scheme": parts.scheme,
                "static_configs": [{"targets": [parts.netloc]}],
                **scrape,
            }
        ],
    }
    return json.dumps(document)  # JSON is YAML
