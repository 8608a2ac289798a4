# SPDX-License-Identifier: Apache-2.0
"""Processes to scrape, with many RPC label sets: our collector, and prometheus_client's server."""

from __future__ import annotations

import re
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import operations

START_S = 60.0
READ_BYTES = 256 * 1024
CONFIG = """\
listen = "127.0.0.1:0"
constant_labels = { hostname = "host-17" }
[store]
max_bytes = 2147483648
max_series_per_family = 1000000
"""


@dataclass(frozen=True)
class Node:
    """A process that answers GET /metrics on this port of 127.0.0.1."""

    port: int
    pid: int

    def scrape(self, encoding: str = "identity") -> int:
        """The size of an answer, which is read to its end and not kept."""
        request = f"GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept-encoding: {encoding}\r\n"
        room = bytearray(READ_BYTES)
        size_bytes = 0
        with socket.create_connection(("127.0.0.1", self.port), timeout=START_S) as client:
            client.sendall(f"{request}connection: close\r\n\r\n".encode())
            while n_bytes := client.recv_into(room):
                if not size_bytes and not room.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
                    raise RuntimeError(bytes(room[:100]).decode("latin-1"))
                size_bytes += n_bytes
        return size_bytes

    def resident_bytes(self, *, most: bool) -> int:
        """Memory of its own, of files and shared: now, or when it was most."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{'VmHWM' if most else 'VmRSS'}:\s*(\d+) kB", status)
        assert found
        return 1024 * int(found[1])


def label_sets(count: int) -> Iterator[tuple[str, ...]]:
    """Label values of that many methods."""
    for number in range(count):
        yield tuple((operations.LABELS | {"method": f"method_{number}"}).values())


def durations(number: int) -> Iterator[float]:
    """Return the durations of the calls of a label set: eight of them, in a few buckets."""
    return (operations.DURATIONS_S[(number + step) % 20] for step in range(8))


def fill(folder: Path, config: Path, count: int) -> None:
    """A runtime directory whose collector, when it starts, has these label sets."""
    from shmetrics.collector.collector import Collector
    from shmetrics.collector.directory import Directory
    from shmetrics.collector.settings import settings_of
    from shmetrics.config import load
    from shmetrics.oslo_families import RPC_CLIENT
    from shmetrics.store.self_metrics import SelfMetrics

    directory = Directory(folder)
    collector = Collector(
        directory, settings_of(load(str(config)), folder), SelfMetrics("benchmark")
    )
    family: Any = collector.families.define(RPC_CLIENT)
    order = [list(operations.LABELS).index(name) for name in RPC_CLIENT.label_names]
    for number, values in enumerate(label_sets(count)):
        row = tuple(values[at] for at in order)
        for seconds in durations(number):
            family.start(row)
            family.end(row)
            family.observe(row, seconds)
    collector.close()
    directory.close()


@contextmanager
def started(command: Sequence[str]) -> Iterator[Node]:
    """A process that says in its first line where it listens on 127.0.0.1."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], START_S)
            line = process.stdout.readline() if readable else ""
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if not found:
                raise RuntimeError(f"{command[2]} did not get ready")
            yield Node(int(found[1]), process.pid)
        finally:
            process.terminate()


@contextmanager
def collector(count: int, more: str = "") -> Iterator[Node]:
    """Our collector, started anew over a store with so many label sets; *more* configuration."""
    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as folder:
        config = Path(folder) / "collector.toml"
        config.write_text(CONFIG + more)
        runtime_dir = Path(folder) / "run"
        fill(runtime_dir, config, count)
        command = [sys.executable, "-m", "shmetrics", "collector", "--config", str(config)]
        with started([*command, "--runtime-dir", str(runtime_dir)]) as node:
            yield node


@contextmanager
def prometheus(count: int) -> Iterator[Node]:
    """prometheus_client's server in a process that has counted the same."""
    with started([sys.executable, "-m", "benchmarks.prometheus_service", str(count)]) as node:
        yield node
