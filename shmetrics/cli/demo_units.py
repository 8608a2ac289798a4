# SPDX-License-Identifier: Apache-2.0
"""The gatherer of the demo: the units of the machine that it runs on, and one probe."""

from __future__ import annotations

import os

from shmetrics.errors import ShmetricsError

_NOBODY = 65534  # the probe's user, where the demo is root's

_CONFIG = """\
[gather]
interval_seconds = 10

[gather.lines]
labels = []

[[gather.probe]]
name = "load"
command = ["/bin/sh", "-c", "read one five rest </proc/loadavg; echo load.one=$one load.five=$five"]
interval_seconds = 5
{user}
{units}
[spawner]
socket = {socket!r}
"""
_UNIT = """
[[gather.units]]
name = "demo"
cgroup = {path!r}
"""


def configuration(directory: str) -> str:
    """Write the gatherer's configuration; return its path, "" if this machine has no cgroups.

    Args:
        directory: the demo's directory.
    """
    from shmetrics.units.finder import Finder
    from shmetrics.units.hierarchies import find

    try:
        units = Finder(find()).units()
    except ShmetricsError:
        return ""
    own = "" if units else _own_cgroup()
    path = os.path.join(directory, "gather.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            _CONFIG.format(
                user=f"user = {_NOBODY}" if os.geteuid() == 0 else "",
                units=_UNIT.format(path=own) if own else "",
                socket=os.path.join(directory, "spawner.sock"),
            )
        )
    return path


def _own_cgroup() -> str:
    """Return the path of a cgroup that this process is in, below a root; "" if there is none."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
        paths = [line.rstrip("\n").split(":", 2)[2] for line in file]
    return next(
        (path for path in paths if path.count("/") and path != "/" and ".." not in path), ""
    )
