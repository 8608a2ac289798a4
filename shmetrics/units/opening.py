# SPDX-License-Identifier: Apache-2.0
"""Opening of a unit's files, once in each of its lives.

The descriptors stay open, as long as there are enough for all units.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from shmetrics.units._files import Files
from shmetrics.units.hierarchies import UNIFIED
from shmetrics.units.plan import Plan, plan_of

#: Counts one file that gave no value, by its reason in one word.
CountFailure: TypeAlias = Callable[[str], None]

_MOST_BYTES: Final = 4096  # of a cgroup.controllers

#: The reasons for which a file gives no value, by their errno. Any other one is OTHER.
REASONS: Final = {
    errno.ENOENT: "missing",
    errno.ENODEV: "gone",
    errno.EACCES: "not_allowed",
    errno.EPERM: "not_allowed",
    errno.EMFILE: "no_descriptors",
    errno.ENFILE: "no_descriptors",
    errno.ENOMEM: "no_memory",
    errno.EOPNOTSUPP: "switched_off",
}
OTHER: Final = "failed"
#: Errors that say nothing of a file: this process, or the node, has no room to open it.
SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Opened(NamedTuple):
    """The open files of a unit, and what is in them."""

    plan: Plan
    files: Files


def reason_of(number: int) -> str:
    """Return the reason of an errno, in one word."""
    return REASONS.get(number, OTHER)


def controllers_of(directories: Mapping[str, str]) -> frozenset[str]:
    """Return the controllers of v2 that are switched on for the unit with these directories.

    Raises:
        OSError: there is no descriptor to look.
    """
    if UNIFIED not in directories:
        return frozenset()
    fd = -1
    try:
        fd = os.open(directories[UNIFIED] + "/cgroup.controllers", os.O_RDONLY | os.O_CLOEXEC)
        return frozenset(os.read(fd, _MOST_BYTES).decode("ascii", "replace").split())
    except OSError as error:
        if error.errno in SHORTAGE:
            raise
        return frozenset()  # it has just gone, and its other files say so
    finally:
        if fd >= 0:
            os.close(fd)


def open_files(
    directories: Mapping[str, str], controllers: frozenset[str], count: CountFailure
) -> Opened:
    """Open the files of a unit. One that cannot be read costs its own values, and is counted.

    Args:
        directories: where they are.
        controllers: those of v2 that are switched on for it.
        count: called for each file that is not there, with the reason.
    """
    plan = plan_of(frozenset(directories), controllers)
    return Opened(plan, Files(plan.form, descriptors(plan, directories, count)))


def descriptors(plan: Plan, directories: Mapping[str, str], count: CountFailure) -> list[int]:
    """Return a descriptor of each file of a plan, -1 where one cannot be read; see open_files."""
    return [_open(f"{directories[file.key]}/{file.name}", count) for file in plan.files]


def _open(path: str, count: CountFailure) -> int:
    """Return a descriptor from which a byte could be read, or -1.

    A file that is switched off in the kernel, as that of a pressure may be, can be opened and never
    be read.
    """
    fd = -1
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        os.pread(fd, 1, 0)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        count(reason_of(error.errno or 0))
        return -1
    return fd
