# SPDX-License-Identifier: Apache-2.0
"""Cgroups for runs: what a run has started cannot leave its cgroup, and ends with one write.

    <the spawner's own cgroup>/shmetrics-probes[-2, -3, ...]/{0, 1, ...}

The outer directory is locked (flock) by the spawner that uses it. One without a lock is left behind
by a spawner that was killed: its processes are ended, and it is removed. A run takes an inner one
that is empty, so that there are as many as have run at once. cgroup v2 since Linux 5.14 has
`cgroup.kill`; where there is none, there are no cgroups for runs. No controller is switched on.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

NAME = "shmetrics-probes"
_MOST_SPAWNERS = 100  # that share a cgroup


class RunCgroup:
    """The cgroup of one run at a time."""

    def __init__(self, path: str) -> None:
        """Make it. Raises OSError."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)
        self.path = path
        self.is_gone = False  # somebody else has removed it
        self._events = os.open(f"{path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            #: A descriptor of cgroup.procs: a process that writes `0` to it is in the cgroup.
            self.procs = os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._events)
            raise

    def is_empty(self) -> bool:
        """Return whether no process is in it."""
        try:
            return b"populated 0" in os.pread(self._events, 256, 0)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            self.is_gone = True
            return True

    def kill(self) -> None:
        """End all processes in it, in all sessions, and none of them can start another one."""
        with contextlib.suppress(FileNotFoundError):  # it was empty, and somebody has removed it
            _write(f"{self.path}/cgroup.kill", b"1")

    def close(self) -> None:
        """Remove it, if it is empty."""
        os.close(self._events)
        os.close(self.procs)
        with contextlib.suppress(OSError):  # in the middle of a death; the next start removes it
            os.rmdir(self.path)


class RunCgroups:
    """The cgroups of one spawner."""

    def __init__(self, path: str, lock: int) -> None:
        self._path = path
        self._lock = lock
        self._free: list[RunCgroup] = []
        self._leaving: list[RunCgroup] = []  # whose processes have been killed, and die
        self._made = 0

    @staticmethod
    def open(parent: str | None = None) -> RunCgroups | None:
        """Make a directory for a spawner, after what others have left behind is removed.

        Args:
            parent: the cgroup in which it is made; None: that of this process.

        Returns:
            None if this kernel has no such cgroups, or this user may make none.
        """
        parent = own_cgroup() if parent is None else parent
        if parent is None or not _may_enter(parent):
            return None
        remove_left_behind(parent)
        for path in _names(parent):
            try:
                lock = _made_and_locked(path)
            except OSError:
                return None
            if lock is None:
                continue
            if os.path.exists(f"{path}/cgroup.kill"):
                return RunCgroups(path, lock)
            os.close(lock)
            with contextlib.suppress(OSError):
                os.rmdir(path)
            return None
        return None

    def take(self) -> RunCgroup | None:
        """Return an empty cgroup, until it is given back. None if none can be made."""
        self._settle()
        if self._free:
            return self._free.pop()
        try:
            made = RunCgroup(f"{self._path}/{self._made}")
        except OSError:
            return None
        self._made += 1
        return made

    def give_back(self, cgroup: RunCgroup) -> None:
        """End what is still in a cgroup; it is used again once it is empty."""
        if not cgroup.is_empty():
            cgroup.kill()
            self._leaving.append(cgroup)
        elif cgroup.is_gone:
            cgroup.close()
        else:
            self._free.append(cgroup)

    def close(self) -> None:
        """Remove all of them that are empty."""
        for cgroup in (*self._free, *self._leaving):
            cgroup.close()
        with contextlib.suppress(OSError):
            os.rmdir(self._path)
        os.close(self._lock)

    def _settle(self) -> None:
        empty = [each for each in self._leaving if each.is_empty()]
        self._free += empty
        self._leaving = [each for each in self._leaving if each not in empty]


def remove_left_behind(parent: str | None = None) -> None:
    """End what spawners that were killed have left behind in a cgroup, and remove their cgroups.

    What is dying yet is not waited for.
    """
    parent = own_cgroup() if parent is None else parent
    for path in _names(parent) if parent else ():
        if not os.path.isdir(path):
            continue
        try:
            lock = _locked(path)
            if lock is None:
                continue
            try:
                _write(f"{path}/cgroup.kill", b"1")
                for name in os.listdir(path):
                    if os.path.isdir(f"{path}/{name}"):
                        os.rmdir(f"{path}/{name}")
                os.rmdir(path)
            finally:
                os.close(lock)
        except OSError:
            continue  # still dying, another spawner is about to use it, or it is not ours


def own_cgroup() -> str | None:
    """Return the directory of this process's cgroup v2, None if there is none to be seen."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        own = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), None)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            # proc(5): ... root, mount point, options, optional fields, "-", type, source, options
            mount, _, kind = line.partition(" - ")
            if own is not None and kind.startswith("cgroup2 "):
                root, point = mount.split()[3:5]
                if own == root or own.startswith(os.path.join(root, "")):
                    return os.path.normpath(f"{point}/{own[len(root.rstrip('/')) :]}")
    return None


def _names(parent: str) -> Iterator[str]:
    yield f"{parent}/{NAME}"
    for number in range(2, _MOST_SPAWNERS):
        yield f"{parent}/{NAME}-{number}"


def _may_enter(parent: str) -> bool:
    # A process may move between two cgroups if it may write to what they have in common.
    return os.access(f"{parent}/cgroup.procs", os.W_OK)


def _made_and_locked(path: str) -> int | None:
    """Return a descriptor that locks a directory, made if it is not there; None if it is locked."""
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)
        try:
            lock = _locked(path)
        except FileNotFoundError:
            continue
        if lock is None or _is_at(lock, path):
            return lock
        os.close(lock)  # another spawner took it for left behind before it was locked


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _locked(path: str) -> int | None:
    """Return a descriptor that locks a directory, None if another process has it."""
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno == errno.EWOULDBLOCK:
            return None
        raise
    return lock


def _write(path: str, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)
