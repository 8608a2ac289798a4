# SPDX-License-Identifier: Apache-2.0
"""The exporter of a destination: the format and the sender that its options mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from shmetrics.config.destination import named
from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.destinations.metrics.encoder import Encoder, Part
from shmetrics.destinations.metrics.snapshot import Additions
from shmetrics.forwarding.sender import Sender
from shmetrics.http_client import Peer


class Exporter(NamedTuple):
    """A format and a sender.

    Attributes:
        encoder: makes parts of snapshots.
        sender: sends them.
        is_delta: whether a snapshot is what has changed since the last one.
    """

    encoder: Encoder
    sender: Sender[Part]
    is_delta: bool = False


def exporter_of(
    settings: MetricsForward, constant_labels: Mapping[str, str], begin_ns: int
) -> Exporter:
    """Return the exporter of a destination. Nothing is opened yet.

    Args:
        settings: the options.
        constant_labels: the labels that every series has on /metrics.
        begin_ns: the time from which on growth is sent, in nanoseconds since 1970.

    Raises:
        ConfigError: a file cannot be used.
        ImportError: a library is not installed.
    """
    additions = Additions.of(settings.prefix, constant_labels, settings.labels)
    with named(settings.to):
        return _MAKERS[settings.destination.protocol](settings, additions, begin_ns)


def _graphite(settings: MetricsForward, additions: Additions, begin_ns: int) -> Exporter:
    from shmetrics.destinations.metrics.graphite import Graphite
    from shmetrics.destinations.metrics.stream_sender import StreamSender

    to = settings.destination
    encoder = Graphite(additions, settings.tags, to.scheme == "graphite+pickle")
    peer = Peer(to.host, to.port)
    return Exporter(encoder, StreamSender(peer, settings.timeout_seconds))


def _statsd(settings: MetricsForward, additions: Additions, begin_ns: int) -> Exporter:
    from shmetrics.destinations.metrics.datagram_sender import DatagramSender
    from shmetrics.destinations.metrics.statsd import Statsd

    to = settings.destination
    sender = DatagramSender(to.host, to.port, to.path, settings.timeout_seconds)
    return Exporter(Statsd(additions, begin_ns, settings.tags), sender, is_delta=True)


def _remote_write(settings: MetricsForward, additions: Additions, begin_ns: int) -> Exporter:
    from shmetrics.destinations.metrics import remote_write

    if settings.protocol_version == "2.0":
        from shmetrics.destinations.metrics.remote_write_2 import Newest

        newest = Newest(settings, additions)
        return Exporter(newest, newest)
    encoder = remote_write.RemoteWrite(additions, settings.native_histograms)
    return Exporter(encoder, remote_write.sender_of(settings))


def _otlp(settings: MetricsForward, additions: Additions, begin_ns: int) -> Exporter:
    from shmetrics.destinations.metrics import otlp

    encoder = otlp.Otlp(additions, begin_ns, settings.native_histograms, settings.delta)
    if settings.destination.scheme.startswith("otlp+grpc"):
        from shmetrics.destinations.metrics.grpc_sender import GrpcSender

        return Exporter(encoder, GrpcSender(settings), settings.delta)
    return Exporter(encoder, otlp.http_sender(settings), settings.delta)


def _elasticsearch(settings: MetricsForward, additions: Additions, begin_ns: int) -> Exporter:
    from shmetrics.destinations.metrics import elasticsearch

    encoder = elasticsearch.Elasticsearch(additions)
    return Exporter(encoder, elasticsearch.sender_of(settings))


def _log(settings: MetricsForward, additions: Additions, begin_ns: int) -> Exporter:
    from shmetrics.destinations.metrics import log

    return Exporter(log.log_of(settings, additions), log.sender_of(settings))


_MAKERS: Final[Mapping[str, Callable[[MetricsForward, Additions, int], Exporter]]] = {
    "graphite": _graphite,
    "statsd": _statsd,
    "remote-write": _remote_write,
    "otlp": _otlp,
    "elasticsearch": _elasticsearch,
    "syslog": _log,
    "journal": _log,
}
