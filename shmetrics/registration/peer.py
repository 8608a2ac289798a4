# SPDX-License-Identifier: Apache-2.0
"""The process at the other end of a unix socket, as the kernel reports it."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from array import array
from typing import NamedTuple

_CREDENTIALS = struct.Struct("=iII")
_SO_PEERGROUPS = 59
_SO_PEERPIDFD = 77
_GROUPS_BYTES = 1024  # the most that Python accepts: 256 groups


class Peer(NamedTuple):
    """A process, as it was when it connected.

    Attributes:
        pid: its number; 0 if it is in a namespace that this process cannot see.
        uid: its user.
        gid: its group.
        groups: its supplementary groups; empty if it has more than 256.
    """

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def peer_of(sock: socket.socket) -> Peer:
    """Return the process that made a connection."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    try:
        groups = array("I", sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES))
    except OSError:
        groups = array("I")
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid, gid, tuple(groups))


def lives(sock: socket.socket) -> bool:
    """Return whether the process that made a connection lives; True where the kernel cannot tell.

    Linux 6.5 is the first that can.
    """
    try:
        pidfd = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        # It had been reaped already, or the kernel does not know the option.
        return error.errno == errno.ENOPROTOOPT
    try:
        has_ended = select.poll()
        has_ended.register(pidfd, select.POLLIN)
        return not has_ended.poll(0)
    finally:
        os.close(pidfd)
