# SPDX-License-Identifier: Apache-2.0
"""A file that is read whole and at once: a regular one, and no larger than it may be.

A name in a configuration can lead to anything. A pipe would hold up whoever reads it, and a device
fill his memory.
"""

from __future__ import annotations

import errno
import os
import stat

MOST_BYTES = 1024 * 1024

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read(path: str, most_bytes: int = MOST_BYTES) -> bytes:
    """All that is in it. Raises OSError, whose strerror says what is wrong; never waits."""
    _check(os.stat(path))  # before it is opened, which does something to a device
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        _check(os.fstat(fd))  # it may be another one by now
        contents = file.read(most_bytes + 1)
    if len(contents) > most_bytes:
        raise OSError(errno.EFBIG, f"this is larger than {most_bytes // 1024} KiB")
    return contents


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"this is {kind}, not a file")
