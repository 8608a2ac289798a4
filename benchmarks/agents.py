# SPDX-License-Identifier: Apache-2.0
"""Other agents of a node as processes of their own, and what they take of a processor.

They are Debian's packages. One that is not installed is a row that is left out.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 20.0

COLLECTD = """
BaseDir "{folder}"
PIDFile "{folder}/pid"
Interval 1
LoadPlugin cgroups
<Plugin cgroups>
  CGroup "/{mark}/"
  IgnoreSelected false
</Plugin>
"""

# All of a unit's files that it knows, whether they have numbers or not, and nothing else.
NETDATA = """
[global]
  run as user = root
[directories]
  config = {folder}
  cache = {folder}
  lib = {folder}
  log = {folder}
[logs]
  error = {folder}/log
  access = none
[db]
  mode = ram
[web]
  bind to = 127.0.0.1:{port}
[ml]
  enabled = no
[health]
  enabled = no
[cloud]
  enabled = no
[plugins]
  enable running new plugins = no
  {other_plugins}
[plugin:cgroups]
  enable by default cgroups matching = *
  enable by default cgroups names matching = *
  search for cgroups in subpaths matching = *
  cgroups to match as systemd services = !*
  run script to rename cgroups matching = !*
  script to get cgroup network interfaces =
  max cgroups to allow = {most}
  enable cpuacct stat (total CPU) = yes
  enable cpuacct usage (per core CPU) = no
  enable memory = yes
  enable detailed memory = yes
  enable memory limits fail count = yes
  enable swap memory = yes
  enable blkio throttle bandwidth = yes
  enable blkio throttle operations = yes
  enable blkio bandwidth = no
  enable blkio operations = no
  enable blkio queued operations = no
  enable blkio merged operations = no
"""
_NOT_CGROUPS = (
    *("apps", "checks", "diskspace", "idlejitter", "netdata monitoring", "nfacct", "perf", "proc"),
    *("slabinfo", "statsd", "tc", "timex"),
)

PROCESS_EXPORTER = """
process_names:
  - name: "{{.Comm}}"
    cmdline: [".+"]
"""


def lacking(program: str) -> str:
    """Return what keeps an agent from running here."""
    return "" if shutil.which(program) else f"{program} is not installed"


class Agent:
    """An agent that runs."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._log = (folder / "said").open("wb")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=folder
        )
        self._folder = folder

    def spent_seconds(self) -> float:
        """Return the processor time of all of its threads."""
        spent_ns = 0
        for path in Path(f"/proc/{self._process.pid}/task").glob("*/schedstat"):
            spent_ns += int(path.read_text().split()[0])
        return spent_ns / 1e9

    def memory_bytes(self, kind: str) -> int:
        """Return its memory. kind: as smaps_rollup names it, such as Rss or Pss."""
        lines = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines()
        sizes = dict(line.split(":", 1) for line in lines[1:])
        return int(sizes[kind].split()[0]) << 10

    def check(self) -> None:
        """Raise RuntimeError if it has ended."""
        if self._process.poll() is not None:
            said = (self._folder / "said").read_text(errors="replace")[-500:]
            raise RuntimeError(f"{self._process.args!r} has ended: {said}")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@contextmanager
def agent(command: Callable[[Path], list[str]]) -> Iterator[Agent]:
    """Run an agent. command: called with a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as folder:
        found = Agent(command(Path(folder)), Path(folder))
        try:
            yield found
        finally:
            found.close()


def collectd(mark: str) -> Callable[[Path], list[str]]:
    """Return what starts collectd, which reads cgroups with a mark in their names each second."""

    def command(folder: Path) -> list[str]:
        path = folder / "collectd.conf"
        path.write_text(COLLECTD.format(folder=folder, mark=mark))
        return ["collectd", "-f", "-C", str(path)]

    return command


def netdata(port: int, most: int) -> Callable[[Path], list[str]]:
    """Return what starts netdata, which reads at most so many cgroups each second."""

    def command(folder: Path) -> list[str]:
        path = folder / "netdata.conf"
        plugins = "\n  ".join(f"{name} = no" for name in _NOT_CGROUPS)
        text = NETDATA.format(folder=folder, port=port, most=most, other_plugins=plugins)
        path.write_text(text)
        return ["netdata", "-D", "-c", str(path), "-P", str(folder / "pid")]

    return command


def process_exporter(port: int) -> Callable[[Path], list[str]]:
    """Return what starts prometheus-process-exporter, without what takes it long."""

    def command(folder: Path) -> list[str]:
        path = folder / "config.yml"
        path.write_text(PROCESS_EXPORTER)
        options = ["-threads=false", "-gather-smaps=false"]
        listen = f"-web.listen-address=127.0.0.1:{port}"
        return ["prometheus-process-exporter", "-config.path", str(path), listen, *options]

    return command


def node_exporter(port: int, directory: Path) -> Callable[[Path], list[str]]:
    """Return what starts prometheus-node-exporter with its text files alone."""

    def command(folder: Path) -> list[str]:
        options = ["--collector.disable-defaults", "--collector.textfile"]
        options += [f"--collector.textfile.directory={directory}", "--web.disable-exporter-metrics"]
        return ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}", *options]

    return command


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def scrape(port: int, path: str = "/metrics") -> str:
    """Return what an agent answers, which may have to start first."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
