# SPDX-License-Identifier: Apache-2.0
"""All destinations of spans. One that is slow or down delays none of the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shmetrics.config.destination import named
from shmetrics.config.trace_destination import receiver
from shmetrics.config.traces_forward import TracesForward
from shmetrics.destinations.traces.spans import SPANS
from shmetrics.forwarding.forwarder import STOP_SECONDS, Forwarder, Limits, stop_all
from shmetrics.forwarding.report import Report
from shmetrics.forwarding.sender import Sender
from shmetrics.traces.reader import Row, StoredSpan


class TraceDestinations:
    """The destinations, with a forwarder for each."""

    def __init__(self, settings: Iterable[TracesForward]) -> None:
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

    def reports(self) -> list[Report]:
        """Return the report of each destination."""
        return [forwarder.report() for forwarder in self.forwarders]

    def close(self, seconds: float = STOP_SECONDS) -> None:
        """Stop all forwarders at the same time, with this many seconds for their last spans."""
        stop_all(self.forwarders, seconds)


def _limits(settings: TracesForward) -> Limits:
    """Return the limits of a destination's forwarder."""
    return Limits(
        settings.batch_spans,
        settings.batch_seconds,
        settings.max_waiting_bytes,
        settings.give_up_seconds,
    )


def sender_of(settings: TracesForward) -> Sender[StoredSpan]:
    """Return the sender for a destination.

    Raises:
        ConfigError: the destination is wrong.
        ImportError: a library is not installed.
    """
    with named(settings.destination.name):
        return _sender_of(settings)


def _sender_of(settings: TracesForward) -> Sender[StoredSpan]:
    to = settings.destination
    if not to.is_http and not to.is_grpc:
        from shmetrics.destinations.traces.backend import Backend

        return Backend(to, settings.transport_url, settings.timeout_seconds)
    how = receiver(to), settings.headers, settings.ca_file, settings.timeout_seconds
    if to.is_grpc:
        from shmetrics.destinations.traces.otlp_grpc import OtlpGrpc

        return OtlpGrpc(*how)
    from shmetrics.destinations.traces.otlp_http import OtlpHttp

    return OtlpHttp(*how)
