# SPDX-License-Identifier: Apache-2.0
"""The processes of this node, grouped by the unit that they are in: one pass over /proc.

A process is known by its pid and its start: a pid that is used again is another process.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from shmetrics.units._files import Processes

MOST_PROCESSES: Final = 65_536

_RECORD: Final = struct.Struct("=10Q")  # csrc/units/processes.h
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_MOST_BYTES: Final = 65_536  # of a /proc/PID/cgroup
# In one of so many passes a process is asked where it is: it may be moved. They take turns.
_TURNS: Final = 10

#: The states of processes as process-exporter names them, by the kernel's letter.
STATES: Final = {"R": "Running", "S": "Sleeping", "I": "Sleeping", "D": "Waiting", "Z": "Zombie"}
OTHER_STATE: Final = "Other"


class Process(NamedTuple):
    """One process, as csrc/units/processes.h has it."""

    pid: int
    start_ticks: int
    state: int
    parent: int
    user_ticks: int
    system_ticks: int
    threads: int
    virtual_bytes: int
    rss_pages: int
    files: int


class Group:
    """The processes of one unit in one pass.

    Attributes:
        pids: their pids.
        user_seconds: processor time since the pass before, of programs.
        system_seconds: the same of the kernel for them.
        resident_bytes: memory that is in RAM, what several share counted for each.
        virtual_bytes: addresses in use.
        files: open files; 0 where the kernel does not tell.
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
        self.states: Counter[str] = Counter()
        self.oldest_start_ticks = 1 << 63


class _Known(NamedTuple):
    """What is kept of a process from pass to pass."""

    start_ticks: int
    user_ticks: int
    system_ticks: int
    unit: str


class ProcessTable:
    """Passes over the processes of this node."""

    def __init__(self, proc: str = "/proc", most: int = MOST_PROCESSES) -> None:
        """Begin without a process.

        Args:
            proc: the directory that has them.
            most: how many are looked at.
        """
        self._proc = proc
        self._processes = Processes(proc, most)
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
        known: dict[int, _Known] = {}
        for process in _parsed(self._processes.make()):
            before = self._known.get(process.pid)
            if before is not None and before.start_ticks != process.start_ticks:
                before = None
            unit = self._unit(process.pid, before, units)
            known[process.pid] = _Known(
                process.start_ticks, process.user_ticks, process.system_ticks, unit
            )
            if unit:
                group = groups.get(unit)
                if group is None:
                    group = groups[unit] = Group()
                self._add(group, process, before)
        self._known = known
        self._number += 1
        return groups

    def _unit(self, pid: int, before: _Known | None, units: Collection[str]) -> str:
        """Return the id of the unit that a process is in, "" if it is in none."""
        if (
            before is not None
            and (pid + self._number) % _TURNS
            and (not before.unit or before.unit in units)
        ):
            return before.unit
        best = ""
        for path in _cgroups(f"{self._proc}/{pid}/cgroup"):
            while path and path not in units:
                path = path.rpartition("/")[0]
            best = max(best, path, key=len)
        return best

    def _add(self, group: Group, process: Process, before: _Known | None) -> None:
        group.pids.append(process.pid)
        if before is not None:
            group.user_seconds += max(process.user_ticks - before.user_ticks, 0) / _TICKS
            group.system_seconds += max(process.system_ticks - before.system_ticks, 0) / _TICKS
        elif self._number:
            group.user_seconds += process.user_ticks / _TICKS
            group.system_seconds += process.system_ticks / _TICKS
        group.resident_bytes += process.rss_pages * _PAGE_BYTES
        group.virtual_bytes += process.virtual_bytes
        group.files += process.files
        group.threads += process.threads
        group.states[STATES.get(chr(process.state), OTHER_STATE)] += 1
        group.oldest_start_ticks = min(group.oldest_start_ticks, process.start_ticks)


def _parsed(records: bytes) -> Iterator[Process]:
    yield from map(Process._make, _RECORD.iter_unpack(records))


def _cgroups(path: str) -> Iterator[str]:
    """Yield the paths of a process's cgroups (cgroups(7)), none if it has ended."""
    try:
        with open(path, "rb") as file:
            text = os.fsdecode(file.read(_MOST_BYTES))
    except OSError:
        return
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
