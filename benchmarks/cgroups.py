# SPDX-License-Identifier: Apache-2.0
"""Many units of our own, with a process in each, in every hierarchy of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shmetrics.units.hierarchies import Hierarchy, find

REMOVE_S = 30.0


def lacking() -> str:
    """What keeps units from being made here."""
    from shmetrics.errors import ShmetricsError

    try:
        writable = all(os.access(each.directory, os.W_OK) for each in find())
    except ShmetricsError as error:
        return str(error)
    return "" if writable and os.geteuid() == 0 else "only root may make cgroups"


class Units:
    """Services of one slice, each with a process that sleeps.

    Attributes:
        id: the path of the slice.
        pids: the processes.
    """

    def __init__(self, count: int) -> None:
        self.id = f"/shmetrics-bench-{os.getpid()}.slice"
        self._directories: list[Path] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self.hierarchies: list[Hierarchy] = find()
        for hierarchy in self.hierarchies:
            self._make(Path(hierarchy.directory + self.id))
        for number in range(count):
            process = subprocess.Popen(["sleep", "infinity"])
            self._processes.append(process)
            for hierarchy in self.hierarchies:
                directory = Path(f"{hierarchy.directory}{self.id}/unit-{number}.service")
                self._make(directory)
                (directory / "cgroup.procs").write_text(str(process.pid))
        self.pids = [process.pid for process in self._processes]

    def _make(self, directory: Path) -> None:
        directory.mkdir()
        self._directories.append(directory)

    def work(self) -> None:
        """Let each process run for a moment, so that its unit's numbers change."""
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End the processes, and remove the cgroups."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        deadline = time.monotonic() + REMOVE_S
        for directory in reversed(self._directories):
            while directory.exists():
                try:
                    directory.rmdir()
                except OSError:  # the kernel is not done with the process that was in it
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)


@contextmanager
def units(count: int) -> Iterator[Units]:
    """Make so many units, and remove them."""
    made = Units(count)
    try:
        yield made
    finally:
        made.close()
