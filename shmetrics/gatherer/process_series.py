# SPDX-License-Identifier: Apache-2.0
"""The series of processes, grouped by unit, under the names of process-exporter."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from shmetrics import Counter, Gauge
from shmetrics.units.processes import (
    MOST_PROCESSES,
    OTHER_STATE,
    STATES,
    Group,
    ProcessTable,
    boot_seconds,
    start_seconds,
)
from shmetrics.units.pss import Pss
from shmetrics.units.unit import Unit

log = logging.getLogger(__name__)

_PREFIX: Final = "namedprocess_namegroup_"
_STATES: Final = sorted({*STATES.values(), OTHER_STATE})


class ProcessSeries:
    """The series of all groups of processes. A group has the name of its unit.

    Units of one name are one group: these families have no other label.
    """

    part = "processes"

    def __init__(self, table: ProcessTable, pss: Pss | None = None) -> None:
        """Begin without a group.

        Args:
            table: finds the processes.
            pss: reads proportional memory; None: that is not wanted.
        """
        self._table = table
        self._pss = pss
        self._booted = boot_seconds()
        self._has_warned = False
        self._groups: set[str] = set()  # with processes
        self._counted: set[str] = set()  # with counters

        def gauge(name: str, help: str, *labels: str) -> Any:
            names = ("groupname", *labels)
            return Gauge(_PREFIX + name, help, names, multiprocess_mode="livemax")

        self._processes = gauge("num_procs", "Processes")
        self._memory = gauge("memory_bytes", "Memory of the processes, by type", "memtype")
        self._files = gauge("open_filedesc", "Open files")
        self._threads = gauge("num_threads", "Threads")
        self._states = gauge("states", "Processes in a state", "state")
        self._oldest = gauge(
            "oldest_start_time_seconds", "When the oldest process began, in Unix time"
        )
        self._cpu = Counter(
            *(f"{_PREFIX}cpu_seconds", "Processor time of its processes since they are watched"),
            ["groupname", "mode"],
        )

    def record(self, units: Mapping[str, Unit]) -> None:
        """Make a pass over all processes. Raises OSError if there is no /proc."""
        groups: dict[str, list[Group]] = {}
        found = self._table.groups(units)
        if self._table.has_left_out and not self._has_warned:
            self._has_warned = True
            log.warning("only the first %d processes of this node are looked at", MOST_PROCESSES)
        for path, group in found.items():
            groups.setdefault(units[path].name, []).append(group)
        if self._pss is not None:
            self._pss.look(
                itertools.chain.from_iterable(
                    group.pids for same in groups.values() for group in same
                )
            )
        for name, same in groups.items():
            self._record(name, same)
        for name in self._groups - groups.keys():
            self._remove(name)
        self._groups = set(groups)
        self._counted |= self._groups
        for name in self._counted - {unit.name for unit in units.values()}:
            self._cpu.remove_by_labels({"groupname": name})
            self._counted.discard(name)

    def _record(self, name: str, groups: Iterable[Group]) -> None:
        groups = list(groups)
        pids = [pid for group in groups for pid in group.pids]
        self._processes.labels(name).set(len(pids))
        self._threads.labels(name).set(sum(group.threads for group in groups))
        oldest = min(group.oldest_start_ticks for group in groups)
        self._oldest.labels(name).set(start_seconds(oldest, self._booted))
        memory: dict[str, float | None] = {
            "resident": sum(group.resident_bytes for group in groups),
            "virtual": sum(group.virtual_bytes for group in groups),
            "proportionalResident": self._pss.sum_bytes(pids) if self._pss else None,
        }
        for kind, value in memory.items():
            if value is None:
                self._memory.remove(name, kind)
            else:
                self._memory.labels(name, kind).set(value)
        files = sum(group.files for group in groups)
        if files:  # before Linux 6.2 the kernel does not tell, and what runs has some
            self._files.labels(name).set(files)
        for state in _STATES:
            self._states.labels(name, state).set(
                sum(group.states.get(state, 0) for group in groups)
            )
        self._cpu.labels(name, "user").inc(sum(group.user_seconds for group in groups))
        self._cpu.labels(name, "system").inc(sum(group.system_seconds for group in groups))

    def _remove(self, name: str) -> None:
        """Remove the gauges of a group without processes. Its counters go with its unit."""
        gauges = (self._processes, self._memory, self._files, self._threads)
        for gauge in (*gauges, self._states, self._oldest):
            gauge.remove_by_labels({"groupname": name})
