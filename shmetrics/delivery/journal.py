# SPDX-License-Identifier: Apache-2.0
"""A sender to systemd's journal, in its native protocol: a datagram for each entry.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL. A message is far smaller than a datagram may be, so the
way through a file in memory, which the protocol has for large entries, is not needed.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from shmetrics.delivery.message import Message
from shmetrics.delivery.syslog import connected
from shmetrics.forwarding.byte_stream import said
from shmetrics.forwarding.sender import Outcome, TryAgain

_INFORMATIONAL: Final = "6"


class Journal:
    """A sender to the journal."""

    def __init__(self, path: str, timeout_seconds: float = 10.0) -> None:
        """Prepare to send; nothing is opened yet.

        Args:
            path: the journal's socket.
            timeout_seconds: how long the journal may take to make room.
        """
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[Message]) -> Outcome:
        """Send entries one by one; see Sender."""
        n_failed, why = 0, ""
        for number, message in enumerate(messages):
            try:
                self._socket = self._socket or connected(
                    socket.AF_UNIX, socket.SOCK_DGRAM, self._path, self._timeout_seconds
                )
                self._socket.send(entry(message))
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    n_failed, why = n_failed + 1, said(error)
                    continue
                self.close()
                raise TryAgain(said(error), left=messages[number:], failed=n_failed) from None
        return Outcome(failed=n_failed, why=why)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def entry(message: Message) -> bytes:
    """Return the datagram of an entry."""
    return serialized(
        (
            ("MESSAGE", message.text),
            ("PRIORITY", _INFORMATIONAL),
            ("SYSLOG_IDENTIFIER", "shmetrics"),
            ("SHMETRICS_UNIT", message.unit),
            ("SHMETRICS_KIND", message.kind),
            ("SHMETRICS_TIME_NS", str(message.time_ns)),
        )
    )


def serialized(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return fields as the protocol has them: with the length of a value before it if the value
    has a newline, which would begin another field."""
    parts = []
    for name, value in fields:
        raw = value.encode(errors="surrogateescape")
        if b"\n" in raw:
            parts.append(b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(raw)), raw))
        else:
            parts.append(b"%s=%s\n" % (name.encode(), raw))
    return b"".join(parts)
