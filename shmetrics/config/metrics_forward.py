# SPDX-License-Identifier: Apache-2.0
"""The options of one destination of the metrics of a node."""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta, field

from shmetrics.config import destination, metrics_destination
from shmetrics.config.destination import (
    CaFile,
    CertFile,
    Facility,
    Headers,
    KeyFile,
    TimeoutSeconds,
)
from shmetrics.config.metrics_destination import MetricsDestination
from shmetrics.config.section import Section

_MIB = 1024 * 1024
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NAME_PREFIX: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PATH_PREFIX: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]*")

#: Options that are for some protocols alone.
_ONLY_FOR: Final = {
    **dict.fromkeys(("headers", "username", "bearer_token_file"), metrics_destination.WITH_HEADERS),
    "native_histograms": ("remote-write", "otlp"),
    "delta": ("otlp",),
}


class MetricsForward(Section, frozen=True, kw_only=True):
    """A destination to which all metrics of the node are sent, as a scrape would have them:
    Graphite, StatsD, Prometheus and what else takes remote write, OTLP, Elasticsearch, a log. By
    default there is none."""

    to: Annotated[
        str,
        Meta(
            description="graphite://host:2003, graphite+pickle://host:2004, statsd://host:8125, "
            "statsd+unix:///path, remote-write+http://host:9090/api/v1/write, "
            "otlp+http://host:4318/v1/metrics, otlp+grpc://host:4317, "
            "elasticsearch+http://host:9200/name, syslog:///dev/log, journal:// and others."
        ),
    ]
    families: Annotated[
        list[str],
        Meta(
            description="Families that are sent, by their name on /metrics, with * and ?: "
            '["oslo_messaging_*"]. By default all.'
        ),
    ] = field(default_factory=lambda: ["*"])
    interval_seconds: Annotated[
        float, Meta(ge=1, le=86400, description="Time between two snapshots.")
    ] = 60.0
    labels: Annotated[
        dict[str, str],
        Meta(description="Labels that every series gets, beside constant_labels."),
    ] = field(default_factory=dict)
    prefix: Annotated[str, Meta(description="Beginning of every name, such as shm_.")] = ""
    tags: Annotated[
        bool,
        Meta(
            description="Whether Graphite and StatsD get labels as tags. Otherwise they are parts "
            "of the name."
        ),
    ] = True
    protocol_version: Annotated[
        str,
        Meta(description="Version of remote write, 1.0 or 2.0. Who has no 2.0 gets 1.0."),
    ] = "1.0"
    native_histograms: Annotated[
        bool,
        Meta(
            description="Whether remote write gets native histograms, and OTLP exponential ones, "
            "instead of buckets with bounds, where they are known."
        ),
    ] = False
    delta: Annotated[
        bool,
        Meta(description="Whether OTLP gets changes since the last snapshot, and not totals."),
    ] = False
    headers: Headers = field(default_factory=dict)
    username: Annotated[str, Meta(description="User of HTTP's basic authentication.")] = ""
    password_file: Annotated[
        str, Meta(description="File with its password. It is read again for each request.")
    ] = ""
    bearer_token_file: Annotated[
        str, Meta(description="File with a token for `Authorization: Bearer`, likewise.")
    ] = ""
    ca_file: CaFile = ""
    cert_file: CertFile = ""
    key_file: KeyFile = ""
    facility: Facility = "user"
    timeout_seconds: TimeoutSeconds = 10.0
    give_up_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=86400,
            description="How long a snapshot is tried, from the moment that it shows.",
        ),
    ] = 300.0
    max_waiting_bytes: Annotated[
        int,
        Meta(
            ge=destination.LEAST_WAITING_BYTES,
            le=destination.MOST_WAITING_BYTES,
            description="Memory for snapshots that wait. Beyond it the oldest one is dropped.",
        ),
    ] = 64 * _MIB

    def __post_init__(self) -> None:
        found = destination.parsed(metrics_destination.parse, self.to)
        self._check_series()
        self._check_requests(found)
        destination.check_facility(self.facility)
        destination.check_tls(self.ca_file, self.cert_file, self.key_file, found.is_tls, self.to)

    def _check_series(self) -> None:
        """Check families, labels and names. Raises ValueError."""
        if not self.families:
            raise ValueError('families: names no family; ["*"] are all')
        for name, value in self.labels.items():
            if not _LABEL_NAME.fullmatch(name) or name.startswith("__") or name == "le":
                raise ValueError(f"labels: {name!r} is not the name of a label, or is reserved")
            if not value:
                raise ValueError(f"labels.{name}: the value is empty; leave the label out")
        self._check_prefix()
        if self.protocol_version not in ("1.0", "2.0"):
            raise ValueError(f"protocol_version: {self.protocol_version!r} is not 1.0 or 2.0")

    def _check_prefix(self) -> None:
        """Check the beginning of names: Graphite and StatsD have dots. Raises ValueError."""
        has_dots = self.destination.protocol in ("graphite", "statsd")
        pattern = _PATH_PREFIX if has_dots else _NAME_PREFIX
        if self.prefix and not pattern.fullmatch(self.prefix):
            allowed = "letters, digits, _ and ." if has_dots else "letters, digits, _ and :"
            raise ValueError(f"prefix: {self.prefix!r} cannot begin a name; {allowed} may be in it")

    def _check_requests(self, found: MetricsDestination) -> None:
        """Check headers and credentials. Raises ValueError."""
        destination.check_headers(self.headers)
        for option, protocols in _ONLY_FOR.items():
            if getattr(self, option) and found.protocol not in protocols:
                raise ValueError(f"{option}: is not for {found.scheme}://; leave it out")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username: needs password_file beside it; name both or none")
        if self.username and self.bearer_token_file:
            raise ValueError("bearer_token_file: username is given too; keep one of them")

    @property
    def destination(self) -> MetricsDestination:
        """Return `to`, parsed."""
        return metrics_destination.parse(self.to)


EXAMPLE = MetricsForward(to="graphite://127.0.0.1:2003")
