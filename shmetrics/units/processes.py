# SPDX-License-Identifier: Apache-2.0
"""The processes of this node, grouped by the unit that they are in: one pass over /proc.

A process is known by its pid and its start: a pid that is used again is another process.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from shmetrics.units._files import NOT_ASKED, Processes

MOST_PROCESSES: Final = 65_536

# A record of csrc/units/processes.h: pid, start, state, parent, ticks of user and system, threads,
# bytes, pages, files.
_RECORD: Final = struct.Struct("=10Q")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_MOST_BYTES: Final = 65_536  # of a /proc/PID/cgroup
# In one of so many passes a process is asked where it is: it may be moved. They take turns.
_TURNS: Final = 20
# The same for its open files, which cost as much as a third of all else.
_FILE_TURNS: Final = 4

#: The states of processes as process-exporter names them, by the kernel's letter.
STATES: Final = {"R": "Running", "S": "Sleeping", "I": "Sleeping", "D": "Waiting", "Z": "Zombie"}
OTHER_STATE: Final = "Other"
_STATE_NAMES: Final = {ord(letter): name for letter, name in STATES.items()}


class Group:
    """The processes of one unit in one pass.

    Attributes:
        pids: their pids.
        user_seconds: processor time since the pass before, of programs.
        system_seconds: the same of the kernel for them.
        resident_bytes: memory that is in RAM, what several share counted for each.
        virtual_bytes: addresses in use.
        files: open files, at one of the last passes; 0 where the kernel does not tell.
        threads: threads.
        states: how many are in each state.
        oldest_start_ticks: when the oldest began, since the boot.
    """

    __slots__ = (
        *("files", "oldest_start_ticks", "pids", "resident_bytes", "states"),
        *("system_seconds", "threads", "user_seconds", "virtual_bytes"),
    )

    def __init__(self) -> None:
        self.pids: list[int] = []
        self.user_seconds = self.system_seconds = 0.0
        self.resident_bytes = self.virtual_bytes = self.files = self.threads = 0
        self.states: dict[str, int] = {}
        self.oldest_start_ticks = 1 << 63


class _Known(NamedTuple):
    """A process as it is kept from pass to pass; `age` is 0 after the first that has found it."""

    start_ticks: int
    user_ticks: int
    system_ticks: int
    unit: str
    files: int
    age: int


class ProcessTable:
    """Passes over the processes of this node."""

    def __init__(self, proc: str = "/proc", most: int = MOST_PROCESSES) -> None:
        """Begin without a process.

        Args:
            proc: the directory that has them.
            most: how many are looked at.
        """
        self._proc = proc
        self._processes = Processes(proc, most, _FILE_TURNS)
        self._known: dict[int, _Known] = {}
        self._number = 0

    @property
    def has_left_out(self) -> bool:
        """Return whether there are more processes than are looked at."""
        return self._processes.has_left_out

    def groups(self, units: Collection[str]) -> dict[str, Group]:
        """Return the processes of each unit that has any.

        Processor time counts from the first look at a process: what one has used before this table
        was made is not known to be new. All that a process which began since has used is new.

        Args:
            units: the ids of the units; a process that is below one is in it.

        Raises:
            OSError: there is no /proc.
        """
        groups: dict[str, Group] = {}
        earlier, self._known = self._known, {}
        for record in _RECORD.iter_unpack(self._processes.make()):
            pid, start_ticks, state, _parent, user, system, threads, virtual, pages, files = record
            before = earlier.get(pid)
            if before is None or before.start_ticks != start_ticks:
                now = self._begin(pid, start_ticks, user, system, files, units)
                user, system = (user, system) if self._number else (0, 0)
            else:
                now = self._go_on(pid, before, user, system, files, units)
                user, system = user - before.user_ticks, system - before.system_ticks
            self._known[pid] = now
            if not now.unit:
                continue
            group = groups.get(now.unit)
            if group is None:
                group = groups[now.unit] = Group()
            group.pids.append(pid)
            if user > 0:
                group.user_seconds += user / _TICKS
            if system > 0:
                group.system_seconds += system / _TICKS
            group.resident_bytes += pages * _PAGE_BYTES
            group.virtual_bytes += virtual
            group.files += now.files
            group.threads += threads
            if start_ticks < group.oldest_start_ticks:
                group.oldest_start_ticks = start_ticks
            name = _STATE_NAMES.get(state, OTHER_STATE)
            group.states[name] = group.states.get(name, 0) + 1
        self._number += 1
        return groups

    def _begin(
        self,
        pid: int,
        start_ticks: int,
        user: int,
        system: int,
        files: int,
        units: Collection[str],
    ) -> _Known:
        """Return what is kept of a process that no pass has found before."""
        if files == NOT_ASKED:
            files = self._count_files(pid)
        return _Known(start_ticks, user, system, self._look(pid, units), files, 0)

    def _go_on(
        self,
        pid: int,
        before: _Known,
        user: int,
        system: int,
        files: int,
        units: Collection[str],
    ) -> _Known:
        """Return what is kept of a process that the pass before has found, too."""
        start_ticks, before_user, before_system, unit, known_files, age = before
        # Who starts a process may move it a moment later.
        if not age or not (pid + self._number) % _TURNS or (unit and unit not in units):
            unit = self._look(pid, units)
        elif files in (NOT_ASKED, known_files) and (user, system) == (before_user, before_system):
            return before  # as most of a node's processes
        if files == NOT_ASKED:
            files = known_files
        return _Known(start_ticks, user, system, unit, files, 1)

    def _count_files(self, pid: int) -> int:
        """Return how many files a process has open; 0 if that is not known."""
        try:
            return os.stat(f"{self._proc}/{pid}/fd").st_size
        except OSError:
            return 0  # it has ended, or is not ours to see

    def _look(self, pid: int, units: Collection[str]) -> str:
        """Return the id of the unit that a process is in, "" if it is in none."""
        best = ""
        for path in set(_cgroups(f"{self._proc}/{pid}/cgroup")):  # mostly one, in all hierarchies
            while path and path not in units:
                path = path.rpartition("/")[0]
            best = max(best, path, key=len)
        return best


def _cgroups(path: str) -> Iterator[str]:
    """Yield the paths of a process's cgroups (cgroups(7)), none if it has ended."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a third of the time of open()
    except OSError:
        return
    try:
        text = os.fsdecode(os.read(fd, _MOST_BYTES))
    except OSError:
        return
    finally:
        os.close(fd)
    for line in text.splitlines():
        yield line.split(":", 2)[-1]


def boot_seconds(proc: str = "/proc") -> float:
    """Return when this machine was booted, in Unix time; 0 if the kernel does not say."""
    try:
        with open(f"{proc}/stat", encoding="ascii", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(" ")
                if key == "btime":
                    return float(value)
    except (OSError, ValueError):
        pass  # a /proc that is not the kernel's
    return 0.0


def start_seconds(ticks: int, booted: float) -> float:
    """Return a start in ticks since the boot as Unix time."""
    return booted + ticks / _TICKS
