# SPDX-License-Identifier: Apache-2.0
"""The emitter's end of a registration: a connection that never waits longer than it is told to.

It is no socket of Python's: eventlet and gevent replace `socket.socket` and what can wait for it by
something that runs other greenlets, and a record must not do that. And a socket of Python's closes
its number whatever file the service has put there (see csrc/emit/descriptor.h).
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
    """What a collector gave: a lane's file that is now the caller's, and what it said."""

    lane: Descriptor
    text: str = ""


class Attempt:
    """One try to register. It belongs to the process that made it: a fork starts over.

    epoch: that process's number. What is granted is for it alone.
    """

    def __init__(self, path: str, hello: protocol.Hello) -> None:
        """Connects and asks, without waiting. Raises OSError if nobody listens there."""
        self.epoch = _ring.process_epoch()
        self._conversation = protocol.Connection()
        self._connection = _ring.ask(os.fsencode(path), protocol.encode_hello(hello))
        self._conversation.advance(protocol.Event.HELLO)

    def close(self) -> None:
        """Ends the connection, if the number is still ours."""
        self._connection.close()

    def answer(self, wait_ns: int) -> Grant | protocol.Answer | None:
        """The grant, a refusal, or None if there is no answer within wait_ns.

        With an answer the connection has done its work, and is closed. Raises OSError or
        ProtocolError if it is of no more use.
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
