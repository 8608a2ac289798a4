# SPDX-License-Identifier: Apache-2.0
"""A destination of the metrics of a node, by its address in the configuration.

==============================================  ================================================
`graphite://host:2003`                          Graphite, a line per series
`graphite+pickle://host:2004`                   Graphite, pickled lists
`statsd://host:8125`                            StatsD over UDP
`statsd+unix:///run/statsd.sock`                StatsD over a unix socket of datagrams
`remote-write+http://host:9090/api/v1/write`    Prometheus remote write; `+https` with TLS
`otlp+http://host:4318/v1/metrics`              OTLP over HTTP; `otlp+https` with TLS
`otlp+grpc://host:4317`                         OTLP over gRPC; `otlp+grpcs` with TLS
`elasticsearch+http://host:9200/INDEX`          a data stream of Elasticsearch; `+https` with TLS
`syslog://…`, `syslog+tcp://…`, `journal://`    a log, as for metric lines: see lines_destination.py
==============================================  ================================================
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from shmetrics.config import lines_destination


class _Kind(NamedTuple):
    """The form of the addresses of a scheme: a default port, a default path, and TLS.

    Attributes:
        port: the port that an address without one means; 0: it is the address of a unix socket.
        path: the path that an address without one means; None: it has no path.
        is_tls: whether it is spoken to with TLS.
    """

    port: int
    path: str | None = None
    is_tls: bool = False


_KINDS: Final = {
    "graphite": _Kind(2003),
    "graphite+pickle": _Kind(2004),
    "statsd": _Kind(8125),
    "statsd+unix": _Kind(0, ""),
    "remote-write+http": _Kind(9090, "/api/v1/write"),
    "remote-write+https": _Kind(443, "/api/v1/write", is_tls=True),
    "otlp+http": _Kind(4318, "/v1/metrics"),
    "otlp+https": _Kind(4318, "/v1/metrics", is_tls=True),
    "otlp+grpc": _Kind(4317),
    "otlp+grpcs": _Kind(4317, is_tls=True),
    "elasticsearch+http": _Kind(9200, ""),
    "elasticsearch+https": _Kind(9200, "", is_tls=True),
}
LOGS: Final = ("syslog", "syslog+udp", "syslog+tcp", "syslog+tls", "journal")
#: Schemes whose requests may have headers and credentials.
WITH_HEADERS: Final = ("remote-write", "otlp", "elasticsearch")
_MOST_INDEX: Final = 255


class MetricsDestination(NamedTuple):
    """A destination.

    Attributes:
        text: the address as it was written, which has no secrets.
        scheme: the part before `://`.
        host: the host of a network address, otherwise "".
        port: its port, otherwise 0.
        path: the path of a unix socket, or of a request with its query, otherwise "".
        is_tls: whether it is spoken to with TLS.
    """

    text: str
    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    is_tls: bool = False

    @property
    def protocol(self) -> str:
        """Return the scheme without the transport: `graphite`, `statsd`, `otlp` and so on."""
        return self.scheme.partition("+")[0]


def parse(text: str) -> MetricsDestination:
    """Return the destination with an address.

    Raises:
        ValueError: the address is wrong; the message has correct ones, and no password.
    """
    scheme, slashes, rest = text.partition("://")
    if slashes and scheme in LOGS:
        found = lines_destination.parse(text)
        is_tls = scheme == "syslog+tls"
        return MetricsDestination(text, scheme, found.host, found.port, found.path, is_tls)
    kind = _KINDS.get(scheme)
    if not slashes or kind is None:
        raise ValueError(
            f"{scheme[:60]!r} is no scheme of a destination of metrics; there are "
            f"{', '.join((*_KINDS, *LOGS))}"
        )
    if kind.port == 0:
        if not rest.startswith("/"):
            raise ValueError(f"{text!r} has no absolute path; write {scheme}:///path")
        return MetricsDestination(text, scheme, path=rest)
    return _network(text, scheme, kind)


def _network(text: str, scheme: str, kind: _Kind) -> MetricsDestination:
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ValueError(
            f"{scheme}://…@{parts.hostname}: an address has no user and no password; use the "
            "options username and password_file"
        )
    try:
        port = parts.port or kind.port
    except ValueError:
        raise ValueError(f"{text!r} has a wrong port; write a number from 1 to 65535") from None
    if not parts.hostname:
        raise ValueError(f"{text!r} names no host; write {scheme}://host:port")
    path = urlunsplit(("", "", parts.path, parts.query, ""))
    if kind.path is None and path not in ("", "/"):
        raise ValueError(f"{text!r} has a path; write {scheme}://host:port")
    if kind.path is None:
        path = ""
    found = MetricsDestination(
        text, scheme, parts.hostname, port, path or kind.path or "", kind.is_tls
    )
    if found.protocol == "elasticsearch":
        _check_index(text, path)
    return found


def _check_index(text: str, path: str) -> None:
    """Check the name of a data stream (Elasticsearch's rules for the name of an index)."""
    name = path.strip("/")
    is_odd = name.startswith(("-", "_", "+", ".")) or any(c in '\\/*?"<>| ,#:' for c in name)
    if not name or is_odd or name != name.lower() or len(name) > _MOST_INDEX:
        raise ValueError(
            f"{text!r} names no data stream; write elasticsearch+http://host:9200/name"
        )
