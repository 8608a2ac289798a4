# SPDX-License-Identifier: Apache-2.0
"""All places that lines are delivered to. One that is slow or down delays none of the others."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from shmetrics.config.deliver import Deliver
from shmetrics.config.destination import FACILITIES, named
from shmetrics.delivery.files import Files
from shmetrics.delivery.journal import Journal
from shmetrics.delivery.message import Message, compose
from shmetrics.delivery.rfc5424 import Header
from shmetrics.delivery.stream import StreamSyslog, stream_to
from shmetrics.delivery.syslog import DatagramSyslog, UnixSyslog
from shmetrics.forwarding.forwarder import STOP_SECONDS, Forwarder, Kind, Limits, stop_all
from shmetrics.forwarding.sender import Sender
from shmetrics.lines.line import Line
from shmetrics.lines.owner import Owner


def _same(message: Message) -> Message:
    return message


MESSAGES: Final = Kind("lines", lambda message: message.size_bytes, _same)


class Report(NamedTuple):
    """The messages to one place: how many were sent, tried again, and lost by reason."""

    to: str
    sent: int
    retries: int
    lost: Counter[str]


class Deliveries:
    """The places, each with a queue and a thread of its own."""

    def __init__(self, settings: Iterable[Deliver], hostname: str = "") -> None:
        """Begin. Nothing is opened before there is something to send.

        Args:
            settings: the places.
            hostname: the name of this node; "": what the kernel says.

        Raises:
            ConfigError: a folder or a certificate is not there.
        """
        self._settings = list(settings)
        name = hostname or socket.gethostname()
        senders = [sender_of(one, name) for one in self._settings]
        self._forwarders: Sequence[Forwarder[Message, Message]] = [
            Forwarder(one.to, sender, MESSAGES, _limits(one))
            for one, sender in zip(self._settings, senders, strict=True)
        ]
        self._n_too_long = [0] * len(senders)

    def put(self, owner: Owner, line: Line, time_ns: int | None = None) -> None:
        """Put an accepted line into each queue. Never waits.

        Args:
            owner: the unit whose line it is.
            line: the line; one without metrics is no message.
            time_ns: its time in nanoseconds since 1970; None: now.
        """
        time_ns = time.time_ns() if time_ns is None else time_ns
        for number, (one, forwarder) in enumerate(
            zip(self._settings, self._forwarders, strict=True)
        ):
            composed = compose(owner, line, time_ns, one.max_line_bytes)
            self._n_too_long[number] += composed.n_too_long
            forwarder.put(composed.messages)

    def reports(self) -> list[Report]:
        """Return what became of all messages so far; of `too_long`, metrics are counted."""
        found = []
        for forwarder, n_too_long in zip(self._forwarders, self._n_too_long, strict=True):
            lost = Counter(forwarder.lost)
            if n_too_long:
                lost["too_long"] = n_too_long
            found.append(Report(forwarder.name, forwarder.sent, forwarder.retries, lost))
        return found

    def close(self, seconds: float = STOP_SECONDS) -> None:
        """Stop all at the same time, with this many seconds for their last lines."""
        stop_all(self._forwarders, seconds)


def _limits(settings: Deliver) -> Limits:
    return Limits(
        batch_seconds=settings.batch_seconds,
        waiting_bytes=settings.max_waiting_bytes,
        give_up_seconds=settings.give_up_seconds,
    )


def sender_of(settings: Deliver, hostname: str) -> Sender[Message]:
    """Return the sender for a place. Raises ConfigError, one line."""
    with named(settings.to):
        return _sender_of(settings, hostname)


def _sender_of(settings: Deliver, hostname: str) -> Sender[Message]:
    destination, seconds = settings.destination, settings.timeout_seconds
    if destination.scheme == "file":
        return Files(destination.path, settings.rotate_bytes, settings.rotate_keep)
    if destination.scheme == "journal":
        return Journal(destination.path, seconds)
    header = Header(FACILITIES[settings.facility], hostname)
    if destination.scheme == "syslog":
        return UnixSyslog(destination, header, seconds)
    if destination.scheme == "syslog+udp":
        return DatagramSyslog(destination, header, seconds)
    tls = None
    if destination.scheme == "syslog+tls":
        from shmetrics.config.client_tls import client_context  # only here, see there

        tls = client_context(settings.ca_file, settings.cert_file, settings.key_file)
    return StreamSyslog(stream_to(destination, tls), header, timeout_seconds=seconds)
