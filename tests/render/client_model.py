# SPDX-License-Identifier: Apache-2.0
"""Tables as protocol buffers by Google's runtime: slow, and each line says what it means.

The messages are those of client_model's metrics.proto, as far as we write them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.proto import parse_length_prefixed, serialize_length_prefixed

from shmetrics.tables.table import Native, Table

TIME_ENDS = 253402300800.0
TYPES = ("COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM", "GAUGE_HISTOGRAM")
# Name, number, type; "*" behind the type: any number of them.
MESSAGES = {
    "LabelPair": ("name 1 string", "value 2 string"),
    "Gauge": ("value 1 double",),
    "Counter": ("value 1 double", "exemplar 2 Exemplar", "created_timestamp 3 Timestamp"),
    "Untyped": ("value 1 double",),
    "Histogram": (
        "sample_count 1 uint64",
        "sample_sum 2 double",
        "bucket 3 Bucket*",
        "schema 5 sint32",
        "zero_threshold 6 double",
        "zero_count 7 uint64",
        "positive_span 12 BucketSpan*",
        "positive_delta 13 sint64*",
        "created_timestamp 15 Timestamp",
        "exemplars 16 Exemplar*",
    ),
    "Bucket": ("cumulative_count 1 uint64", "upper_bound 2 double", "exemplar 3 Exemplar"),
    "BucketSpan": ("offset 1 sint32", "length 2 uint32"),
    "Exemplar": ("label 1 LabelPair*", "value 2 double", "timestamp 3 Timestamp"),
    "Metric": (
        "label 1 LabelPair*",
        "gauge 2 Gauge",
        "counter 3 Counter",
        "untyped 5 Untyped",
        "histogram 7 Histogram",
    ),
    "MetricFamily": (
        "name 1 string",
        "help 2 string",
        "type 3 MetricType",
        "metric 4 Metric*",
        "unit 5 string",
    ),
}


def _metric_family() -> Any:
    """Return the class of MetricFamily messages."""
    file = descriptor_pb2.FileDescriptorProto(
        name="metrics.proto", package="io.prometheus.client", syntax="proto2"
    )
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    types = file.enum_type.add(name="MetricType")
    for place, name in enumerate(TYPES):
        types.value.add(name=name, number=place)
    field_types = descriptor_pb2.FieldDescriptorProto
    for message_name, fields in MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for text in fields:
            name, number, type_ = text.split()
            field = message.field.add(name=name, number=int(number), label=1)
            if type_.endswith("*"):
                type_, field.label = type_[:-1], field_types.LABEL_REPEATED
            if type_ == "Timestamp":
                field.type_name = ".google.protobuf.Timestamp"
            elif type_ in MESSAGES or type_ == "MetricType":
                field.type_name = f".io.prometheus.client.{type_}"
            else:
                field.type = getattr(field_types, f"TYPE_{type_.upper()}")
            if message_name == "Histogram" and type_ == "sint64":
                field.options.packed = True  # either is read by all; this one is shorter
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("io.prometheus.client.MetricFamily")
    )


MetricFamily = _metric_family()


def parse(body: bytes) -> list[Any]:
    """Return the messages of an exposition, each read to its end."""
    stream = io.BytesIO(body)
    families = []
    while stream.tell() < len(body):
        families.append(parse_length_prefixed(MetricFamily, stream))
    return families


def render(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> bytes:
    """Return the same as shmetrics.render.protobuf.render, made by the runtime of protobuf."""
    stream = io.BytesIO()
    for message in families(tables, constant_labels):
        serialize_length_prefixed(message, stream)
    return stream.getvalue()


def families(tables: Iterable[Table], constant_labels: Mapping[str, str]) -> Iterator[Any]:
    """Yield a message per table that has series."""
    for table in tables:
        if len(table) == 0:
            continue
        suffix = {"counter": "_total", "info": "_info"}.get(table.kind, "")
        family = MetricFamily(name=table.name + suffix, help=table.help)
        kind = {"info": "gauge", "unknown": "untyped"}.get(table.kind, table.kind)
        family.type = TYPES.index(kind.upper())
        if table.unit:
            family.unit = table.unit
        for row in range(len(table)):
            metric = family.metric.add()
            labels = {**constant_labels, **table.series.labels(row)}
            for name in sorted(labels):
                metric.label.add(name=name, value=labels[name])
            if table.kind == "histogram":
                _histogram(metric.histogram, table, row)
            elif table.kind == "counter":
                metric.counter.value = float(table.values[row])
                for _, exemplar in _exemplars(table, row):
                    _exemplar(metric.counter.exemplar, exemplar)
                _created(metric.counter, table, row)
            elif table.kind == "unknown":
                metric.untyped.value = float(table.values[row])
            else:
                metric.gauge.value = float(table.values[row])
        yield family


def _histogram(histogram: Any, table: Table, row: int) -> None:
    counts = np.cumsum(table.buckets[row], dtype=np.uint64).tolist()
    for bound, count in zip((*table.bounds, np.inf), counts, strict=True):
        histogram.bucket.add(cumulative_count=count, upper_bound=bound)
    histogram.sample_count = counts[-1]
    histogram.sample_sum = float(table.sums[row])
    _created(histogram, table, row)
    for bucket, exemplar in _exemplars(table, row):
        _exemplar(histogram.bucket[bucket].exemplar, exemplar)
    if table.native is not None:
        _native(histogram, table.native, row)
        for _, exemplar in _exemplars(table, row):
            _exemplar(histogram.exemplars.add(), exemplar)


def _native(histogram: Any, native: Native, row: int) -> None:
    histogram.schema = native.schema
    histogram.zero_threshold = native.zero_threshold
    histogram.zero_count = int(native.zeros[row])
    filled = {native.first + c: int(n) for c, n in enumerate(native.counts[row]) if n}
    last_index, last_count = 0, 0
    for index in sorted(filled):
        if histogram.positive_span and index - last_index <= 2:
            missing = range(last_index, index)
            histogram.positive_span[-1].length += len(missing) + 1
        else:
            missing = range(0)
            histogram.positive_span.add(offset=index - last_index, length=1)
        for count in (*(0 for _ in missing), filled[index]):
            delta = (count - last_count + 2**63) % 2**64 - 2**63
            histogram.positive_delta.append(delta)
            last_count = count
        last_index = index + 1
    if not filled and not native.zero_threshold > 0:
        histogram.positive_span.add()


def _exemplars(table: Table, row: int) -> list[tuple[int, Any]]:
    """Return exemplars, each with its bucket."""
    found = table.exemplars[table.exemplars["row"] == row]
    return [(int(exemplar["bucket"]), exemplar) for exemplar in found]


def _exemplar(message: Any, exemplar: Any) -> None:
    if exemplar["span"].any():
        message.label.add(name="span_id", value=exemplar["span"].tobytes().hex())
    message.label.add(name="trace_id", value=exemplar["trace"].tobytes().hex())
    message.value = float(exemplar["value"])
    seconds, nanos = divmod(int(exemplar["stamp_ns"]), 10**9)
    message.timestamp.seconds, message.timestamp.nanos = seconds, nanos


def _created(counted: Any, table: Table, row: int) -> None:
    if table.created is not None and 0 <= (time := float(table.created[row])) < TIME_ENDS:
        counted.created_timestamp.seconds = int(time)
        counted.created_timestamp.nanos = int((time - int(time)) * 1e9)
