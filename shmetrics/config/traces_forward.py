# SPDX-License-Identifier: Apache-2.0
"""The options of one destination of spans."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from shmetrics.config import trace_destination
from shmetrics.config.checks import check_headers
from shmetrics.config.section import Section
from shmetrics.config.trace_destination import TraceDestination

MOST_DESTINATIONS = 16
_KIB = 1024
_MIB = 1024 * _KIB


class TracesForward(Section, frozen=True, kw_only=True):
    """A destination to which spans are forwarded once they have ended: an OTLP receiver (Jaeger,
    Tempo, an OpenTelemetry collector), or a back-end of OSProfiler. By default there is none."""

    to: Annotated[
        str,
        Meta(
            description="otlp+http://host:4318/v1/traces, otlp+grpc://host:4317, otlp+https and "
            "otlp+grpcs with TLS; or a connection string of OSProfiler: redis://, mongodb://, "
            "elasticsearch://, messaging:// and others."
        ),
    ]
    headers: Annotated[
        dict[str, str], Meta(description="Headers for an OTLP receiver, for example its tenant.")
    ] = field(default_factory=dict)
    ca_file: Annotated[
        str,
        Meta(description="Certificate authorities for a receiver with TLS. Empty: the system's."),
    ] = ""
    transport_url: Annotated[
        str, Meta(description="The broker of messaging://: rabbit://user:password@host:5672/.")
    ] = ""
    batch_spans: Annotated[
        int, Meta(ge=1, le=100_000, description="Most spans that are sent at a time.")
    ] = 1000
    batch_seconds: Annotated[
        float,
        Meta(
            ge=0.01,
            le=60,
            description="How long a span waits for others, so that they are sent together.",
        ),
    ] = 1.0
    timeout_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=60,
            description="Longest time of one attempt, from name look-up to the last byte.",
        ),
    ] = 10.0
    give_up_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=86400,
            description="How long a batch is tried again if nobody answers. Other batches wait.",
        ),
    ] = 300.0
    max_waiting_bytes: Annotated[
        int,
        Meta(ge=64 * _KIB, le=1 << 40, description="Memory for spans that wait to be sent."),
    ] = 16 * _MIB

    def __post_init__(self) -> None:
        try:
            found = trace_destination.parse(self.to)
        except ValueError as error:
            raise ValueError(f"to: {error}") from None
        check_headers(self.headers)
        is_otlp = found.is_http or found.is_grpc
        for option in ("headers", "ca_file"):
            if getattr(self, option) and not is_otlp:
                raise ValueError(f"{option}: is for OTLP, which {found.name!r} is not")
        if (found.scheme == "messaging") != bool(self.transport_url):
            raise ValueError("transport_url: messaging:// takes one, and nothing else does")

    @property
    def destination(self) -> TraceDestination:
        """Return `to`, parsed."""
        return trace_destination.parse(self.to)


EXAMPLE = TracesForward(to="otlp+http://127.0.0.1:4318/v1/traces")
