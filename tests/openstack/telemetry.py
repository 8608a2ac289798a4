# SPDX-License-Identifier: Apache-2.0
"""What measures a run of a service: our collector, and stock oslo.messaging's own datagrams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from osprofiler import _utils

from tests.nodes.samples import Samples, parse
from tests.openstack.datagrams import Datagrams
from tests.openstack.deployment import Deployment, Sections
from tests.openstack.trees import Tree, tree_of
from tests.servers.collector import Collector
from tests.servers.patience import until
from tests.servers.processes import ServerProcess

__all__ = ["KEY", "Telemetry", "telemetry", "trace_headers"]

#: Signs the traces.
KEY: Final = "key-of-the-suite"
PATIENCE_SECONDS = 30


@dataclass
class Telemetry:
    """A node's collector and the socket of the datagrams, while a service runs."""

    collector: Collector
    _datagrams: Datagrams
    datagrams: list[dict[str, Any]] = field(default_factory=list)
    samples: Samples = field(default_factory=Samples)

    @property
    def variables(self) -> dict[str, str]:
        """Return what the environment of the service's processes needs."""
        return {"SHMETRICS_RUNTIME_DIR": str(self.collector.runtime_dir)}

    def options(self, transport_url: str, connection_string: str = "shm://") -> Sections:
        """Return what each service's configuration gets.

        Args:
            transport_url: of the broker, with the prefix or without.
            connection_string: where OSProfiler's spans go; "": nowhere.
        """
        return {
            "DEFAULT": {"transport_url": transport_url},
            "oslo_messaging_metrics": {
                "metrics_enabled": True,
                "metrics_socket_file": self._datagrams.path,
                "metrics_buffer_size": 100_000,
            },
            "oslo_messaging_notifications": {"driver": "messagingv2"},
            "profiler": {
                "enabled": bool(connection_string),
                "hmac_keys": KEY,
                "connection_string": connection_string or "shm://",
            },
        }

    def get(self, path: str) -> Any:
        """Return the JSON at a path of the collector's."""
        with urllib.request.urlopen(self.collector.url + path) as answer:
            return json.loads(answer.read())

    def processes(self, service: Deployment) -> set[str]:
        """Return which processes have lanes. A process that has only forked others has none."""
        lanes = self.get("/api/v1/lanes")
        assert not service.masters() & {lane["pid"] for lane in lanes}
        return {lane["process"] for lane in lanes}

    def command(self, *arguments: str) -> tuple[int, str]:
        """Return the exit status of a `shmetrics` command for this node, and what it prints."""
        ran = subprocess.run(
            [sys.executable, "-m", "shmetrics", *arguments],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr

    @contextmanager
    def daemon(self, log: Path, ready: str, *arguments: str) -> Iterator[None]:
        """Run a `shmetrics` command for this node, until the block ends.

        ready: what it logs when it has started.
        """
        command = [sys.executable, "-m", "shmetrics", *arguments]
        process = ServerProcess(command, log, {**os.environ, **self.variables})
        process.ready_when(lambda: ready in log.read_text(), PATIENCE_SECONDS)
        try:
            yield
        finally:
            assert process.stop() == 0

    def page(self) -> str:
        """Return the collector's page."""
        with urllib.request.urlopen(self.collector.url) as answer:
            return str(answer.read().decode())

    def scrape(self) -> Samples:
        """Return what Prometheus would get now."""
        with urllib.request.urlopen(self.collector.url + "/metrics") as answer:
            return parse(answer.read().decode())

    def tree(self, base_id: str) -> Tree:
        """Return the tree of a trace, as OSProfiler's command reads it from our collector."""
        return tree_of(f"shm://{self.collector.url.removeprefix('http://')}", base_id)

    def settle(self) -> None:
        """Wait until the lanes of a service that has stopped are retired."""
        until(lambda: not self.collector.lanes(), self.collector.lanes, PATIENCE_SECONDS)

    def finish(self) -> None:
        """Take the last figures of a service that has stopped."""
        self.settle()
        self.samples = self.scrape()
        self.datagrams = self._datagrams.stop()


def trace_headers(base_id: str, key: str = KEY) -> dict[str, str]:
    """Return the headers of a request that belongs to this trace, signed with a key."""
    info, signature = _utils.signed_pack({"base_id": base_id, "parent_id": base_id}, key)
    return {"X_Trace_Info": info.decode(), "X_Trace_HMAC": str(signature)}


@contextmanager
def telemetry(folder: Path) -> Iterator[Telemetry]:
    """Run a collector and the datagrams' socket. In the end the service has to be stopped."""
    with tempfile.TemporaryDirectory(prefix="shm-") as short:  # paths of sockets are
        runtime_dir = Path(short)
        config = folder / "collector.toml"
        config.write_text("constant_labels = {}\ntick_seconds = 0.05\n")
        collector = Collector(
            runtime_dir / "run", folder / "collector.log", ["--config", str(config)]
        )
        datagrams = Datagrams(runtime_dir / "oslo.metrics")
        found = Telemetry(collector, datagrams)
        try:
            yield found
            found.finish()
        finally:
            datagrams.stop()
            collector.stop()
