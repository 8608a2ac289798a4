# SPDX-License-Identifier: Apache-2.0
"""The emitter's end of a registration: a socket that never waits longer than it is told to."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from typing import NamedTuple

from shmetrics.registration import protocol

_DESCRIPTORS = struct.Struct(f"={protocol.GRANT_DESCRIPTORS}i")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_DESCRIPTORS.size)


class Grant(NamedTuple):
    """What a collector gave: three descriptors that are now the caller's."""

    lane_fd: int
    kick_fd: int
    connection_fd: int


class Attempt:
    """One try to register. It belongs to the process that made it: a fork starts over."""

    def __init__(self, path: str, hello: protocol.Hello) -> None:
        """Connects and asks, without waiting. Raises OSError if nobody listens there."""
        self.pid = os.getpid()
        self._connection = protocol.Connection()
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            self._socket.connect(path)
            self._socket.send(protocol.encode_hello(hello))
            self._connection.advance(protocol.Event.HELLO)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def answer(self, wait_s: float) -> Grant | protocol.Answer | None:
        """The grant, a refusal, or None if there is no answer within wait_s seconds.

        Raises OSError or ProtocolError if the connection is of no more use.
        """
        deadline = time.monotonic() + wait_s
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        while not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            if time.monotonic() >= deadline:
                return None
        message, ancillary, _, _ = self._socket.recvmsg(
            protocol.MESSAGE_MAX_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
        )
        descriptors = _descriptors(ancillary)
        try:
            if not message:
                self._connection.advance(protocol.Event.END)
                raise ConnectionResetError("the collector closed the connection")
            answer = protocol.decode_answer(message)
            if answer.result is not protocol.Result.GRANTED:
                self._connection.advance(protocol.Event.REFUSAL)
                return answer
            if len(descriptors) != protocol.GRANT_DESCRIPTORS:
                raise protocol.ProtocolError("a grant without its descriptors")
            self._connection.advance(protocol.Event.GRANT)
            lane_fd, kick_fd = descriptors
            descriptors = ()
            return Grant(lane_fd, kick_fd, self._socket.detach())
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            usable = len(data) - len(data) % 4
            return struct.unpack(f"={usable // 4}i", data[:usable])
    return ()
