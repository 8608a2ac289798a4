# SPDX-License-Identifier: Apache-2.0
"""Reading of small regular files, which is safe for any path in a configuration.

A path can lead to anything. Reading a pipe would wait without end, and reading a device could fill
the memory.
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
    """Return the contents of a file. Never waits.

    Args:
        path: the path of the file.
        most_bytes: the largest size that is accepted.

    Raises:
        OSError: the file cannot be read; its strerror says why, for people.
    """
    _check(os.stat(path))  # before it is opened, because opening has effects on a device
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        _check(os.fstat(fd))  # the path may lead to another file by now
        contents = file.read(most_bytes + 1)
    if len(contents) > most_bytes:
        raise OSError(errno.EFBIG, f"this is larger than {most_bytes // 1024} KiB")
    return contents


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"this is {kind}, not a file")
