# SPDX-License-Identifier: Apache-2.0
"""Processes that do not run: stopped by a signal, held by a debugger, or in a frozen cgroup.

Such a process answers nobody, and records nothing. /proc says so (proc_pid_stat(5),
proc_pid_status(5)), and `cgroup.events` of its cgroup, version 2.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

MOST_BYTES = 65536
_TRACER = re.compile(rb"^TracerPid:\t(\d+)$", re.MULTILINE)
_CGROUP = re.compile(rb"^0::(/.*)$", re.MULTILINE)
_STAT = re.compile(rb"(\w) (\d{1,10})(?!\d)")
_FROZEN = re.compile(rb"^frozen 1$", re.MULTILINE)


class Halt(NamedTuple):
    """The reason why a process does not run.

    Attributes:
        state: in one word: `stopped`, `traced` or `frozen`.
        cause: in words.
        mend: what lets it go on.
    """

    state: str
    cause: str
    mend: str


class Halts:
    """Tells whether processes run."""

    def __init__(self, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        """Look into these folders."""
        self._proc = proc
        self._cgroups = cgroups

    def of(self, pid: int) -> Halt | None:
        """Return why a process does not run; None: it does, or nothing is known of it.

        Args:
            pid: the process; 0: one that cannot be seen.
        """
        if pid <= 0:
            return None
        folder = self._proc / str(pid)
        state = self._stat(pid).state
        if state == b"T":
            master = self.stopped_parent(pid)
            both = f"{master} {pid}" if master else f"{pid}"
            return Halt("stopped", "a signal has stopped it", f"kill -CONT {both}")
        if state == b"t":
            tracer = _TRACER.search(_read(folder / "status"))
            by = f"process {int(tracer[1])}" if tracer else "a debugger"
            return Halt("traced", f"{by} holds it", f"let {by} go on, or detach it")
        own = _CGROUP.search(_read(folder / "cgroup"))
        if state and own is not None:
            path = self._cgroups / own[1].decode("utf-8", "surrogateescape").lstrip("/")
            if _FROZEN.search(_read(path / "cgroup.events")):
                text = str(path).encode("utf-8", "replace").decode()
                return Halt("frozen", f"its cgroup {text} is frozen", "thaw the unit or container")
        return None

    def stopped_parent(self, pid: int) -> int:
        """Return the parent of a process, if a signal has stopped it; else 0.

        That of a worker is a master, which starts no other one then.
        """
        parent = self._stat(pid).parent if pid > 0 else 0
        return parent if parent > 1 and self._stat(parent).state == b"T" else 0

    def _stat(self, pid: int) -> _Stat:
        text = _read(self._proc / str(pid) / "stat").rpartition(b") ")[2]
        found = _STAT.match(text)
        return _Stat(found[1], int(found[2])) if found else _Stat(b"", 0)


class _Stat(NamedTuple):
    """The state of a process, as one letter, and its parent; b"" and 0 if they are not known."""

    state: bytes
    parent: int


def _read(path: Path) -> bytes:
    """Return the first bytes of a file of the kernel; none if it is not there, or not for us."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(MOST_BYTES) or b""
    except OSError:
        return b""
