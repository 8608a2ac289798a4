# SPDX-License-Identifier: Apache-2.0
"""The emitter's end of a registration: a connection that waits only as long as it is told to.

It does not use Python's sockets. Eventlet and gevent replace `socket.socket` and the functions that
wait for it, and theirs run other greenlets, which a record must not do. And a socket of Python's
closes its descriptor's number even if the service has put another file there (see
csrc/emit/descriptor.h).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from shmetrics.binding import ring as _ring
from shmetrics.registration import protocol

TYPE_CHECKING = False  # what typing has under this name, without importing it
if TYPE_CHECKING:
    from shmetrics._ring import Descriptor


class Grant(NamedTuple):
    """A lane that a collector granted.

    Attributes:
        lane: the descriptor of the lane's file; the caller owns it.
        text: the collector's label rules for this process.
    """

    lane: Descriptor
    text: str = ""


class Attempt:
    """One try to register. It belongs to the process that made it; a forked child starts over.

    Attributes:
        epoch: the number of that process. A granted lane is for it alone.
    """

    def __init__(self, path: str, hello: protocol.Hello) -> None:
        """Connect and send the hello, without waiting.

        Args:
            path: the path of the collector's socket.
            hello: the request for a lane.

        Raises:
            OSError: no collector listens there.
        """
        self.epoch = _ring.process_epoch()
        self._conversation = protocol.Connection()
        self._connection = _ring.ask(os.fsencode(path), protocol.encode_hello(hello))
        self._conversation.advance(protocol.Event.HELLO)

    def close(self) -> None:
        """Close the connection, if its descriptor is still ours."""
        self._connection.close()

    def answer(self, wait_ns: int) -> Grant | protocol.Answer | None:
        """Wait for the answer of the collector, and close the connection if there is one.

        Args:
            wait_ns: the longest wait, in nanoseconds.

        Returns:
            The grant, a refusal, or None if there is no answer within that time.

        Raises:
            OSError: the connection is broken.
            ProtocolError: the answer breaks the protocol.
        """
        if not _ring.wait_readable(self._connection, wait_ns):
            return None
        if self.epoch != _ring.process_epoch():  # a signal handler forked meanwhile
            raise ConnectionAbortedError("the connection is another process's")
        message, lane = _ring.answer(self._connection, protocol.ANSWER_MAX_BYTES)
        try:
            answer = self._understand(message, lane is not None)
            granted = None if answer.result is not protocol.Result.GRANTED else lane
        except BaseException:
            if lane is not None:
                lane.close()
            raise
        self.close()
        if granted is not None:
            return Grant(granted, answer.text)
        if lane is not None:
            lane.close()
        return answer

    def _understand(self, message: bytes, has_lane: bool) -> protocol.Answer:
        if not message:
            self._conversation.advance(protocol.Event.END)
            raise ConnectionResetError("the collector closed the connection")
        answer = protocol.decode_answer(message)
        if answer.result is not protocol.Result.GRANTED:
            self._conversation.advance(protocol.Event.REFUSAL)
        elif not has_lane:
            raise protocol.ProtocolError("a grant without its descriptor")
        else:
            self._conversation.advance(protocol.Event.GRANT)
        return answer
