# SPDX-License-Identifier: Apache-2.0
"""A file that one process at a time has locked, as long as it lives, with its pid in it."""

from __future__ import annotations

import contextlib
import fcntl
import os


class Held(Exception):
    """Another process has locked the file.

    Attributes:
        pid: its pid, as text; "unknown" if the file does not say.
    """

    def __init__(self, pid: str) -> None:
        super().__init__(f"pid {pid}")
        self.pid = pid


def take(path: str) -> int:
    """Lock a file, and write our pid into it for people.

    The file is made if it is not there; only this user can read it, or else others could lock it.

    Returns:
        A descriptor: the lock is held until it is closed, or the process ends.

    Raises:
        Held: another process has it.
        OSError: there can be no such file.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise Held(holder or "unknown") from None
    except OSError:
        os.close(fd)
        raise
    with contextlib.suppress(OSError):  # the disk may be full
        os.truncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd
