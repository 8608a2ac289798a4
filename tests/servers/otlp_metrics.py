# SPDX-License-Identifier: Apache-2.0
"""A strict receiver of OTLP's metrics, made of the official definitions, in this process.

It refuses what the specification forbids: https://opentelemetry.io/docs/specs/otel/metrics/data-model.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest as Request,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse as Response,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2 as proto

__all__ = ["GrpcReceiver", "Point", "points_of"]

DELTA = proto.AGGREGATION_TEMPORALITY_DELTA
KINDS = ("gauge", "sum", "histogram", "exponential_histogram")


class Point(NamedTuple):
    """A data point with what its metric says."""

    name: str
    kind: str
    unit: str
    is_delta: bool
    is_monotonic: bool
    attributes: tuple[tuple[str, str], ...]
    said: Any


def attributes_of(found: Any) -> tuple[tuple[str, str], ...]:
    """Return attributes; each may come once, and has a value."""
    pairs = [(each.key, each.value.string_value) for each in found]
    assert len(dict(pairs)) == len(pairs), f"twice: {pairs}"
    assert all(key and value for key, value in pairs)
    return tuple(sorted(pairs))


def points_of(request: Request) -> Iterator[Point]:
    """Yield all points of a request. Raises AssertionError for what is not as it has to be."""
    assert not request.DiscardUnknownFields()  # type: ignore[func-returns-value]
    for resource in request.resource_metrics:
        node = dict(attributes_of(resource.resource.attributes))
        assert node["service.name"]
        for scope in resource.scope_metrics:
            assert scope.scope.name == "shmetrics"
            for metric in scope.metrics:
                yield from _points(metric)


def _points(metric: Any) -> Iterator[Point]:
    kind = metric.WhichOneof("data")
    assert kind in KINDS
    data = getattr(metric, kind)
    assert metric.name
    assert data.data_points
    is_delta = kind != "gauge" and data.aggregation_temporality == DELTA
    assert kind == "gauge" or data.aggregation_temporality, "no temporality"
    for point in data.data_points:
        assert point.time_unix_nano > 0
        assert point.start_time_unix_nano <= point.time_unix_nano
        assert kind != "gauge" or point.start_time_unix_nano == 0
        _CHECKS.get(kind, _number)(point)
        is_monotonic = kind == "sum" and data.is_monotonic
        attributes = attributes_of(point.attributes)
        yield Point(metric.name, kind, metric.unit, is_delta, is_monotonic, attributes, point)


def _number(point: Any) -> None:
    assert point.WhichOneof("value") == "as_double"


def _histogram(point: Any) -> None:
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert sum(point.bucket_counts) == point.count
    assert all(low < high for low, high in itertools.pairwise(point.explicit_bounds))


def _exponential(point: Any) -> None:
    assert sum(point.positive.bucket_counts) + point.zero_count == point.count
    assert not point.negative.bucket_counts
    assert point.zero_threshold >= 0
    assert -10 <= point.scale <= 20


_CHECKS: dict[str, Callable[[Any], None]] = {
    "histogram": _histogram,
    "exponential_histogram": _exponential,
}


class GrpcReceiver(MetricsServiceServicer):
    """A receiver of calls of Export(); `answers` are for the next calls instead."""

    def __init__(self, credentials: Any = None, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.answers: deque[Callable[[grpc.ServicerContext], Response]] = deque()
        self.tries = 0
        self._pool = ThreadPoolExecutor(2)
        self._server = grpc.server(self._pool)
        add_MetricsServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        address = f"localhost:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self.url = f"otlp+grpc{'s' if credentials else ''}://localhost:{self.port}"
        self._server.start()

    def Export(self, request: Request, context: grpc.ServicerContext) -> Response:  # noqa: N802
        self.tries += 1
        if self.answers:
            return self.answers.popleft()(context)
        self.metadata.append(dict(context.invocation_metadata()))
        self.requests.append(request)
        return Response()

    def close(self) -> None:
        self._server.stop(0).wait()
        self._pool.shutdown()
        del self._server  # with the last of them, gRPC lets go of its descriptors
