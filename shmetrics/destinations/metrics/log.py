# SPDX-License-Identifier: Apache-2.0
"""Syslog and the journal: a message per sample, in the form of metric lines.

type=metric metric=jobs_total hostname=node-1 topic=compute value=5.0
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import Final

from shmetrics.config.destination import FACILITIES
from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.delivery.journal import serialized
from shmetrics.delivery.rfc5424 import Header, octet_counted
from shmetrics.destinations.metrics.columns import Column
from shmetrics.destinations.metrics.datagram_sender import DatagramSender
from shmetrics.destinations.metrics.encoder import Encoded, Part, pieces, whole
from shmetrics.destinations.metrics.http_sender import tls_of
from shmetrics.destinations.metrics.packing import Pack, Text, packed
from shmetrics.destinations.metrics.row_text import RowTexts
from shmetrics.destinations.metrics.snapshot import Additions, Snapshot
from shmetrics.destinations.metrics.stream_sender import StreamSender
from shmetrics.forwarding.sender import Sender
from shmetrics.http_client import Peer
from shmetrics.render import _lines

_STREAMS: Final = ("syslog+tcp", "syslog+tls")
#: Returns what is before the text of a message, of its time in nanoseconds.
Before = Callable[[int], bytes]


@functools.lru_cache(maxsize=16 * 1024)
def _word(text: str) -> str:
    """Return a value as one word of printable characters."""
    return "".join(
        c if c.isprintable() and c not in ' "=\\' else "".join(f"\\x{b:02x}" for b in _raw(c))
        for c in text
    )


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def word(name: str, value: str) -> bytes:
    """Return a label as a word of a message."""
    return f" {name}={_word(value)}".encode()


class Log:
    """The format of messages, each of which is framed as its protocol has it."""

    def __init__(
        self, additions: Additions, before: Before, after: bytes = b"", is_stream: bool = False
    ) -> None:
        """Choose the format.

        Args:
            additions: what is added to names and series.
            before: returns what is before the text of each message.
            after: what is behind it.
            is_stream: whether messages have their lengths before them; otherwise each is a
                datagram.
        """
        self._prefix = additions.prefix
        self._labels = RowTexts(word, additions.labels)
        self._before = before
        self._after = after
        self._is_stream = is_stream

    def encode(self, snapshot: Snapshot) -> Encoded:
        """Return the parts of a snapshot; see Encoder."""
        before = self._before(snapshot.time_ns)
        text = Text(snapshot, self._labels, lambda column: self._line(column, before))
        parts = [self._part(pack, snapshot) for pack in packed(text.pieces())]
        return Encoded(parts, text.n_unfit)

    def _line(self, column: Column, before: bytes) -> _lines.Line:
        le = word("le", column.le) if column.le else b""
        name = f"type=metric metric={self._prefix}{column.name}".encode()
        # No message has this character.
        return _lines.Line(before + name, le + b" value=", self._after, b"\0")

    def _part(self, pack: Pack, snapshot: Snapshot) -> Part:
        text = b"".join(pack.pieces)
        messages = text.split(b"\0")[:-1]
        if self._is_stream:
            return whole(b"".join(map(octet_counted, messages)), pack.n, snapshot)
        found = [(message, 1) for message in messages]
        return pieces(found, pack.n, len(text), snapshot)


def log_of(settings: MetricsForward, additions: Additions) -> Log:
    """Return the format for a destination."""
    scheme = settings.destination.scheme
    if scheme == "journal":
        known = serialized((("PRIORITY", "6"), ("SYSLOG_IDENTIFIER", "shmetrics")))
        return Log(
            additions,
            lambda time_ns: known + b"SHMETRICS_TIME_NS=%d\nMESSAGE=" % time_ns,
            after=b"\n",
        )
    header = Header(FACILITIES[settings.facility], socket.gethostname())
    return Log(additions, lambda time_ns: header.message(time_ns, ""), is_stream=scheme in _STREAMS)


def sender_of(settings: MetricsForward) -> Sender[Part]:
    """Return the sender of a destination. Raises ConfigError."""
    to, seconds = settings.destination, settings.timeout_seconds
    if to.scheme in _STREAMS:
        return StreamSender(Peer(to.host, to.port, tls_of(settings)), seconds)
    return DatagramSender(to.host, to.port, to.path, seconds)
