# SPDX-License-Identifier: Apache-2.0
"""OTLP's metrics, as a strict receiver made of the official definitions understands them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from shmetrics.tables.table import Series, Table
from tests.servers.otlp_metrics import GrpcReceiver, Point, points_of
from tests.servers.scripted import Scripted

from .conftest import Driven
from .scraped import CREATED, Key, all_kinds, counter, histogram, scraped, wanted

CREATED_NS = int(CREATED * 1e9)


@pytest.fixture
def grpc_receiver() -> Iterator[GrpcReceiver]:
    receiver = GrpcReceiver()
    yield receiver
    receiver.close()


def http_points(peer: Scripted) -> list[Point]:
    """Return the points of all requests to an HTTP server."""
    assert {request.path for request in peer.requests} == {"/v1/metrics"}
    assert {request.headers["Content-Type"] for request in peer.requests} == {
        "application/x-protobuf"
    }
    requests = [ExportMetricsServiceRequest.FromString(each.body) for each in peer.requests]
    return [point for request in requests for point in points_of(request)]


def samples_of(points: list[Point]) -> dict[Key, float]:
    """Return the samples that Prometheus makes of points, without the node's labels."""
    found: dict[Key, float] = {}
    for point in points:
        name, labels = point.name, dict(point.attributes)
        if point.kind == "histogram":
            total = 0
            for bound, n in zip(
                (*point.said.explicit_bounds, float("inf")), point.said.bucket_counts, strict=True
            ):
                total += n
                le = "+Inf" if bound == float("inf") else repr(bound)
                found[f"{name}_bucket", tuple(sorted({**labels, "le": le}.items()))] = total
            found[f"{name}_count", point.attributes] = point.said.count
            found[f"{name}_sum", point.attributes] = point.said.sum
        else:
            suffix = "_total" if point.is_monotonic else ""
            found[name + suffix, point.attributes] = point.said.as_double
    return found


def test_every_value_is_that_of_a_scrape(driven: Callable[..., Driven], peer: Scripted) -> None:
    destinations = driven(wanted(f"otlp+{peer.url}/v1/metrics", prefix="p_"))
    time_ns = destinations.take(all_kinds())
    report = destinations.arrives()
    points = http_points(peer)
    assert samples_of(points) == {
        ("p_" + name, labels): value for (name, labels), value in scraped(all_kinds(), {}).items()
    }
    assert {point.said.time_unix_nano for point in points} == {time_ns}
    for point in points:
        begin = 0 if point.kind == "gauge" else CREATED_NS
        assert abs(point.said.start_time_unix_nano - begin) < 1000
        assert not point.is_delta
    assert {point.unit for point in points if point.kind == "histogram"} == {"s"}
    assert report.counts.sent == report.counts.put == len(points)


def test_exponential_histograms_and_exemplars_by_grpc(
    driven: Callable[..., Driven], grpc_receiver: GrpcReceiver
) -> None:
    to = wanted(grpc_receiver.url, native_histograms=True, headers={"X-Scope-OrgID": "cloud"})
    destinations = driven(to)
    destinations.take([histogram()])
    assert destinations.arrives().counts.sent == 2
    assert grpc_receiver.metadata[0]["x-scope-orgid"] == "cloud"
    (request,) = grpc_receiver.requests
    build, reboot = (point.said for point in points_of(request))
    # Prometheus's bucket i has an upper bound, OTLP's a lower one: bucket -4 + 2 is OTLP's -3.
    assert (build.scale, build.positive.offset) == (3, -3)
    assert list(build.positive.bucket_counts) == [3, 1, 0, 0, 0, 0, 0, 2]
    assert (build.count, build.sum, build.zero_threshold) == (6, 9.125, 2.0**-5)
    (exemplar,) = build.exemplars
    assert (exemplar.trace_id, exemplar.span_id) == (b"\x01" * 16, b"\x02" * 8)
    assert (exemplar.as_double, exemplar.time_unix_nano) == (0.75, 1_600_000_001_500_000_000)
    assert (reboot.count, list(reboot.positive.bucket_counts)) == (0, [])


def test_deltas_add_up_to_totals(driven: Callable[..., Driven], peer: Scripted) -> None:
    to = wanted(f"otlp+{peer.url}/v1/metrics", delta=True)
    destinations = driven(to, begin_ns=int(CREATED - 10) * 10**9)
    series = Series(("topic",), [("a",), ("b",)])
    begin_ns = destinations.time_ns
    times = []
    for values in ((5, 2.5), (7, 2.5), (7, 9)):
        times.append(destinations.take([counter(values=values, series=series)]))
        destinations.arrives()
    points = http_points(peer)
    assert all(point.is_delta for point in points)
    assert [point.said.as_double for point in points] == [5, 2.5, 2, 0, 0, 6.5]
    starts = [point.said.start_time_unix_nano for point in points[::2]]
    assert all(
        abs(start - end) < 1000 for start, end in zip(starts, (begin_ns, *times), strict=False)
    )


def test_a_partial_success_is_counted(driven: Callable[..., Driven], peer: Scripted) -> None:
    response = ExportMetricsServiceResponse()
    response.partial_success.rejected_data_points = 2
    peer.takes = lambda request: response.SerializeToString()
    destinations = driven(wanted(f"otlp+{peer.url}/v1/metrics"))
    destinations.take(all_kinds())
    counts = destinations.arrives().counts
    assert (counts.put, counts.sent, counts.lost) == (10, 8, {"refused": 2})


def test_many_points_are_several_requests(driven: Callable[..., Driven], peer: Scripted) -> None:
    destinations = driven(wanted(f"otlp+{peer.url}/v1/metrics", native_histograms=True))
    many = Series(("n",), [(str(n),) for n in range(50_000)])
    table = Table("many", "counter", "", many, values=np.arange(50_000.0))
    destinations.take([table, histogram()])
    assert destinations.arrives().counts.sent == 50_002
    points = http_points(peer)
    values: list[Any] = sorted(point.said.as_double for point in points if point.kind == "sum")
    assert values == list(range(50_000))
    assert len(peer.requests) > 1
    assert max(len(request.body) for request in peer.requests) < 4 << 20
