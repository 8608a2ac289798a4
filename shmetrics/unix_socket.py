# SPDX-License-Identifier: Apache-2.0
"""A unix socket's file: who may write to it may connect, or send."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple


class Access(NamedTuple):
    """Permissions of a socket's file. group: its group's number; None is the process's own."""

    mode: int
    group: int | None = None

    @property
    def search_mode(self) -> int:
        """What the directory of the socket needs for those who may write to it: search, for the
        group, for others, or for both."""
        return (self.mode & 0o022) >> 1


def bind(sock: socket.socket, path: str, access: Access) -> None:
    """Binds; at no moment may anybody write to the file who may not at the end. Raises OSError."""
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
    """Raises OSError, and says in it what is needed."""
    try:
        os.chown(path, -1, group, follow_symlinks=False)
    except PermissionError as error:
        raise PermissionError(
            error.errno, f"uid {os.geteuid()} is no member of group {group}", path
        ) from None
