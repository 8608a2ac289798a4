# SPDX-License-Identifier: Apache-2.0
"""The file of a unix socket and its permissions: writing to it means to connect, or to send."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import NamedTuple

from shmetrics.errors import ShmetricsError


class Access(NamedTuple):
    """The permissions of a socket's file.

    Attributes:
        mode: the permission bits.
        group: the number of its group; None: the group of the process.
    """

    mode: int
    group: int | None = None

    @property
    def search_mode(self) -> int:
        """Return the permission bits that the directory of the socket needs.

        A group, or others, that may write to the socket need to search its directory.
        """
        return (self.mode & 0o022) >> 1


def bind(sock: socket.socket, path: str, access: Access) -> None:
    """Bind a socket to a path, and set the permissions of its file.

    At no moment are the permissions wider than at the end.

    Raises:
        OSError: this is not possible; the file is removed again.
    """
    umask = os.umask(0o777 & ~(access.mode & 0o700))
    try:
        sock.bind(path)
    finally:
        os.umask(umask)
    try:
        if access.group is not None:
            give_to_group(path, access.group)
        os.chmod(path, access.mode)
    except OSError:
        os.unlink(path)
        raise


def give_to_group(path: str, group: int) -> None:
    """Change the group of a file. Raises OSError, whose text says what is needed."""
    try:
        os.chown(path, -1, group, follow_symlinks=False)
    except PermissionError as error:
        raise PermissionError(
            error.errno, f"uid {os.geteuid()} is not a member of group {group}", path
        ) from None


def make_way(path: str, kind: int) -> None:
    """Remove the socket file of a daemon that has ended, and no other file.

    Args:
        path: the path of the file.
        kind: what the daemon's socket would be, such as SOCK_DGRAM.

    Raises:
        ShmetricsError: a process listens there, or this is no socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ShmetricsError(f"{path}: this exists and is not a socket; move it away")
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as probe:
        result = probe.connect_ex(path)
    if result == errno.ECONNREFUSED:
        os.unlink(path)
    elif result in (0, errno.EPROTOTYPE, errno.EAGAIN):  # EAGAIN: its queue is full
        raise ShmetricsError(f"{path}: another process listens there; stop it, or use another path")
    elif result != errno.ENOENT:
        raise ShmetricsError(f"{path}: {os.strerror(result)}")


def bound(path: str, kind: int, access: Access) -> socket.socket:
    """Return a socket with a file, in the place of that of a daemon that has ended.

    Args:
        path: the path of the file.
        kind: such as SOCK_DGRAM; the socket does not block.
        access: the permissions of the file.

    Raises:
        ShmetricsError: a process listens there, or there can be no socket; one line.
    """
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        make_way(path, kind)
        bind(sock, path, access)
    except OSError as error:
        sock.close()
        raise ShmetricsError(f"{path}: {error.strerror or error}") from None
    except ShmetricsError:
        sock.close()
        raise
    return sock


def remove(path: str, inode: int) -> None:
    """Remove the file of a socket, unless it is another's by now.

    Args:
        path: the path of the file.
        inode: the inode that it had when it was made.
    """
    with contextlib.suppress(OSError):  # it has been removed already
        if os.stat(path).st_ino == inode:
            os.unlink(path)
