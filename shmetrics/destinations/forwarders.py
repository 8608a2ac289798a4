# SPDX-License-Identifier: Apache-2.0
"""All destinations that a collector passes spans on to, each with a forwarder of its own: one that
is slow or gone holds up no other."""

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

#: What is there at the end has so long to arrive.
STOP_SECONDS: Final = 5.0


class ForwarderSettings(NamedTuple):
    """A destination, and how it is spoken to."""

    to: Destination
    headers: Mapping[str, str]
    ca_file: str
    transport_url: str
    timeout_seconds: float
    limits: Limits


class Forwarders:
    """Their forwarders."""

    def __init__(self, settings: Iterable[ForwarderSettings]) -> None:
        """Raises ConfigError, or ImportError for a library that is not installed."""
        senders = [(one, sender_of(one)) for one in settings]
        self.forwarders: Sequence[Forwarder] = [
            Forwarder(one.to.name, sender, one.limits) for one, sender in senders
        ]

    def put(self, rows: Sequence[Row]) -> None:
        """Has spans passed on to each. Does not wait."""
        for forwarder in self.forwarders:
            forwarder.put(rows)

    def close(self, seconds: float = STOP_SECONDS) -> None:
        """Passes on what is there, all at once, within this time."""
        deadline = time.monotonic() + seconds
        for forwarder in self.forwarders:
            forwarder.stop(deadline)
        for forwarder in self.forwarders:
            forwarder.join()


def sender_of(settings: ForwarderSettings) -> Sender:
    """What speaks to a destination. Raises ConfigError, or ImportError for a library that is not
    installed."""
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
