# SPDX-License-Identifier: Apache-2.0
"""A destination of spans, by its address in the configuration.

======================================  =====================================================
`otlp+http://host:4318/v1/traces`       an OTLP receiver; `otlp+https` with TLS
`otlp+grpc://host:4317`                 the same over gRPC; `otlp+grpcs` with TLS
`otlp://host:4318`                      OSProfiler's form of `otlp+http`
`redis://…`, `mongodb://…`, …           one of OSProfiler's back-ends, by its connection string
======================================  =====================================================
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

#: Schemes of OTLP, and the default ports and path (https://opentelemetry.io/docs/specs/otlp).
OTLP_HTTP: Final = {"otlp": "http", "otlp+http": "http", "otlp+https": "https"}
OTLP_GRPC: Final = {"otlp+grpc": "grpc", "otlp+grpcs": "grpcs"}
HTTP_PORT, HTTP_PATH, GRPC_PORT = 4318, "/v1/traces", 4317


class TraceDestination(NamedTuple):
    """A destination.

    Attributes:
        text: the address as it was written.
        scheme: the part before `://`.
        name: the address without user, password and query.
    """

    text: str
    scheme: str
    name: str

    @property
    def is_http(self) -> bool:
        """Return whether it is an OTLP receiver over HTTP."""
        return self.scheme in OTLP_HTTP

    @property
    def is_grpc(self) -> bool:
        """Return whether it is an OTLP receiver over gRPC."""
        return self.scheme in OTLP_GRPC


class Receiver(NamedTuple):
    """An OTLP receiver. Its credentials are `user:password`, or "" if there are none."""

    host: str
    port: int
    path: str
    is_tls: bool
    credentials: str


def parse(text: str) -> TraceDestination:
    """Return the destination with an address.

    Raises:
        ValueError: the address is wrong; the message has correct ones.
    """
    scheme, slashes, rest = text.partition("://")
    if not slashes or not scheme or not scheme.replace("+", "").isalnum():
        raise ValueError(
            f"{text!r} is no destination; write otlp+http://host:4318/v1/traces, "
            "otlp+grpc://host:4317 or a connection string of OSProfiler"
        )
    if scheme == "shm":
        raise ValueError(f"{text!r} is where the spans come from; name another destination")
    authority, slash, path = rest.partition("?")[0].partition("/")
    name = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    found = TraceDestination(text, scheme, name)
    if found.is_http or found.is_grpc:
        receiver(found)
    return found


def receiver(destination: TraceDestination) -> Receiver:
    """Return the parts of an OTLP destination. Raises ValueError if one is wrong."""
    parts = urlsplit(destination.text)
    port = GRPC_PORT if destination.is_grpc else HTTP_PORT
    try:
        port = parts.port or port
    except ValueError:
        raise ValueError(
            f"{destination.name!r} has a wrong port; write a number from 1 to 65535"
        ) from None
    if not parts.hostname:
        raise ValueError(
            f"{destination.name!r} names no host; write {destination.scheme}://host:port"
        )
    if destination.is_grpc and parts.path not in ("", "/"):
        raise ValueError(f"{destination.name!r} has a path; OTLP over gRPC has none, leave it out")
    path = urlunsplit(("", "", parts.path, parts.query, "")) or HTTP_PATH
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return Receiver(
        parts.hostname,
        port,
        path,
        destination.scheme in ("otlp+https", "otlp+grpcs"),
        "" if credentials == ":" else credentials,
    )
