# SPDX-License-Identifier: Apache-2.0
"""A node in small: a runtime directory, collectors that come and go, and emitting processes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.nodes.samples import Samples, parse
from tests.servers.collector import Collector
from tests.servers.patience import PATIENT
from tests.servers.processes import until

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120

# What every emitting program begins with. pause() says a word and waits for the test.
PRELUDE = """
import os, sys
import shmetrics

def pause(word):
    print(word, flush=True)
    sys.stdin.readline()
"""

# Not on stderr: an emitter has to end silently, and tests look at problems where they expect them.
QUIET = """
import logging
logging.getLogger("shmetrics").addHandler(logging.NullHandler())
"""

CONFIG = """
constant_labels = {}
"""
TICK = "tick_seconds = 0.05\n"


class Emitter:
    """A Python process that runs code after PRELUDE. It has to end well, and silently."""

    def __init__(self, code: str, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PRELUDE + QUIET + textwrap.dedent(code)],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def until(self, word: str) -> None:
        """Wait for the program to pause with this word."""
        said = self.said()
        if said != word:
            self.kill()
            raise AssertionError(f"said {said!r} instead of {word!r}: {self.errors}")

    def said(self) -> str:
        """Return the next line that it prints."""
        return _line(self._pipe(self._process.stdout))

    def go(self) -> None:
        """Let a paused program go on."""
        self.tell("")

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        pipe = self._pipe(self._process.stdin)
        pipe.write(line + "\n")
        pipe.flush()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        _, self.errors = self._process.communicate()

    def end(self) -> str:
        """Wait for the end of the program; return its output."""
        try:
            said, self.errors = self._process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        status = self._process.returncode
        assert (status, self.errors) == (0, ""), f"status {status}: {self.errors}"
        return said

    def abandon(self) -> None:
        """End it at teardown, in any state."""
        if self._process.returncode is None:
            self.kill()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def _line(pipe: IO[str]) -> str:
    found, _, _ = select.select([pipe], [], [], PATIENCE_SECONDS)
    return pipe.readline().strip() if found else "nothing"


class Node:
    """A node: a runtime directory with at most one collector at a time."""

    def __init__(self, runtime_dir: Path, folder: Path) -> None:
        self.runtime_dir = runtime_dir
        self.lanes_dir = runtime_dir / "lanes"
        self._folder = folder
        self._config = folder / "node.toml"
        self._collector: Collector | None = None
        self._emitters: list[Emitter] = []
        self._logs = 0
        self._answers = False

    # ---- collectors -------------------------------------------------------------------------

    def start(self, config: str = "") -> None:
        """Start a collector. config: more of its file; it ticks fast unless that has
        another time."""
        tick = "" if "tick_seconds" in config else TICK
        self._config.write_text(CONFIG + tick + textwrap.dedent(config))
        self._logs += 1
        self._collector = Collector(
            self.runtime_dir, self.log_path, ["--config", str(self._config)]
        )
        self._answers = True

    @property
    def log_path(self) -> Path:
        return self._folder / f"collector-{self._logs}.log"

    @property
    def log(self) -> str:
        """Return the log of the newest collector."""
        return self.log_path.read_text()

    @property
    def has_collector(self) -> bool:
        return self._collector is not None

    @property
    def url(self) -> str:
        assert self._collector is not None
        return self._collector.url

    @property
    def pid(self) -> int:
        """Return the collector's pid, as it tells it itself."""
        return int(json.loads((self.runtime_dir / "collector.json").read_text())["pid"])

    def freeze(self) -> None:
        self._answers = False
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self._answers = True

    def kill(self) -> None:
        """Kill the collector."""
        assert self._collector is not None
        collector, self._collector, self._answers = self._collector, None, False
        os.kill(self.pid, signal.SIGKILL)
        assert collector.stop() == -signal.SIGKILL

    def stop(self) -> None:
        """Stop the collector as an operator does."""
        assert self._collector is not None
        collector, self._collector, self._answers = self._collector, None, False
        assert collector.stop() == 0

    # ---- emitters ---------------------------------------------------------------------------

    def emitter(self, code: str, **env: str) -> Emitter:
        """Start an emitting process on this node."""
        code = PATIENT * self._answers + textwrap.dedent(code)
        found = Emitter(code, {"SHMETRICS_RUNTIME_DIR": str(self.runtime_dir)} | env)
        self._emitters.append(found)
        return found

    def run(self, code: str, **env: str) -> str:
        """Run an emitting process to its end."""
        return self.emitter(code, **env).end()

    # ---- what is there ----------------------------------------------------------------------

    def get(self, path: str, accept: str = "") -> bytes:
        request = urllib.request.Request(self.url + path, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            body: bytes = response.read()
        return body

    def samples(self, accept: str = "", without: str = "\n") -> Samples:
        """Return the samples of one scrape, of lines that do not have *without* in them.

        A parser takes its time.
        """
        lines = self.get("/metrics", accept).decode().splitlines(keepends=True)
        return parse("".join(line for line in lines if without not in line[:-1]))

    def sum(self, name: str, label: str = "") -> float:
        """Return the sum over one name; there may be too many to parse them again and again."""
        lines = [line for line in self.get("/metrics").decode().splitlines() if label in line]
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))

    def lanes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get("/api/v1/lanes"))
        return found

    def calls(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get("/api/v1/calls"))
        return found

    def lane_files(self) -> list[Path]:
        """Return all files in the directory of lanes."""
        return sorted(self.lanes_dir.iterdir())

    def until_lanes(self, n: int) -> None:
        """Wait until all but n lanes are retired."""
        until(lambda: len(self.lanes()) == n, lambda: f"{self.lanes()}", PATIENCE_SECONDS)

    def until_no_lane(self) -> None:
        """Wait until every lane is retired, file and all."""
        until(lambda: not self.lane_files(), lambda: f"{self.lane_files()}", PATIENCE_SECONDS)

    def close(self) -> None:
        """End the emitters, and then the collector, which retires their lanes."""
        for emitter in self._emitters:
            emitter.abandon()
        if self._collector is not None:
            self.thaw()
            try:
                self.until_no_lane()
            finally:
                self.stop()


@pytest.fixture
def node(runtime_dir: Path, tmp_path: Path) -> Iterator[Node]:
    """Yield a node without a collector: start() one. In the end every lane has to be retired."""
    found = Node(runtime_dir, tmp_path)
    yield found
    found.close()
