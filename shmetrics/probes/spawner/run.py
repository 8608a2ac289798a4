# SPDX-License-Identifier: Apache-2.0
"""One run of a program: its start, and how it is made to end.

A program that is too late gets SIGTERM, with its process group, and half a second later SIGKILL,
with all that it has started: the run's cgroup, or else its process group.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import NamedTuple

from shmetrics.probes.spawner.run_cgroups import RunCgroup

GRACE_NS = 500_000_000  # from SIGTERM to SIGKILL
STUCK_NS = 5_000_000_000  # from SIGKILL until nobody waits for the end any more


class Limits(NamedTuple):
    """The limits of a program.

    Attributes:
        cpu_seconds: processor time of each process.
        memory_bytes: address space of each process.
        processes: processes and threads of its user, all together.
        file_bytes: size to which it may write a file.
        nice: how far others go first, from 0 to 19.
    """

    cpu_seconds: int
    memory_bytes: int
    processes: int
    file_bytes: int
    nice: int


class Run:
    """A program that runs, with what it has started."""

    def __init__(
        self,
        start: Callable[[int], int],
        cgroup: RunCgroup | None,
        timeout_ns: int,
        now_ns: int,
    ) -> None:
        """Start it.

        Args:
            start: called with a descriptor of cgroup.procs, or -1; returns the pid.
            cgroup: the cgroup in which it runs; None: none can be had.
            timeout_ns: how long it may run.
            now_ns: the time.

        Raises:
            NotStarted: it does not run.
        """
        self.cgroup = cgroup
        self.timed_out = False
        self.pid = start(-1 if cgroup is None else cgroup.procs)
        self._started_ns = now_ns
        self._told = False
        self._killed = False
        self.is_stuck = False  # SIGKILL does not end it
        self.deadline_ns: int | None = now_ns + timeout_ns

    def advance(self, now_ns: int) -> bool:
        """Do what is due: SIGTERM at the deadline, then SIGKILL; return whether it is stuck now."""
        if self.deadline_ns is None or now_ns < self.deadline_ns:
            return False
        if self._killed:
            self.deadline_ns = None
            self.is_stuck = True
            return True
        if self._told:
            self.kill(now_ns)
            return False
        self.timed_out = True
        self._told = True
        self.deadline_ns = now_ns + GRACE_NS
        _signal_group(self.pid, signal.SIGTERM)
        return False

    def kill(self, now_ns: int) -> None:
        """End it at once, with all that it has started. It has not been reaped yet."""
        if not self._killed:
            self._killed = True
            self.deadline_ns = now_ns + STUCK_NS
        if self.cgroup is not None and not self.cgroup.is_empty():
            self.cgroup.kill()
        # Not instead: a program that could write to its cgroup.procs might have left.
        _signal_group(self.pid, signal.SIGKILL)

    def duration_seconds(self, now_ns: int) -> float:
        """Return how long it has run."""
        return (now_ns - self._started_ns) / 1e9


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass  # all of them have ended
    except PermissionError:
        pass  # as uid 0 has changed its user, and we are not root: its cgroup ends it
