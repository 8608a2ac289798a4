# SPDX-License-Identifier: Apache-2.0
"""The emitter's end of a registration: a socket that never waits longer than it is told to.

It is the bare type of the `_socket` module: eventlet and gevent replace `socket.socket` and what
can wait for it by something that runs other greenlets, and a record must not do that.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import struct
from typing import NamedTuple

from shmetrics.binding import ring as _ring
from shmetrics.registration import protocol

_DESCRIPTORS = struct.Struct(f"={protocol.GRANT_DESCRIPTORS}i")
_ANCILLARY_BYTES = _socket.CMSG_SPACE(_DESCRIPTORS.size)


class Grant(NamedTuple):
    """What a collector gave: three descriptors that are now the caller's, and what it said."""

    lane_fd: int
    kick_fd: int
    connection_fd: int
    text: str = ""

    @property
    def descriptors(self) -> tuple[int, int, int]:
        return self.lane_fd, self.kick_fd, self.connection_fd


class Attempt:
    """One try to register. It belongs to the process that made it: a fork starts over.

    epoch: that process's number. What is granted is for it alone.
    """

    def __init__(self, path: str, hello: protocol.Hello) -> None:
        """Connects and asks, without waiting. Raises OSError if nobody listens there."""
        self.epoch = _ring.process_epoch()
        self._connection = protocol.Connection()
        kind = _socket.SOCK_SEQPACKET | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
        self._socket = _socket.socket(_socket.AF_UNIX, kind)
        try:
            self._socket.setblocking(False)
            self._socket.connect(path)
            with contextlib.suppress(BrokenPipeError):  # turned away already; the answer says why
                self._socket.send(protocol.encode_hello(hello))
            self._connection.advance(protocol.Event.HELLO)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def answer(self, wait_ns: int) -> Grant | protocol.Answer | None:
        """The grant, a refusal, or None if there is no answer within wait_ns.

        Raises OSError or ProtocolError if the connection is of no more use.
        """
        if not _ring.wait_readable(self._socket.fileno(), wait_ns):
            return None
        if self.epoch != _ring.process_epoch():  # a signal handler forked meanwhile
            raise ConnectionAbortedError("the connection is another process's")
        message, ancillary = self._receive()
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
            return Grant(lane_fd, kick_fd, self._socket.detach(), answer.text)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _receive(self) -> tuple[bytes, list[tuple[int, int, bytes]]]:
        for last in (False, True):
            try:
                message, ancillary, _, _ = self._socket.recvmsg(
                    protocol.ANSWER_MAX_BYTES, _ANCILLARY_BYTES, _socket.MSG_CMSG_CLOEXEC
                )
                break
            except ConnectionResetError:  # closed before it read all; what it said comes next
                if last:
                    raise
        return message, ancillary


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            usable = len(data) - len(data) % 4
            return struct.unpack(f"={usable // 4}i", data[:usable])
    return ()
