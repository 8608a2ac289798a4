# SPDX-License-Identifier: Apache-2.0
"""Processes that do not run: stopped by a signal, held by a debugger, or in a frozen cgroup.

Such a process answers nobody, and records nothing. /proc says so (proc_pid_stat(5),
proc_pid_status(5)), and `cgroup.events` of its cgroup, version 2.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

#: The states of a process that does not run.
STATES = ("stopped", "traced", "frozen")
MOST_BYTES = 65536
_TRACER = re.compile(rb"^TracerPid:\t(\d+)$", re.MULTILINE)
_CGROUP = re.compile(rb"^0::(/.*)$", re.MULTILINE)
_STAT = re.compile(rb"(\w) (\d{1,10})(?!\d)")
_FROZEN = re.compile(rb"^frozen 1$", re.MULTILINE)


class Halt(NamedTuple):
    """The reason why a process does not run.

    Attributes:
        state: in one word, of STATES.
        cause: in words.
        mend: what lets it go on.
    """

    state: str
    cause: str
    mend: str


class Halts:
    """Tells whether processes run."""

    def __init__(self, proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> None:
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
        folder = f"{self._proc}/{pid}"
        state = self._stat(pid).state
        if state == b"T":
            master = self.stopped_parent(pid)
            both = f"{master} {pid}" if master else f"{pid}"
            return Halt("stopped", "a signal has stopped it", f"kill -CONT {both}")
        if state == b"t":
            tracer = _TRACER.search(_read(f"{folder}/status"))
            by = f"process {int(tracer[1])}" if tracer else "a debugger"
            return Halt("traced", f"{by} holds it", f"let {by} go on, or detach it")
        path = self._cgroup(pid)
        if state and path and _FROZEN.search(_read(f"{path}/cgroup.events")):
            text = path.encode("utf-8", "replace").decode()
            return Halt("frozen", f"its cgroup {text} is frozen", "thaw the unit or container")
        return None

    def _cgroup(self, pid: int) -> str:
        """Return the folder of a process's cgroup, version 2; "" if nothing is known of it."""
        own = _CGROUP.search(_read(f"{self._proc}/{pid}/cgroup"))
        return self._cgroups + os.fsdecode(own[1]) if own else ""

    def stopped_parent(self, pid: int) -> int:
        """Return the parent of a process, if a signal has stopped it; else 0.

        That of a worker is a master, which starts no other one then.
        """
        parent = self._stat(pid).parent if pid > 0 else 0
        return parent if parent > 1 and self._stat(parent).state == b"T" else 0

    def _stat(self, pid: int) -> _Stat:
        text = _read(f"{self._proc}/{pid}/stat").rpartition(b") ")[2]
        found = _STAT.match(text)
        return _Stat(found[1], int(found[2])) if found else _Stat(b"", 0)


class _Stat(NamedTuple):
    """The state of a process, as one letter, and its parent; b"" and 0 if they are not known."""

    state: bytes
    parent: int


def _read(path: str) -> bytes:
    """Return the first bytes of a file of the kernel; none if it is not there, or not for us."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, MOST_BYTES)
    except OSError:
        return b""
    finally:
        os.close(fd)
