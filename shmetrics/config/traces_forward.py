# SPDX-License-Identifier: Apache-2.0
"""The options of one destination of spans."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from shmetrics.config import destination, trace_destination
from shmetrics.config.destination import CaFile, Headers, TimeoutSeconds
from shmetrics.config.section import Section
from shmetrics.config.trace_destination import TraceDestination

_MIB = 1024 * 1024


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
    headers: Headers = field(default_factory=dict)
    ca_file: CaFile = ""
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
    timeout_seconds: TimeoutSeconds = 10.0
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
        Meta(
            ge=destination.LEAST_WAITING_BYTES,
            le=destination.MOST_WAITING_BYTES,
            description="Memory for spans that wait to be sent.",
        ),
    ] = 16 * _MIB

    def __post_init__(self) -> None:
        found = destination.parsed(trace_destination.parse, self.to)
        destination.check_headers(self.headers)
        is_otlp = found.is_http or found.is_grpc
        for option in ("headers", "ca_file"):
            if getattr(self, option) and not is_otlp:
                raise ValueError(
                    f"{option}: is for OTLP, and {found.name!r} is another protocol; leave it out"
                )
        if found.scheme == "messaging" and not self.transport_url:
            raise ValueError("transport_url: messaging:// needs it, such as rabbit://host:5672/")
        if found.scheme != "messaging" and self.transport_url:
            raise ValueError("transport_url: only messaging:// has it; leave it out")

    @property
    def destination(self) -> TraceDestination:
        """Return `to`, parsed."""
        return trace_destination.parse(self.to)


EXAMPLE = TracesForward(to="otlp+http://127.0.0.1:4318/v1/traces")
