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
CHILDREN = 500  # of one shell


def lacking() -> str:
    """Return the reason why units cannot be made here, or ""."""
    from shmetrics.errors import ShmetricsError

    try:
        writable = all(os.access(each.directory, os.W_OK) for each in find())
    except ShmetricsError as error:
        return str(error)
    return "" if writable and os.geteuid() == 0 else "only root may make cgroups"


class Units:
    """Services of one slice, each with a process that sleeps.

    Attributes:
        id: the path of the slice; or, without one, how all paths begin.
        pids: the processes.
    """

    def __init__(self, count: int, is_flat: bool = False) -> None:
        self.id = f"/shmetrics-bench-{os.getpid()}" + ("-" if is_flat else ".slice")
        below = self.id if is_flat else f"{self.id}/"
        self._directories: list[Path] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self.hierarchies: list[Hierarchy] = find()
        for hierarchy in self.hierarchies:
            if not is_flat:
                self._make(Path(hierarchy.directory + self.id))
        for number in range(count):
            process = subprocess.Popen(["sleep", "infinity"])
            self._processes.append(process)
            for hierarchy in self.hierarchies:
                directory = Path(f"{hierarchy.directory}{below}unit-{number}.service")
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
def units(count: int, is_flat: bool = False) -> Iterator[Units]:
    """Make so many units, and remove them. is_flat: without a slice above them."""
    made = Units(count, is_flat)
    try:
        yield made
    finally:
        made.close()


# Forks until there are so many that wait for the end of our pipe. A shell is small.
_CROWD = """
read begin
exec 3<&0
i=0
while [ $i -lt $0 ]; do
    read end <&3 &
    i=$((i + 1))
done
echo
wait
"""


class _Shells:
    """Shells in one unit, each with many children: one of them takes ever longer for more."""

    def __init__(self, hierarchies: list[Hierarchy], path: str) -> None:
        self._files = [Path(f"{each.directory}{path}/cgroup.procs") for each in hierarchies]
        self._shells: list[subprocess.Popen[bytes]] = []

    def fork(self, count: int) -> None:
        """Start a shell with so many children."""
        shell = subprocess.Popen(
            ["/bin/sh", "-c", _CROWD, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._shells.append(shell)
        for file in self._files:
            file.write_text(str(shell.pid))
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(b"\n")
        shell.stdin.flush()
        shell.stdout.readline()

    def close(self) -> None:
        """End them."""
        for shell in self._shells:
            shell.communicate()


@contextmanager
def crowd(count: int) -> Iterator[str]:
    """Make a unit with so many processes; yield its path."""
    with units(1) as made:
        path = f"{made.id}/unit-0.service"
        shells = _Shells(made.hierarchies, path)
        try:
            for left in range(count, 0, -CHILDREN):
                shells.fork(min(left, CHILDREN))
            yield path
        finally:
            shells.close()
