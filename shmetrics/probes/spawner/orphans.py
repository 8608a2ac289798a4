# SPDX-License-Identifier: Apache-2.0
"""Orphans of runs without a cgroup: processes whose parent has died.

Such a process becomes a child of the spawner (PR_SET_CHILD_SUBREAPER), whatever session it made for
itself. Its session tells which run it belongs to, if it made none. Otherwise only its user is
known: it ends when a run of its user ends, or when no run of its user is left. So a daemon that one
of two runs of a user has started may end with the other one. A cgroup has no such doubt.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection


class Orphans:
    """The processes without a cgroup that are ended when their run is over."""

    def __init__(self) -> None:
        self._active: dict[int, int] = {}  # pids of runs, with their users

    def begin(self, pid: int, uid: int) -> None:
        """Take note of a run without a cgroup."""
        self._active[pid] = uid

    def end(self, pid: int, mains: Collection[int]) -> None:
        """End what is left of a run, if it had no cgroup. mains: the pids of all other runs."""
        uid = self._active.pop(pid, None)
        if uid is not None:
            self.sweep(mains, uid)

    def sweep(self, mains: Collection[int], ended_uid: int | None = None) -> None:
        """End the orphans of runs that are over; called again whenever one of them has died.

        Args:
            mains: the pids of all runs, which are children and no orphans.
            ended_uid: a user of whom a run has just ended.
        """
        for pid in children():
            if pid in mains:
                continue
            try:
                session, uid = os.getsid(pid), os.stat(f"/proc/{pid}").st_uid
            except (ProcessLookupError, FileNotFoundError):
                continue
            if session in self._active or session in mains:
                continue
            if uid == ended_uid or uid not in self._active.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def children() -> list[int]:
    """Return the pids of the children of this process: its first thread starts all of them."""
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_ours(name, pid)]


def _is_ours(name: str, parent: int) -> bool:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1]) == parent
    except OSError:
        return False
