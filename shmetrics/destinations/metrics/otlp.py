# SPDX-License-Identifier: Apache-2.0
"""OTLP's metrics: requests of data points, by HTTP or gRPC.

https://opentelemetry.io/docs/specs/otlp and the messages of opentelemetry-proto. Totals have the
time since when they count; with `delta` they are what has come since the last snapshot.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.destinations.metrics.deltas import Deltas
from shmetrics.destinations.metrics.encoder import Encoded, Part, whole
from shmetrics.destinations.metrics.http_sender import HttpSender, Protocol
from shmetrics.destinations.metrics.packing import Pack, packed
from shmetrics.destinations.metrics.row_text import RowTexts
from shmetrics.destinations.metrics.snapshot import Additions, Snapshot
from shmetrics.forwarding.sender import Outcome
from shmetrics.http_client import Answer
from shmetrics.render import _otlp
from shmetrics.render.wire import bytes_field, number_field, utf8
from shmetrics.tables.table import Table
from shmetrics.version import __version__

#: gRPC receivers accept 4 MiB by default.
REQUEST_BYTES: Final = 1024 * 1024
_TEMPORARY: Final = (429, 502, 503, 504)  # by the specification

RESOURCE_METRICS = 1  # of ExportMetricsServiceRequest
RESOURCE, SCOPE_METRICS = 1, 2  # of ResourceMetrics
ATTRIBUTES = 1  # of Resource
SCOPE, METRICS = 1, 2  # of ScopeMetrics
SCOPE_NAME, SCOPE_VERSION = 1, 2
NAME, DESCRIPTION, UNIT, GAUGE, SUM, HISTOGRAM, EXPONENTIAL = 1, 2, 3, 5, 7, 9, 10  # of Metric
TEMPORALITY, IS_MONOTONIC = 2, 3  # of Sum; of histograms, too
_DELTA, _CUMULATIVE = 1, 2
KEY, VALUE, STRING_VALUE = 1, 2, 1  # of KeyValue, and of AnyValue

# The field `attributes` of the points of each kind.
_ATTRIBUTES: Final = {GAUGE: 7, SUM: 7, HISTOGRAM: 9, EXPONENTIAL: 1}
# The units of UCUM for what Prometheus spells out.
_UNITS: Final = {"seconds": "s", "bytes": "By", "ratio": "1", "celsius": "Cel", "volts": "V"}


def attribute(field: int, name: str, value: str) -> bytes:
    """Return an attribute, as a field of this number."""
    said = bytes_field(VALUE, bytes_field(STRING_VALUE, utf8(value)))
    return bytes_field(field, bytes_field(KEY, utf8(name)) + said)


class Otlp:
    """The format of OTLP. The node's labels are attributes of the resource."""

    def __init__(
        self,
        additions: Additions,
        begin_ns: int,
        native: bool = False,
        delta: bool = False,
    ) -> None:
        """Choose the format.

        Args:
            additions: what is added to names and series.
            begin_ns: the time from which on growth is sent, in nanoseconds since 1970.
            native: whether a histogram is an exponential one, where it is known.
            delta: whether totals are what has come since the last snapshot.
        """
        self._prefix = additions.prefix
        self._native = native
        self._temporality = number_field(TEMPORALITY, _DELTA if delta else _CUMULATIVE)
        self._deltas = Deltas(begin_ns) if delta else None
        self._labels = {field: RowTexts(_writer(field), ()) for field in set(_ATTRIBUTES.values())}
        said = [("service.name", "shmetrics"), *additions.labels]
        self._resource = bytes_field(
            RESOURCE, b"".join(attribute(ATTRIBUTES, *pair) for pair in said)
        )
        scope = bytes_field(SCOPE_NAME, b"shmetrics")
        scope += bytes_field(SCOPE_VERSION, __version__.encode())
        self._scope = bytes_field(SCOPE, scope)

    def encode(self, snapshot: Snapshot) -> Encoded:
        """Return the parts of a snapshot; see Encoder."""
        tables = snapshot.tables if self._deltas is None else self._deltas.take(snapshot)
        metrics = (one for table in tables for one in self._metrics(table, snapshot.time_ns))
        return Encoded([self._part(pack, snapshot) for pack in packed(metrics, REQUEST_BYTES)])

    def _metrics(self, table: Table, time_ns: int) -> Iterator[tuple[bytes, int]]:
        """Yield fields of ScopeMetrics with a table's points, and how many they are."""
        field = self._field(table)
        labels = self._labels[_ATTRIBUTES[field]].of(table)
        created = table.created if table.has_created else None
        exemplars = table.exemplars.view(np.uint8) if len(table.exemplars) else None
        points = _otlp.Points(labels.text, labels.ends, len(table), time_ns, created, exemplars)
        head, tail = self._head(table), self._tail(field)
        write = _writing(points, table, field)
        at = first = n_bytes = 0
        data: list[bytes] = []
        while at < len(table):
            some, at = write(at)
            data.append(some)
            n_bytes += len(some)
            if n_bytes >= REQUEST_BYTES // 2 or at == len(table):
                content = head + bytes_field(field, b"".join((*data, tail)))
                yield bytes_field(METRICS, content), at - first
                data, n_bytes, first = [], 0, at

    def _field(self, table: Table) -> int:
        """Return which field of Metric a table is."""
        if table.kind == "histogram":
            return EXPONENTIAL if self._native and table.native is not None else HISTOGRAM
        return SUM if table.kind == "counter" else GAUGE

    def _head(self, table: Table) -> bytes:
        # Those who turn it back into Prometheus's names add _total and the unit themselves.
        name = table.full_name if table.kind == "info" else table.name
        return (
            bytes_field(NAME, utf8(self._prefix + name))
            + bytes_field(DESCRIPTION, utf8(table.help))
            + bytes_field(UNIT, utf8(_UNITS.get(table.unit, table.unit)))
        )

    def _tail(self, field: int) -> bytes:
        if field == GAUGE:
            return b""
        return self._temporality + (number_field(IS_MONOTONIC, 1) if field == SUM else b"")

    def _part(self, pack: Pack, snapshot: Snapshot) -> Part:
        scope = bytes_field(SCOPE_METRICS, b"".join((self._scope, *pack.pieces)))
        return whole(bytes_field(RESOURCE_METRICS, self._resource + scope), pack.n, snapshot)


def _writer(field: int) -> Callable[[str, str], bytes]:
    return lambda name, value: attribute(field, name, value)


def _writing(points: _otlp.Points, table: Table, field: int) -> Callable[[int], tuple[bytes, int]]:
    """Return what writes the points of a table from some row on, and says up to where."""
    sums = table.sums if table.has_sum else None
    native: Any = table.native
    if field == EXPONENTIAL:
        return lambda at: points.exponential(native, sums, at, REQUEST_BYTES)
    if field == HISTOGRAM:
        bounds = array("d", table.bounds)
        return lambda at: points.bounded(bounds, table.buckets, sums, at, REQUEST_BYTES)
    return lambda at: points.numbers(table.values, at, REQUEST_BYTES)


def taken(part: Part, answer: bytes) -> Outcome:
    """Return what a receiver's answer says of a part; it took all if that is not OTLP's."""
    try:
        found = ExportMetricsServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return Outcome()
    return Outcome(refused=min(max(found.rejected_data_points, 0), part.n))


def _outcome(part: Part, answer: Answer) -> Outcome:
    return taken(part, answer.body)


PROTOCOL: Final = Protocol(
    {"Content-Type": "application/x-protobuf", "User-Agent": "shmetrics"},
    temporary=_TEMPORARY.__contains__,
    outcome=_outcome,
)


def http_sender(settings: MetricsForward) -> HttpSender:
    """Return the sender of a destination. Raises ConfigError."""
    return HttpSender(settings, PROTOCOL)
