# SPDX-License-Identifier: Apache-2.0
"""The usual Python way to send metrics on: the libraries that people use, without the network.

Each function prepares what a library needs and returns what encodes it all once. Remote write has
no library of its own: messages are made with Google's runtime, as the clients in use do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

Encode = Callable[[], int]
STAMP_MS: Final = 1_800_000_000_000


def bridge(count: int) -> Encode:
    """prometheus_client's bridge to Graphite, with a socket that only counts."""
    import prometheus_client
    from prometheus_client.bridge import graphite

    from benchmarks.prometheus_service import count_calls

    library: Any = prometheus_client
    library.disable_created_metrics()  # these would be gauges of their own
    count_calls(library, count)
    sent: list[int] = []

    class Counting:
        def create_connection(self, *_: object) -> Counting:
            return self

        def sendall(self, data: bytes) -> None:
            sent.append(len(data))

        def close(self) -> None: ...

    graphite.socket = Counting()  # type: ignore[attr-defined,assignment]
    pushed = graphite.GraphiteBridge(("127.0.0.1", 1), tags=True)

    def encode() -> int:
        pushed.push()
        return sent.pop()

    return encode


def dogstatsd(tables: Sequence[Any]) -> Encode:
    """datadog's client, with buffering, one call per sample; its socket only counts."""
    from datadog.dogstatsd.base import DogStatsd

    sent: list[int] = []

    class Counting(DogStatsd):
        def _xmit_packet(self, packet: str, *_: Any, **__: Any) -> bool:
            sent.append(len(packet))
            return True

    client = Counting(disable_telemetry=True, disable_buffering=False, flush_interval=0)
    samples = [
        (name, value, [f"{key}:{text}" for key, text in labels.items()])
        for name, labels, value in _samples(tables)
    ]

    def encode() -> int:
        for name, value, tags in samples:
            client.increment(name, value, tags)
        client.flush()
        return sum(sent)

    return encode


def remote_write(tables: Sequence[Any]) -> Encode:
    """A WriteRequest of native histograms by Google's runtime, compressed."""
    import cramjam

    from tests.destinations.metrics.write_model import WriteRequest

    def encode() -> int:
        request = WriteRequest()
        for table in tables:
            name = table.full_name
            for row, values in enumerate(table.series.values[: len(table)]):
                series = request.timeseries.add()
                labels = {"__name__": name, **dict(zip(table.series.names, values, strict=True))}
                for key in sorted(labels):
                    series.labels.add(name=key, value=labels[key])
                if table.native is None:
                    series.samples.add(value=float(table.values[row]), timestamp=STAMP_MS)
                else:
                    _add_histogram(series, table, row)
        return len(cramjam.snappy.compress_raw(request.SerializeToString()))

    return encode


def otlp(tables: Sequence[Any]) -> Encode:
    """OpenTelemetry's exporter: the data points of its SDK as messages."""
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
    from opentelemetry.sdk.metrics import export
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    def attributes(table: Any, row: int) -> dict[str, str]:
        return dict(zip(table.series.names, table.series.values[row], strict=True))

    def number(table: Any, row: int) -> Any:
        time_ns = STAMP_MS * 10**6
        value = float(table.values[row])
        return export.NumberDataPoint(attributes(table, row), 0, time_ns, value)

    def histogram(table: Any, row: int) -> Any:
        counts = table.native.counts[row].tolist()
        return export.ExponentialHistogramDataPoint(
            attributes(table, row),
            0,
            STAMP_MS * 10**6,
            sum(counts),
            float(table.sums[row]),
            table.native.schema,
            0,
            export.Buckets(table.native.first - 1, counts),
            export.Buckets(0, []),
            0,
            0.0,
            0.0,
        )

    total = export.AggregationTemporality.CUMULATIVE
    metrics = []
    for table in tables:
        if table.native is None:
            data: Any = export.Sum([number(table, row) for row in range(len(table))], total, True)
        else:
            points = [histogram(table, row) for row in range(len(table))]
            data = export.ExponentialHistogram(points, total)
        metrics.append(export.Metric(table.name, table.help, table.unit, data))
    scope = export.ScopeMetrics(InstrumentationScope("benchmark"), metrics, "")
    found = export.MetricsData([export.ResourceMetrics(Resource({}), [scope], "")])
    return lambda: len(encode_metrics(found).SerializeToString())


def _samples(tables: Sequence[Any]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, labels and number of all samples, without counts and sums of empty buckets."""
    from shmetrics.destinations.metrics.columns import columns

    for table in tables:
        for column in columns(table):
            le = {"le": column.le} if column.le else {}
            for row, value in enumerate(column.values.tolist()):
                yield column.name, table.series.labels(row) | le, value


def _add_histogram(series: Any, table: Any, row: int) -> None:
    native = table.native
    counts = native.counts[row]
    histogram = series.histograms.add(
        count_int=int(counts.sum()),
        sum=float(table.sums[row]),
        schema=native.schema,
        zero_threshold=native.zero_threshold,
        zero_count_int=int(native.zeros[row]),
        timestamp=STAMP_MS,
    )
    used = np.flatnonzero(counts)
    before, last = 0, -1
    for place in used.tolist():
        if last < 0 or place != last + 1:
            offset = native.first + place if last < 0 else place - last - 1
            histogram.positive_spans.add(offset=offset, length=1)
        else:
            histogram.positive_spans[-1].length += 1
        count = int(counts[place])
        histogram.positive_deltas.append(count - before)
        before, last = count, place
