# SPDX-License-Identifier: Apache-2.0
"""The families of what a unit costs. The names are cAdvisor's, which dashboards use already."""

from __future__ import annotations

from typing import Final, NamedTuple


class Family(NamedTuple):
    """A metric: its name without `_total`, its help, whether it counts, and the labels that it has
    beside those of every unit."""

    name: str
    help: str
    is_counter: bool = True
    labels: tuple[str, ...] = ()


USAGE: Final = "container_memory_usage_bytes"
#: Is read as the file pages that nobody has used lately, and shown as the usage without them.
WORKING_SET: Final = "container_memory_working_set_bytes"

READ_BYTES: Final = "container_fs_reads_bytes"
WRITTEN_BYTES: Final = "container_fs_writes_bytes"
READS: Final = "container_fs_reads"
WRITES: Final = "container_fs_writes"
#: The families of devices, in the order of the columns of the binding's rows.
DEVICE_FAMILIES: Final = (READ_BYTES, WRITTEN_BYTES, READS, WRITES)
START_TIME: Final = "container_start_time_seconds"

FAILURES: Final = "container_memory_failures"
_SCOPES: Final = ("failure_type", "scope")

FAMILIES: Final = (
    Family("container_cpu_usage_seconds", "Processor time, in all"),
    Family("container_cpu_user_seconds", "Processor time of programs"),
    Family("container_cpu_system_seconds", "Processor time of the kernel for them"),
    Family("container_cpu_cfs_periods", "Periods in which it ran under a quota of processor time"),
    Family("container_cpu_cfs_throttled_periods", "Periods in which it had used up its quota"),
    Family("container_cpu_cfs_throttled_seconds", "Time in which its quota kept it waiting"),
    Family(USAGE, "Memory in use, with the cache of files", False),
    Family("container_memory_max_usage_bytes", "Most memory that was ever in use", False),
    Family(WORKING_SET, "Memory in use, without files that were not used lately", False),
    Family("container_memory_rss", "Anonymous memory, in bytes", False),
    Family("container_memory_cache", "Cache of files, in bytes", False),
    Family("container_memory_mapped_file", "Files that are mapped, in bytes", False),
    Family("container_memory_swap", "Swap in use, in bytes", False),
    Family(FAILURES, "Page faults; scope: of its own cgroup, or with those below", True, _SCOPES),
    Family("container_memory_events_high", "How often its memory went over `high`"),
    Family("container_memory_events_max", "How often its memory was about to go over its limit"),
    Family("container_oom_events", "Processes that the kernel killed for want of memory"),
    Family(READ_BYTES, "Bytes read from a device", True, ("device",)),
    Family(WRITTEN_BYTES, "Bytes written to a device", True, ("device",)),
    Family(READS, "Reads from a device", True, ("device",)),
    Family(WRITES, "Writes to a device", True, ("device",)),
    Family("container_pressure_cpu_waiting_seconds", "Time in which some task waited to run"),
    Family("container_pressure_cpu_stalled_seconds", "Time in which all tasks waited to run"),
    Family("container_pressure_memory_waiting_seconds", "Time in which some waited for memory"),
    Family("container_pressure_memory_stalled_seconds", "Time in which all waited for memory"),
    Family("container_pressure_io_waiting_seconds", "Time in which some task waited for a device"),
    Family("container_pressure_io_stalled_seconds", "Time in which all tasks waited for a device"),
    Family("container_processes", "Processes in the cgroup itself", False),
    Family("container_threads", "Threads, with those of cgroups below", False),
    Family("container_threads_max", "Most threads that it may have", False),
    Family("container_spec_memory_limit_bytes", "Most memory that it may use", False),
    Family("container_spec_cpu_quota", "Processor time in each period, in microseconds", False),
    Family("container_spec_cpu_period", "The period of the quota, in microseconds", False),
    Family(START_TIME, "When its cgroup was made, in Unix time", False),
)
BY_NAME: Final = {family.name: family for family in FAMILIES}
