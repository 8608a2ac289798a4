# SPDX-License-Identifier: Apache-2.0
"""The places of this node's cgroups: v1, v2, or both (hybrid), decided for each controller.

The format of mountinfo is that of proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from shmetrics.errors import ShmetricsError

MOUNTINFO: Final = "/proc/self/mountinfo"

#: The key of the v2 hierarchy among the directories of a unit.
UNIFIED: Final = "unified"

#: Controllers of v1 whose files are read. One that is mounted in v1 is not in v2.
CONTROLLERS: Final = ("cpu", "cpuacct", "memory", "blkio", "pids")
# A hierarchy of v1 without a controller, which has all units of a node with systemd. Where there is
# v2, that has them too.
_NAMED: Final = "name=systemd"

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


class Hierarchy(NamedTuple):
    """One mounted hierarchy.

    Attributes:
        keys: what it is called among the directories of a unit: controllers of v1, or UNIFIED.
        directory: its root.
    """

    keys: tuple[str, ...]
    directory: str


def find(root: str = "", mountinfo: str = MOUNTINFO) -> list[Hierarchy]:
    """Return the hierarchies of this node.

    Args:
        root: a directory laid out as /sys/fs/cgroup; "": what is mounted.
        mountinfo: the file that says what is mounted.

    Raises:
        ShmetricsError: there are none.
    """
    try:
        if root:
            found = list(_below(root))
        else:
            with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
                found = list(_mounted(file))
    except OSError as error:
        raise ShmetricsError(f"{error.filename}: {error.strerror}") from None
    if any(UNIFIED in each.keys for each in found):
        found = [each for each in found if each.keys != (_NAMED,)]
    if not found:
        where = root or mountinfo
        raise ShmetricsError(f"{where}: no cgroups there; see gather.cgroup_root")
    return found


def _mounted(lines: Iterable[str]) -> Iterator[Hierarchy]:
    """Yield the hierarchies in the lines of a mountinfo, each once."""
    seen: set[str] = set()
    for line in lines:
        mount, dash, rest = line.rstrip("\n").partition(" - ")
        fields, kind = mount.split(" "), rest.split(" ")
        if not dash or len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        keys = (UNIFIED,) if kind[0] == "cgroup2" else _keys(kind[2].split(","))
        keys = tuple(key for key in keys if key not in seen)
        seen.update(keys)
        if keys:
            yield Hierarchy(keys, _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]))


def _below(root: str) -> Iterator[Hierarchy]:
    """Yield the hierarchies in a directory: v2's root, or one of each controller."""
    if os.path.exists(os.path.join(root, "cgroup.controllers")):
        yield Hierarchy((UNIFIED,), root)
        return
    seen: set[str] = set()
    for entry in sorted(os.scandir(root), key=lambda entry: (entry.is_symlink(), entry.name)):
        if not entry.is_dir():
            continue
        wanted = (UNIFIED,) if entry.name == UNIFIED else _keys(entry.name.split(","))
        keys = tuple(key for key in wanted if key not in seen)
        seen.update(keys)
        if keys:
            yield Hierarchy(keys, entry.path)


def _keys(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        _NAMED if name == "systemd" else name
        for name in names
        if name in CONTROLLERS or name in ("systemd", _NAMED)
    )
