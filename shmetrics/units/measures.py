# SPDX-License-Identifier: Apache-2.0
"""The files of a cgroup: which family each of their numbers belongs to, and in which unit it is.

Where both versions of cgroups have a number, that of v1 is taken if the unit has a directory there:
a controller is in one of them only. The files are documented in admin-guide/cgroup-v2.rst,
cgroup-v1/ and accounting/psi.rst of the kernel.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from shmetrics.units._files import (
    BLKIO_BYTES,
    BLKIO_COUNTS,
    FIELDS,
    IO_STAT,
    KEYED,
    LINES,
    PRESSURE,
)
from shmetrics.units.families import FAILURES, USAGE, WORKING_SET
from shmetrics.units.hierarchies import UNIFIED

_NS: Final = 1e9
_USEC: Final = 1e6
_TICKS: Final = float(os.sysconf("SC_CLK_TCK"))


class Value(NamedTuple):
    """One number of a file.

    Attributes:
        family: the name of its family.
        key: its key in a keyed file.
        divisor: what it is divided by, to be in the family's unit.
        labels: the values of the labels that the family has beside those of every unit.
    """

    family: str
    key: bytes = b""
    divisor: float = 1.0
    labels: tuple[str, ...] = ()


class File(NamedTuple):
    """A file of a cgroup.

    Attributes:
        key: which of the unit's directories it is in.
        controller: in v2, the controller that brings it; "": every cgroup has it.
        name: its name.
        form: how it is written, one of the constants of the binding.
        values: its numbers, in the file's order if they have no keys.
    """

    key: str
    controller: str
    name: str
    form: int
    values: tuple[Value, ...] = ()


def _failures(key: str, prefix: str, scope: str) -> Value:
    return Value(FAILURES, (prefix + key).encode(), 1, (key, scope))


def _pressure(what: str) -> File:
    names = (f"container_pressure_{what}_{kind}_seconds" for kind in ("waiting", "stalled"))
    values = tuple(Value(name, b"", _USEC) for name in names)
    return File(UNIFIED, "", f"{what}.pressure", PRESSURE, values)


_V1: Final = (
    File(
        *("cpuacct", "", "cpuacct.usage", FIELDS),
        (Value("container_cpu_usage_seconds", b"", _NS),),
    ),
    File(
        *("cpuacct", "", "cpuacct.stat", KEYED),
        (
            Value("container_cpu_user_seconds", b"user", _TICKS),
            Value("container_cpu_system_seconds", b"system", _TICKS),
        ),
    ),
    File(
        *("cpu", "", "cpu.stat", KEYED),
        (
            Value("container_cpu_cfs_periods", b"nr_periods"),
            Value("container_cpu_cfs_throttled_periods", b"nr_throttled"),
            Value("container_cpu_cfs_throttled_seconds", b"throttled_time", _NS),
        ),
    ),
    File("cpu", "", "cpu.cfs_quota_us", FIELDS, (Value("container_spec_cpu_quota"),)),
    File("cpu", "", "cpu.cfs_period_us", FIELDS, (Value("container_spec_cpu_period"),)),
    File("memory", "", "memory.usage_in_bytes", FIELDS, (Value(USAGE),)),
    File(
        *("memory", "", "memory.max_usage_in_bytes", FIELDS),
        (Value("container_memory_max_usage_bytes"),),
    ),
    File(
        *("memory", "", "memory.stat", KEYED),
        (
            Value(WORKING_SET, b"total_inactive_file"),
            Value("container_memory_rss", b"total_rss"),
            Value("container_memory_cache", b"total_cache"),
            Value("container_memory_mapped_file", b"total_mapped_file"),
            Value("container_memory_swap", b"total_swap"),
            _failures("pgfault", "", "container"),
            _failures("pgmajfault", "", "container"),
            _failures("pgfault", "total_", "hierarchy"),
            _failures("pgmajfault", "total_", "hierarchy"),
        ),
    ),
    File("memory", "", "memory.failcnt", FIELDS, (Value("container_memory_events_max"),)),
    File(
        *("memory", "", "memory.oom_control", KEYED),
        (Value("container_oom_events", b"oom_kill"),),
    ),
    File(
        *("memory", "", "memory.limit_in_bytes", FIELDS),
        (Value("container_spec_memory_limit_bytes"),),
    ),
    File("blkio", "", "blkio.throttle.io_service_bytes_recursive", BLKIO_BYTES),
    File("blkio", "", "blkio.throttle.io_serviced_recursive", BLKIO_COUNTS),
    File("pids", "", "cgroup.procs", LINES, (Value("container_processes"),)),
    File("pids", "", "pids.current", FIELDS, (Value("container_threads"),)),
    File("pids", "", "pids.max", FIELDS, (Value("container_threads_max"),)),
)

_V2: Final = (
    File(
        *(UNIFIED, "", "cpu.stat", KEYED),
        (
            Value("container_cpu_usage_seconds", b"usage_usec", _USEC),
            Value("container_cpu_user_seconds", b"user_usec", _USEC),
            Value("container_cpu_system_seconds", b"system_usec", _USEC),
            Value("container_cpu_cfs_periods", b"nr_periods"),
            Value("container_cpu_cfs_throttled_periods", b"nr_throttled"),
            Value("container_cpu_cfs_throttled_seconds", b"throttled_usec", _USEC),
        ),
    ),
    File(
        *(UNIFIED, "cpu", "cpu.max", FIELDS),
        (Value("container_spec_cpu_quota"), Value("container_spec_cpu_period")),
    ),
    File(UNIFIED, "memory", "memory.current", FIELDS, (Value(USAGE),)),
    File(UNIFIED, "memory", "memory.peak", FIELDS, (Value("container_memory_max_usage_bytes"),)),
    File(
        *(UNIFIED, "memory", "memory.stat", KEYED),
        (
            Value(WORKING_SET, b"inactive_file"),
            Value("container_memory_rss", b"anon"),
            Value("container_memory_cache", b"file"),
            Value("container_memory_mapped_file", b"file_mapped"),
            _failures("pgfault", "", "hierarchy"),  # v2 counts no other
            _failures("pgmajfault", "", "hierarchy"),
        ),
    ),
    File(UNIFIED, "memory", "memory.swap.current", FIELDS, (Value("container_memory_swap"),)),
    File(
        *(UNIFIED, "memory", "memory.events", KEYED),
        (
            Value("container_memory_events_high", b"high"),
            Value("container_memory_events_max", b"max"),
            Value("container_oom_events", b"oom_kill"),
        ),
    ),
    File(UNIFIED, "memory", "memory.max", FIELDS, (Value("container_spec_memory_limit_bytes"),)),
    File(UNIFIED, "io", "io.stat", IO_STAT),
    File(UNIFIED, "", "cgroup.procs", LINES, (Value("container_processes"),)),
    File(UNIFIED, "pids", "pids.current", FIELDS, (Value("container_threads"),)),
    File(UNIFIED, "pids", "pids.max", FIELDS, (Value("container_threads_max"),)),
    *map(_pressure, ("cpu", "memory", "io")),
)

FILES: Final = (*_V1, *_V2)
