# SPDX-License-Identifier: Apache-2.0
"""A destination: the format and the sender that its address and its options mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.destinations.sender import Sender
from shmetrics.forwarding.encoder import Encoder, Part
from shmetrics.forwarding.snapshot import Additions
from shmetrics.http_client import Peer


class Destination(NamedTuple):
    """A format and a sender.

    Attributes:
        encoder: makes parts of snapshots.
        sender: sends them.
        is_delta: whether a snapshot is what has changed since the last one.
    """

    encoder: Encoder
    sender: Sender[Part]
    is_delta: bool = False


def destination_of(
    settings: MetricsForward, constant_labels: Mapping[str, str], begin_ns: int
) -> Destination:
    """Return the destination of some options. Nothing is opened yet.

    Args:
        settings: the options.
        constant_labels: the labels that every series has on /metrics.
        begin_ns: the time from which on growth is sent, in nanoseconds since 1970.

    Raises:
        ConfigError: a file cannot be used.
        ImportError: a library is not installed.
    """
    additions = Additions.of(settings.prefix, constant_labels, settings.labels)
    return _MAKERS[settings.target.protocol](settings, additions, begin_ns)


def _graphite(settings: MetricsForward, additions: Additions, begin_ns: int) -> Destination:
    from shmetrics.forwarding.graphite import Graphite
    from shmetrics.forwarding.stream_sender import StreamSender

    target = settings.target
    encoder = Graphite(additions, settings.tags, target.scheme == "graphite+pickle")
    peer = Peer(target.host, target.port)
    return Destination(encoder, StreamSender(peer, settings.timeout_seconds))


def _statsd(settings: MetricsForward, additions: Additions, begin_ns: int) -> Destination:
    from shmetrics.forwarding.datagram_sender import DatagramSender
    from shmetrics.forwarding.statsd import Statsd

    target = settings.target
    sender = DatagramSender(target.host, target.port, target.path, settings.timeout_seconds)
    return Destination(Statsd(additions, begin_ns, settings.tags), sender, is_delta=True)


def _remote_write(settings: MetricsForward, additions: Additions, begin_ns: int) -> Destination:
    from shmetrics.forwarding import remote_write

    if settings.protocol_version == "2.0":
        from shmetrics.forwarding.remote_write_2 import Newest

        newest = Newest(settings, additions)
        return Destination(newest, newest)
    encoder = remote_write.RemoteWrite(additions, settings.native_histograms)
    return Destination(encoder, remote_write.sender_of(settings))


def _otlp(settings: MetricsForward, additions: Additions, begin_ns: int) -> Destination:
    from shmetrics.forwarding import otlp

    encoder = otlp.Otlp(additions, begin_ns, settings.native_histograms, settings.delta)
    if settings.target.scheme.startswith("otlp+grpc"):
        from shmetrics.forwarding.grpc_sender import GrpcSender

        return Destination(encoder, GrpcSender(settings), settings.delta)
    return Destination(encoder, otlp.http_sender(settings), settings.delta)


def _elasticsearch(settings: MetricsForward, additions: Additions, begin_ns: int) -> Destination:
    from shmetrics.forwarding import elasticsearch

    encoder = elasticsearch.Elasticsearch(additions)
    return Destination(encoder, elasticsearch.sender_of(settings))


def _log(settings: MetricsForward, additions: Additions, begin_ns: int) -> Destination:
    from shmetrics.forwarding import log

    return Destination(log.log_of(settings, additions), log.sender_of(settings))


_MAKERS: Final[Mapping[str, Callable[[MetricsForward, Additions, int], Destination]]] = {
    "graphite": _graphite,
    "statsd": _statsd,
    "remote-write": _remote_write,
    "otlp": _otlp,
    "elasticsearch": _elasticsearch,
    "syslog": _log,
    "journal": _log,
}
