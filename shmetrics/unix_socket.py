# SPDX-License-Identifier: Apache-2.0
"""The file of a unix socket and its permissions: writing to it means to connect, or to send."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple


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
