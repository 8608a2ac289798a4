# SPDX-License-Identifier: Apache-2.0
"""The forwarders of a collector, one for each destination.

A destination that is slow or down does not delay the others.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from shmetrics.destinations.destination import Destination, receiver
from shmetrics.destinations.forwarder import Forwarder, Limits
from shmetrics.destinations.sender import Sender
from shmetrics.errors import ConfigError
from shmetrics.traces.reader import Row

#: The time in which the last spans have to arrive when a collector ends.
STOP_SECONDS: Final = 5.0


class ForwarderSettings(NamedTuple):
    """A destination, and the settings for its sender and its forwarder.

    Attributes:
        to: the destination.
        headers: headers for an OTLP receiver.
        ca_file: the certificates that an OTLP receiver is checked against; "": the system's.
        transport_url: the broker of messaging://.
        timeout_seconds: the time limit for an answer.
        limits: the limits of the forwarder.
    """

    to: Destination
    headers: Mapping[str, str]
    ca_file: str
    transport_url: str
    timeout_seconds: float
    limits: Limits


class Forwarders:
    """The forwarders of all destinations."""

    def __init__(self, settings: Iterable[ForwarderSettings]) -> None:
        """Make and start the forwarders.

        Raises:
            ConfigError: a destination is wrong.
            ImportError: a library is not installed.
        """
        senders = [(one, sender_of(one)) for one in settings]
        self.forwarders: Sequence[Forwarder] = [
            Forwarder(one.to.name, sender, one.limits) for one, sender in senders
        ]

    def put(self, rows: Sequence[Row]) -> None:
        """Put spans into the queue of each forwarder. Never waits."""
        for forwarder in self.forwarders:
            forwarder.put(rows)

    def close(self, seconds: float = STOP_SECONDS) -> None:
        """Stop all forwarders at the same time, with this many seconds for their last spans."""
        deadline = time.monotonic() + seconds
        for forwarder in self.forwarders:
            forwarder.stop(deadline)
        for forwarder in self.forwarders:
            forwarder.join()


def sender_of(settings: ForwarderSettings) -> Sender:
    """Return the sender for a destination.

    Raises:
        ConfigError: the destination is wrong.
        ImportError: a library is not installed.
    """
    to = settings.to
    if not to.is_http and not to.is_grpc:
        from shmetrics.destinations.backend import Backend

        return Backend(to, settings.transport_url, settings.timeout_seconds)
    how = receiver(to), settings.headers, settings.ca_file, settings.timeout_seconds
    with _named(settings.ca_file):
        if to.is_grpc:
            from shmetrics.destinations.otlp_grpc import OtlpGrpc

            return OtlpGrpc(*how)
        from shmetrics.destinations.otlp_http import OtlpHttp

        return OtlpHttp(*how)


@contextlib.contextmanager
def _named(ca_file: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{ca_file}: {error.strerror or error}") from None
