# SPDX-License-Identifier: Apache-2.0
"""The messages of remote write by Google's runtime, which read what we write.

Those of 1.0 are Prometheus's prompb, those of 2.0 io.prometheus.write.v2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# Name, number, type; "*" behind the type: any number of them.
_HISTOGRAM: Final = (
    "count_int 1 uint64",
    "sum 3 double",
    "schema 4 sint32",
    "zero_threshold 5 double",
    "zero_count_int 6 uint64",
    "positive_spans 11 BucketSpan*",
    "positive_deltas 12 sint64*",
    "timestamp 15 int64",
)
_SPAN: Final = ("offset 1 sint32", "length 2 uint32")
_SAMPLE: Final = ("value 1 double", "timestamp 2 int64")
_V1: Final = {
    "Label": ("name 1 string", "value 2 string"),
    "Sample": _SAMPLE,
    "Exemplar": ("labels 1 Label*", "value 2 double", "timestamp 3 int64"),
    "BucketSpan": _SPAN,
    "Histogram": _HISTOGRAM,
    "TimeSeries": (
        "labels 1 Label*",
        "samples 2 Sample*",
        "exemplars 3 Exemplar*",
        "histograms 4 Histogram*",
    ),
    "MetricMetadata": (
        "type 1 uint32",
        "metric_family_name 2 string",
        "help 4 string",
        "unit 5 string",
    ),
    "WriteRequest": ("timeseries 1 TimeSeries*", "metadata 3 MetricMetadata*"),
}
_V2: Final = {
    "Sample": _SAMPLE,
    "Exemplar": ("labels_refs 1 uint32*", "value 2 double", "timestamp 3 int64"),
    "BucketSpan": _SPAN,
    "Histogram": _HISTOGRAM,
    "Metadata": ("type 1 uint32", "help_ref 3 uint32", "unit_ref 4 uint32"),
    "TimeSeries": (
        "labels_refs 1 uint32*",
        "samples 2 Sample*",
        "histograms 3 Histogram*",
        "exemplars 4 Exemplar*",
        "metadata 5 Metadata",
        "created_timestamp 6 int64",
    ),
    "Request": ("symbols 4 string*", "timeseries 5 TimeSeries*"),
}


def _message(package: str, messages: Mapping[str, Sequence[str]], root: str) -> Any:
    """Return the class of the messages of this name."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for text in fields:
            name, number, kind = text.split()
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            field = message.field.add(name=name, number=int(number), label=label)
            kind = kind.rstrip("*")
            if kind in messages:
                field.type_name = f".{package}.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{root}"))


WriteRequest: Final = _message("prometheus", _V1, "WriteRequest")
Request: Final = _message("io.prometheus.write.v2", _V2, "Request")
