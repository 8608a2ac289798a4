# SPDX-License-Identifier: Apache-2.0
"""Every format, read back by the runtime of its protocol: the samples of a scrape, of any table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import cramjam
from hypothesis import given, settings
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from shmetrics.destinations.metrics.elasticsearch import Elasticsearch
from shmetrics.destinations.metrics.encoder import Encoder
from shmetrics.destinations.metrics.graphite import Graphite
from shmetrics.destinations.metrics.otlp import Otlp
from shmetrics.destinations.metrics.remote_write import RemoteWrite
from shmetrics.destinations.metrics.snapshot import Additions, Selection, Snapshot
from shmetrics.tables.table import Table
from tests.render.strategies import constant_labels, tables

from .scraped import Key, finite, scraped
from .write_model import WriteRequest

TIME_NS = 1_700_000_000_250_000_000


def encoded(encoder: Encoder, table: Table) -> tuple[list[bytes], int, int]:
    """Return what is sent of a table, how many series that is, and how many do not fit."""
    snapshot = Snapshot.of([table], TIME_NS, 0.0).only(Selection(["*"]))
    found = encoder.encode(snapshot)
    contents = [part.content for part in found.parts]
    return contents, sum(part.n for part in found.parts), found.n_unfit


def additions(labels: Mapping[str, str]) -> Additions:
    return Additions.of("", labels)


def same(found: Mapping[Key, float], wanted: Mapping[Key, float]) -> bool:
    """Return whether samples are the same, NaN among them."""
    return sorted(map(repr, found.items())) == sorted(
        repr((key, float(value))) for key, value in wanted.items()
    )


def series_of(contents: list[bytes]) -> Iterator[tuple[str, dict[str, str], Any]]:
    """Yield name, labels and message of each series of remote write; labels are sorted."""
    for content in contents:
        request = WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(content)))
        for series in request.timeseries:
            pairs = [(label.name, label.value) for label in series.labels]
            assert pairs == sorted(pairs)
            labels = dict(pairs)
            assert len(labels) == len(pairs)
            assert all(labels.values())
            yield labels.pop("__name__"), labels, series


@given(tables(), constant_labels)
@settings(max_examples=200)
def test_remote_write(table: Table, constants: dict[str, str]) -> None:
    contents, n, n_unfit = encoded(RemoteWrite(additions(constants)), table)
    found: dict[Key, float] = {}
    n_exemplars = 0
    for name, labels, series in series_of(contents):
        (sample,) = series.samples
        assert sample.timestamp == TIME_NS // 10**6
        found[name, tuple(sorted(labels.items()))] = sample.value
        n_exemplars += len(series.exemplars)
        assert len(series.exemplars) <= 1
        if table.kind == "histogram" and series.exemplars:
            assert name == f"{table.name}_bucket"
    assert same(found, scraped([table], constants))
    assert (n, n_unfit) == (len(found), 0)
    assert n_exemplars == (len(table.exemplars) if table.kind in ("counter", "histogram") else 0)


@given(tables(kinds=("histogram",)))
@settings(max_examples=200)
def test_native_histograms(table: Table) -> None:
    contents, n, _ = encoded(RemoteWrite(additions({}), native=True), table)
    if table.native is None or not len(table):
        return
    all_series = list(series_of(contents))
    assert n == len(all_series) == len(table)
    for row, (name, labels, series) in enumerate(all_series):
        assert name == table.name
        assert labels == {k: v for k, v in table.series.labels(row).items() if v}
        (histogram,) = series.histograms
        wanted = table.native.counts[row].tolist()
        zeros = int(table.native.zeros[row])
        assert histogram.count_int == (sum(wanted) + zeros) % 2**64
        assert (histogram.schema, histogram.zero_count_int) == (table.native.schema, zeros)
        found = dict.fromkeys(range(len(wanted)), 0)
        place, count, deltas = -table.native.first, 0, list(histogram.positive_deltas)
        for span in histogram.positive_spans:
            place += span.offset
            for _ in range(span.length):
                count = (count + deltas.pop(0)) % 2**64
                found[place] = count
                place += 1
        assert not deltas
        assert list(found.values()) == wanted


@given(tables(), constant_labels)
@settings(max_examples=200)
def test_otlp(table: Table, constants: dict[str, str]) -> None:
    contents, n, _ = encoded(Otlp(additions(constants), 0), table)
    found: dict[Key, float] = {}
    n_points = 0
    for content in contents:
        (resource,) = ExportMetricsServiceRequest.FromString(content).resource_metrics
        said = {each.key: each.value.string_value for each in resource.resource.attributes}
        assert said == {"service.name": "shmetrics", **constants}
        for metric in resource.scope_metrics[0].metrics:
            data = getattr(metric, str(metric.WhichOneof("data")))
            for point in data.data_points:
                n_points += 1
                labels = {each.key: each.value.string_value for each in point.attributes}
                found.update(_samples(table, metric, point, labels))
    assert same(found, scraped([table], {}))
    assert n == n_points == len(table)


def _samples(
    table: Table, metric: Any, point: Any, labels: dict[str, str]
) -> Iterator[tuple[Key, float]]:
    """Yield the samples of a point."""

    def key(suffix: str, **more: str) -> Key:
        return metric.name + suffix, tuple(sorted({**labels, **more}.items()))

    if table.kind != "histogram":
        yield key("_total" if table.kind == "counter" else ""), point.as_double
        return
    assert tuple(point.explicit_bounds) == table.bounds
    total = 0
    les = [le for (name, pairs) in scraped([table], {}) for n, le in pairs if n == "le"]
    for le, count in zip(dict.fromkeys(les), point.bucket_counts, strict=True):
        total = (total + count) % 2**64
        yield key("_bucket", le=le), float(total)
    yield key("_count"), float(point.count)
    assert point.HasField("sum") == table.has_sum
    if table.has_sum:
        yield key("_sum"), point.sum


@given(tables(), constant_labels)
@settings(max_examples=200)
def test_graphite(table: Table, constants: dict[str, str]) -> None:
    contents, n, n_unfit = encoded(Graphite(additions(constants)), table)
    found: dict[Key, float] = {}
    for line in b"".join(contents).decode("ascii").splitlines():
        path, value, stamp = line.split(" ")
        assert stamp == str(TIME_NS // 10**9)
        name, *tags = path.split(";")
        pairs = [tag.split("=", 1) for tag in tags]
        labels = [(key, _unescaped(value)) for key, value in pairs]
        found[name, tuple(sorted(labels))] = float(value)
    wanted = scraped([table], constants)
    assert same(found, finite(wanted))
    assert (n, n_unfit) == (len(found), len(wanted) - len(found))


def _unescaped(text: str) -> str:
    raw = re.sub(rb"%(..)", lambda found: bytes((int(found[1], 16),)), text.encode())
    return raw.decode()


@given(tables(), constant_labels)
@settings(max_examples=100)
def test_elasticsearch(table: Table, constants: dict[str, str]) -> None:

    contents, n, _ = encoded(Elasticsearch(additions(constants)), table)
    found: dict[Key, float] = {}
    lines = b"".join(contents).decode().split("\n")[:-1]
    for action, line in zip(lines[::2], lines[1::2], strict=True):
        assert json.loads(action) == {"create": {}}
        document = json.loads(line)
        assert document["@timestamp"] == "2023-11-14T22:13:20.250Z"
        le = {"le": document["le"]} if "le" in document else {}
        key = document["metric"], tuple(sorted({**document["labels"], **le}.items()))
        found[key] = float(document["value"])
    assert same(found, finite(scraped([table], constants)))
    assert n == len(found)
