# SPDX-License-Identifier: Apache-2.0
"""The forwarders of a collector, one for each destination.

A destination that is slow or down does not delay the others.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from shmetrics.config.destination import receiver
from shmetrics.config.forward import Forward
from shmetrics.destinations.forwarder import Forwarder, Limits
from shmetrics.destinations.sender import Sender
from shmetrics.destinations.spans import SPANS
from shmetrics.errors import ConfigError
from shmetrics.traces.reader import Row, StoredSpan

#: The time in which the last spans have to arrive when a collector ends.
STOP_SECONDS: Final = 5.0


class Forwarders:
    """The forwarders of all destinations."""

    def __init__(self, settings: Iterable[Forward]) -> None:
        """Make and start the forwarders.

        Raises:
            ConfigError: a destination is wrong.
            ImportError: a library is not installed.
        """
        senders = [(one, sender_of(one)) for one in settings]
        self.forwarders: Sequence[Forwarder[Row, StoredSpan]] = [
            Forwarder(one.destination.name, sender, SPANS, _limits(one)) for one, sender in senders
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


def _limits(settings: Forward) -> Limits:
    """Return the limits of a destination's forwarder."""
    return Limits(
        settings.batch_spans,
        settings.batch_seconds,
        settings.max_waiting_bytes,
        settings.give_up_seconds,
    )


def sender_of(settings: Forward) -> Sender[StoredSpan]:
    """Return the sender for a destination.

    Raises:
        ConfigError: the destination is wrong.
        ImportError: a library is not installed.
    """
    to = settings.destination
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
