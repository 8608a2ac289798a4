# SPDX-License-Identifier: Apache-2.0
"""Trees of files in the formats of the kernel's documentation, for what this kernel lacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

#: A cgroup of v2 with all controllers (admin-guide/cgroup-v2.rst).
V2: Mapping[str, str] = {
    "cgroup.controllers": "cpuset cpu io memory pids\n",
    "cgroup.procs": "101\n102\n103\n",
    "cpu.stat": (
        "usage_usec 7000001\nuser_usec 5000000\nsystem_usec 2000001\nnice_usec 0\n"
        "core_sched.force_idle_usec 0\nnr_periods 40\nnr_throttled 4\nthrottled_usec 250000\n"
        "nr_bursts 0\nburst_usec 0\n"
    ),
    "cpu.max": "50000 100000\n",
    "memory.current": "1048576000\n",
    "memory.peak": "2097152000\n",
    "memory.stat": (
        "anon 500000000\nfile 400000000\nkernel 9000000\nfile_mapped 30000000\n"
        "inactive_anon 1\nactive_anon 2\ninactive_file 48576000\nactive_file 3\n"
        "pgfault 12345\npgmajfault 67\nnew_key_of_tomorrow 5\n"
    ),
    "memory.swap.current": "4096\n",
    "memory.events": "low 0\nhigh 3\nmax 2\noom 1\noom_kill 1\noom_group_kill 0\n",
    "memory.max": "max\n",
    "io.stat": (
        "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"
        "253:1 rbytes=512 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n"
    ),
    "pids.current": "9\n",
    "pids.max": "4915\n",
    **{
        f"{what}.pressure": (
            f"some avg10=0.00 avg60=0.00 avg300=0.00 total={n}000000\n"
            f"full avg10=0.00 avg60=0.00 avg300=0.00 total={n}00000\n"
        )
        for n, what in enumerate(("cpu", "memory", "io"), 1)
    },
}


def write(directory: Path, files: Mapping[str, str]) -> Path:
    """Write a cgroup's files, with directories as needed."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def root(directory: Path) -> Path:
    """Write the root of a v2 hierarchy."""
    return write(directory, {"cgroup.controllers": V2["cgroup.controllers"]})
