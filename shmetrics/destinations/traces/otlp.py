# SPDX-License-Identifier: Apache-2.0
"""Spans as OTLP's messages, by its official definitions (opentelemetry-proto).

OSProfiler's base id is the 16 bytes of the trace id. The span id is the last 8 bytes of
OSProfiler's id, as all of OSProfiler's tools shorten it. An outermost span, whose parent is the
trace itself, has no parent in OTLP.

OpenTelemetry's SDK and exporters are not used: they make spans with new ids and the current time,
report success or failure and nothing else, and wait without a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as proto

from shmetrics.forwarding.sender import Outcome
from shmetrics.traces.reader import StoredSpan
from shmetrics.version import __version__

MOST_ATTRIBUTES: Final = 128  # the default of the SDKs
DEEPEST: Final = 4  # deeper dictionaries, and lists of other than plain values, become JSON text

# Kinds by the name of a span, as OSProfiler's own driver for OTLP has them.
_CLIENT, _SERVER = proto.Span.SPAN_KIND_CLIENT, proto.Span.SPAN_KIND_SERVER
_KINDS: Final = {
    "wsgi": _SERVER,
    **dict.fromkeys(("db", "neutron.db", "http", "requests", "redis", "mongodb"), _CLIENT),
}
_ERROR_KEYS: Final = ("etype", "message")


def request(spans: Sequence[StoredSpan]) -> tuple[ExportTraceServiceRequest, Outcome]:
    """Return the message for a batch of spans, grouped by service, project and host.

    Returns:
        The message, and an outcome that counts the spans that cannot be expressed in it. These are
        left out, so that the others arrive.
    """
    message = ExportTraceServiceRequest()
    scopes: dict[tuple[str, str, str], proto.ScopeSpans] = {}
    outcome = Outcome()
    for span in spans:
        key = span.service, span.project, span.host
        try:
            made = _span(span)
            if key not in scopes:
                scopes[key] = _scope(message, _resource(*key))
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            outcome = outcome._replace(failed=outcome.failed + 1, why=why)
        else:
            scopes[key].spans.append(made)
    return message, outcome


def _scope(message: ExportTraceServiceRequest, resource: Resource) -> proto.ScopeSpans:
    """Add a resource to a message, and return the list for its spans."""
    scope = message.resource_spans.add(resource=resource).scope_spans.add()
    scope.scope.name, scope.scope.version = "shmetrics", __version__
    return scope


def _resource(service: str, project: str, host: str) -> Resource:
    said = {"service.name": service or "unknown_service"}
    said |= {"service.namespace": project} if project else {}
    said |= {"host.name": host} if host else {}
    return Resource(attributes=[_attribute(*pair) for pair in said.items()])


def _span(span: StoredSpan) -> proto.Span:
    if not any(span.trace) or not any(short(span.id)):
        raise ValueError("an id of zeros, which OTLP calls invalid")
    start_ns = span.stop_ns if span.start_ns is None else span.start_ns
    stop_ns = start_ns if span.stop_ns is None else span.stop_ns
    made = proto.Span(
        trace_id=span.trace,
        span_id=short(span.id),
        parent_span_id=b"" if span.parent == span.trace else short(span.parent),
        name=span.name,
        kind=_kind(span),
        start_time_unix_nano=start_ns or 0,
        end_time_unix_nano=max(stop_ns or 0, start_ns or 0),
    )
    said = [*_marks(span), *_flat(span.start_info)]
    said += _flat({key: value for key, value in span.stop_info.items() if key not in _ERROR_KEYS})
    attributes = list(dict(said).items())
    made.attributes.extend(_attribute(*pair) for pair in attributes[:MOST_ATTRIBUTES])
    made.dropped_attributes_count = max(len(attributes) - MOST_ATTRIBUTES, 0)
    if span.exception is not None:
        _fail(made, span.exception, str(span.stop_info.get("message", "")))
    return made


def _kind(span: StoredSpan) -> proto.Span.SpanKind.ValueType:
    """Return the kind of a span. A map of services needs a client with a server below it."""
    about = span.start_info.get("rpc")
    if isinstance(about, dict):  # the driver's span; only a client's has the type of the call
        return _CLIENT if "call_type" in about else _SERVER
    return _KINDS.get(span.name, proto.Span.SPAN_KIND_INTERNAL)


def short(id: bytes) -> bytes:
    """Return the 8 bytes of a span id in OTLP for the 16 bytes of OSProfiler's."""
    return id[8:]


def _marks(span: StoredSpan) -> Iterator[tuple[str, Any]]:
    """Yield attributes that say what is missing of a span."""
    if span.start_ns is None:
        yield "shmetrics.state", "start missing"
    if span.stop_ns is None:
        yield "shmetrics.state", "process died"
    if span.is_cut:
        yield "shmetrics.is_cut", True


def _fail(made: proto.Span, kind: str, text: str) -> None:
    """Add an error to a span, by https://opentelemetry.io/docs/specs/otel/trace/exceptions."""
    made.status.code = proto.Status.STATUS_CODE_ERROR
    made.status.message = f"{kind}: {text}" if text else kind
    event = made.events.add(name="exception", time_unix_nano=made.end_time_unix_nano)
    event.attributes.append(_attribute("exception.type", kind))
    event.attributes.append(_attribute("exception.message", text))


def _flat(info: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of nested dictionaries, with keys like `db.statement`."""
    for key, value in info.items():
        if isinstance(value, dict) and depth < DEEPEST:
            yield from _flat(value, f"{prefix}{key}.", depth + 1)
        else:
            yield f"{prefix}{key}", value


def _attribute(key: str, value: Any) -> KeyValue:
    if isinstance(value, list) and all(map(_is_plain, value)):
        return KeyValue(
            key=key, value=AnyValue(array_value=ArrayValue(values=[_any(each) for each in value]))
        )
    return KeyValue(key=key, value=_any(value))


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (dict, list))


def _any(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if value is None:
        return AnyValue()
    return AnyValue(string_value=msgspec.json.encode(value).decode())
