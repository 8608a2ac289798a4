# SPDX-License-Identifier: Apache-2.0
"""A sender of bytes over a connection that is kept, to a receiver that answers nothing."""

from __future__ import annotations

from collections.abc import Sequence

from shmetrics.destinations.metrics.encoder import Part
from shmetrics.forwarding.byte_stream import ByteStream, said
from shmetrics.forwarding.sender import Outcome, TryAgain
from shmetrics.http_client import Clock, Peer, connect


class StreamSender:
    """A sender over TCP. Of a part that was broken off, all is sent again."""

    def __init__(self, peer: Peer, timeout_seconds: float = 10.0) -> None:
        """Prepare to send; nothing is opened yet.

        Args:
            peer: the receiver.
            timeout_seconds: how long an attempt may take, with the look-up of the name.
        """
        self._stream = ByteStream(lambda seconds: connect(peer, Clock(seconds)), timeout_seconds)

    def send(self, parts: Sequence[Part]) -> Outcome:
        """Send parts one by one; see Sender."""
        for number, part in enumerate(parts):
            try:
                self._stream.send(part.content)
            except OSError as error:
                raise TryAgain(said(error), left=parts[number:]) from None
        return Outcome()

    def close(self) -> None:
        """End the connection."""
        self._stream.close()
