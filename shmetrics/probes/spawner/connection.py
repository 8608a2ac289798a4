# SPDX-License-Identifier: Apache-2.0
"""The spawner's end of the connection of one gatherer: packets, descriptors, and who it is."""

from __future__ import annotations

import os
import socket
import stat
from array import array
from typing import NamedTuple

from shmetrics.probes.spawner import protocol
from shmetrics.probes.spawner.protocol import ProtocolError
from shmetrics.registration.peer import peer_of

_DESCRIPTOR_BYTES = array("i").itemsize
_ANCILLARY_BYTES = socket.CMSG_SPACE(protocol.DESCRIPTORS * _DESCRIPTOR_BYTES)


class Received(NamedTuple):
    """A message, and the descriptors that came with it; who takes it closes them."""

    wish: protocol.Wish
    descriptors: list[int]


class Gone(Exception):
    """The gatherer has closed its end, or the connection cannot be used any more."""


class Connection:
    """A connection with a gatherer, which never waits."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.peer = peer_of(sock)

    def receive(self) -> Received | None:
        """Return the next message, None if there is none yet.

        Raises:
            Gone: there will be no more.
            ProtocolError: this is no message; its descriptors have been closed.
        """
        try:
            packet, ancillary, flags, _ = self.socket.recvmsg(
                protocol.MESSAGE_MAX_BYTES + 1, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError as error:
            raise Gone(error.strerror) from None
        descriptors = _descriptors(ancillary)
        try:
            if not packet:
                raise Gone("closed")
            if flags & socket.MSG_CTRUNC:
                raise ProtocolError("too many descriptors")
            wish = protocol.decode_wish(packet)
            _check(wish, descriptors)
        except (Gone, ProtocolError):
            close_all(descriptors)
            raise
        return Received(wish, descriptors)

    def send(self, answer: protocol.Answer) -> None:
        """Send an answer. Raises Gone if the gatherer does not take its answers."""
        try:
            self.socket.send(protocol.encode(answer))
        except OSError as error:  # also if there is no room: it has not read for long
            raise Gone(error.strerror) from None

    def close(self) -> None:
        """Close it."""
        self.socket.close()


def close_all(descriptors: list[int]) -> None:
    """Close descriptors."""
    for fd in descriptors:
        os.close(fd)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
    return found.tolist()


def _check(wish: protocol.Wish, descriptors: list[int]) -> None:
    wanted = protocol.DESCRIPTORS if isinstance(wish, protocol.Run) else 0
    if len(descriptors) != wanted:
        raise ProtocolError(f"{len(descriptors)} descriptors where {wanted} belong")
    if not all(stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in descriptors):
        raise ProtocolError("a descriptor is not that of a pipe")
