# SPDX-License-Identifier: Apache-2.0
"""Cgroups that a test makes and removes, and processes that run in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from shmetrics.units.hierarchies import CONTROLLERS, UNIFIED, Hierarchy, find
from tests.servers.patience import until

__all__ = ["Cgroups", "Worker", "cgroups"]

PATIENCE_SECONDS = 60

# A process that does as it is told, a line at a time, and is idle in between.
WORKER = """
import os, sys, time, threading
kept = []
for line in sys.stdin:
    what, _, value = line.strip().partition(" ")
    if what == "burn":
        end = time.thread_time() + float(value)
        while time.thread_time() < end:
            os.getppid()
    elif what == "allocate":
        kept.append(bytearray(os.urandom(1)) * (int(value) << 20))
    elif what == "free":
        kept.clear()
    elif what == "threads":
        for _ in range(int(value)):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    elif what == "fork":
        pid = os.fork()
        if pid == 0:
            end = time.thread_time() + float(value)
            while time.thread_time() < end:
                pass
            os._exit(0)
        os.waitpid(pid, 0)
    elif what == "write":
        path, n = value.split()
        with open(path, "wb") as file:
            file.write(os.urandom(1 << 20) * int(n))
            file.flush()
            os.fsync(file.fileno())
    print("done", flush=True)
"""


class Worker:
    """A process of ours that can be in cgroups."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.tell("begin")

    def tell(self, what: str) -> None:
        """Let it do something, and wait until that is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def end(self) -> None:
        """Kill it, in any state."""
        self._process.kill()
        self._process.communicate()


class Cgroups:
    """A slice of this test's own in every hierarchy, and what the test makes below it.

    Attributes:
        hierarchies: where it is.
        id: the path of the slice.
    """

    def __init__(self, hierarchies: Iterable[Hierarchy]) -> None:
        self.hierarchies = list(hierarchies)
        name = os.path.basename(tempfile.mktemp(prefix=f"shmetrics-test-{os.getpid()}-"))
        self.id = f"/{name}.slice"
        self._made: list[Path] = []
        self._workers: list[Worker] = []
        self.make("")

    def make(self, path: str, keys: Iterable[str] = (*CONTROLLERS, UNIFIED)) -> str:
        """Make a cgroup below the slice in the hierarchies with these keys; return its id."""
        for hierarchy in self.hierarchies:
            if set(hierarchy.keys) & set(keys):
                directory = Path(hierarchy.directory + self.id + path)
                directory.mkdir()
                self._made.append(directory)
        return self.id + path

    def remove(self, path: str) -> None:
        """Remove a cgroup, with the processes in it."""
        for directory in [each for each in self._made if str(each).endswith(self.id + path)]:
            self._empty(directory)
            directory.rmdir()
            self._made.remove(directory)

    def worker(self, path: str) -> Worker:
        """Start a process, and put it into the cgroup."""
        worker = Worker()
        self._workers.append(worker)
        for directory in self._made:
            if str(directory).endswith(self.id + path):
                (directory / "cgroup.procs").write_text(str(worker.pid))
        return worker

    def write(self, path: str, file: str, text: str) -> None:
        """Write a setting of a cgroup, wherever that file is."""
        written = 0
        for directory in self._made:
            if str(directory).endswith(self.id + path) and (directory / file).exists():
                (directory / file).write_text(text)
                written += 1
        assert written

    def close(self) -> None:
        """End the processes, and remove all cgroups."""
        for worker in self._workers:
            worker.end()
        for directory in sorted(self._made, key=lambda each: -len(str(each))):
            self._empty(directory)
            until(lambda gone=directory: _removed(gone), lambda: "busy", PATIENCE_SECONDS)  # type: ignore[misc]

    @staticmethod
    def _empty(directory: Path) -> None:
        """Kill what is in a cgroup of ours, and wait until it is gone."""

        def pids() -> list[int]:
            return [int(pid) for pid in (directory / "cgroup.procs").read_text().split()]

        for pid in pids():
            os.kill(pid, signal.SIGKILL)
        until(lambda: not pids(), pids, PATIENCE_SECONDS)


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # the kernel is not done with the processes that were in it
    return True


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    """Yield cgroups of this test's own in every hierarchy of this machine."""
    hierarchies = [each for each in find() if os.access(each.directory, os.W_OK)]
    if os.geteuid() != 0 or not hierarchies:
        pytest.skip("only root may make cgroups, and this kernel must have some mounted")
    made = Cgroups(hierarchies)
    yield made
    made.close()
