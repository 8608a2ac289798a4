# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a unix socket, as the kernel says."""

from __future__ import annotations

import socket
import struct
from array import array
from typing import NamedTuple

_CREDENTIALS = struct.Struct("=iII")
_SO_PEERGROUPS = 59
_GROUPS_BYTES = 1024  # all that Python asks for: 256 groups


class Peer(NamedTuple):
    """Who has connected, as it was at that moment. pid 0: in a namespace that we cannot see.
    groups: the supplementary ones; none are known of a process that has more than 256."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def peer_of(sock: socket.socket) -> Peer:
    """The process that made this connection."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    try:
        groups = array("I", sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES))
    except OSError:
        groups = array("I")
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid, gid, tuple(groups))
