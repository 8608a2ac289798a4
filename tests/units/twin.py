# SPDX-License-Identifier: Apache-2.0
"""The same numbers as the units have, read by plain Python: slow, obvious, and for tests only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from math import nan
from pathlib import Path

from shmetrics.units.plan import Slot

NO_LIMIT = 1 << 62
TICKS = os.sysconf("SC_CLK_TCK")


def number(text: str) -> float:
    """Return a word as a number, NaN if it is none."""
    is_number = text.isascii() and text.isdigit()
    return float(int(text)) if is_number and int(text) < NO_LIMIT else nan


def fields(text: str, n: int) -> list[float]:
    """Return the first n words of the first line."""
    words = text.split("\n")[0].replace("\t", " ").split(" ")
    found = [number(word) for word in words if word][:n]
    return found + [nan] * (n - len(found))


def keyed(text: str) -> dict[str, float]:
    """Return what follows each first word of a line."""
    found = {}
    for line in text.split("\n"):
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        if words:
            found[words[0]] = number(words[1]) if len(words) > 1 else nan
    return found


def pressure(text: str) -> list[float]:
    """Return the totals of the lines some and full."""
    found = {"some": nan, "full": nan}
    for line in text.split("\n"):
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        if words and words[0] in found:
            for word in words[1:]:
                if word.startswith("total="):
                    value = number(word[6:])
                    found[words[0]] = found[words[0]] if value != value else value
    return [found["some"], found["full"]]


def v1(directories: Mapping[str, str]) -> dict[Slot, float]:
    """Return the numbers of a unit whose controllers are in v1."""
    found: dict[Slot, float] = {}
    add = found.__setitem__

    def text(key: str, name: str) -> str:
        return Path(directories[key], name).read_text()

    if "cpuacct" in directories:
        stat = keyed(text("cpuacct", "cpuacct.stat"))
        add(Slot("container_cpu_usage_seconds"), int(text("cpuacct", "cpuacct.usage")) / 1e9)
        add(Slot("container_cpu_user_seconds"), stat["user"] / TICKS)
        add(Slot("container_cpu_system_seconds"), stat["system"] / TICKS)
    if "cpu" in directories:
        stat = keyed(text("cpu", "cpu.stat"))
        add(Slot("container_cpu_cfs_periods"), stat["nr_periods"])
        add(Slot("container_cpu_cfs_throttled_periods"), stat["nr_throttled"])
        add(Slot("container_cpu_cfs_throttled_seconds"), stat["throttled_time"] / 1e9)
        add(Slot("container_spec_cpu_quota"), number(text("cpu", "cpu.cfs_quota_us").strip()))
        add(Slot("container_spec_cpu_period"), number(text("cpu", "cpu.cfs_period_us").strip()))
    if "memory" in directories:
        stat = keyed(text("memory", "memory.stat"))
        usage = float(text("memory", "memory.usage_in_bytes"))
        add(Slot("container_memory_usage_bytes"), usage)
        add(
            Slot("container_memory_max_usage_bytes"),
            float(text("memory", "memory.max_usage_in_bytes")),
        )
        add(
            Slot("container_memory_working_set_bytes"),
            max(usage - stat["total_inactive_file"], 0),
        )
        for family, key in (
            ("rss", "total_rss"),
            ("cache", "total_cache"),
            ("mapped_file", "total_mapped_file"),
            ("swap", "total_swap"),
        ):
            add(Slot(f"container_memory_{family}"), stat[key])
        for key in ("pgfault", "pgmajfault"):
            add(Slot("container_memory_failures", (key, "container")), stat[key])
            add(Slot("container_memory_failures", (key, "hierarchy")), stat[f"total_{key}"])
        add(Slot("container_memory_events_max"), float(text("memory", "memory.failcnt")))
        add(Slot("container_oom_events"), keyed(text("memory", "memory.oom_control"))["oom_kill"])
        add(
            Slot("container_spec_memory_limit_bytes"),
            number(text("memory", "memory.limit_in_bytes").strip()),
        )
    if "pids" in directories:
        add(Slot("container_processes"), float(text("pids", "cgroup.procs").count("\n")))
        add(Slot("container_threads"), float(text("pids", "pids.current")))
        add(Slot("container_threads_max"), number(text("pids", "pids.max").strip()))
    return found


def v2(directory: str, has: Callable[[str], bool]) -> dict[Slot, float]:
    """Return the numbers of a cgroup of v2.

    Args:
        directory: the cgroup.
        has: returns whether a controller is switched on for it.
    """
    found: dict[Slot, float] = {}
    add = found.__setitem__

    def text(name: str) -> str:
        return Path(directory, name).read_text()

    stat = keyed(text("cpu.stat"))
    for family in ("usage", "user", "system"):
        add(Slot(f"container_cpu_{family}_seconds"), stat[f"{family}_usec"] / 1e6)
    add(Slot("container_cpu_cfs_periods"), stat.get("nr_periods", nan))
    add(Slot("container_cpu_cfs_throttled_periods"), stat.get("nr_throttled", nan))
    add(Slot("container_cpu_cfs_throttled_seconds"), stat.get("throttled_usec", nan) / 1e6)
    if has("cpu"):
        quota, period = text("cpu.max").split()
        add(Slot("container_spec_cpu_quota"), number(quota))
        add(Slot("container_spec_cpu_period"), number(period))
    if has("memory"):
        stat = keyed(text("memory.stat"))
        usage = number(text("memory.current").strip())
        add(Slot("container_memory_usage_bytes"), usage)
        add(Slot("container_memory_max_usage_bytes"), number(text("memory.peak").strip()))
        add(Slot("container_memory_working_set_bytes"), max(usage - stat["inactive_file"], 0))
        for family, key in (("rss", "anon"), ("cache", "file"), ("mapped_file", "file_mapped")):
            add(Slot(f"container_memory_{family}"), stat[key])
        add(Slot("container_memory_swap"), number(text("memory.swap.current").strip()))
        for key in ("pgfault", "pgmajfault"):
            add(Slot("container_memory_failures", (key, "hierarchy")), stat[key])
        events = keyed(text("memory.events"))
        add(Slot("container_memory_events_high"), events["high"])
        add(Slot("container_memory_events_max"), events["max"])
        add(Slot("container_oom_events"), events["oom_kill"])
        add(Slot("container_spec_memory_limit_bytes"), number(text("memory.max").strip()))
    add(Slot("container_processes"), float(text("cgroup.procs").count("\n")))
    if has("pids"):
        add(Slot("container_threads"), number(text("pids.current").strip()))
        add(Slot("container_threads_max"), number(text("pids.max").strip()))
    for what in ("cpu", "memory", "io"):
        waiting, stalled = pressure(text(f"{what}.pressure"))
        add(Slot(f"container_pressure_{what}_waiting_seconds"), waiting / 1e6)
        add(Slot(f"container_pressure_{what}_stalled_seconds"), stalled / 1e6)
    return found
