# SPDX-License-Identifier: Apache-2.0
"""Spans as OTLP's messages: ids, times, names, what is known of them, what is wrong."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2 as proto
from osprofiler import _utils

from shmetrics.destinations.traces import otlp
from shmetrics.forwarding.sender import Outcome
from shmetrics.traces.info import DEEPEST
from shmetrics.traces.reader import StoredSpan
from tests.servers.otlp import attributes_of, spans_of

from .conftest import id_of, span


def made(**more: Any) -> proto.Span:
    (found,) = spans_of([requested(span(**more))])
    return found


def requested(*spans: StoredSpan) -> ExportTraceServiceRequest:
    """Return the request for spans, and check that OTLP can express all of them."""
    message, outcome = otlp.request(spans)
    assert outcome == Outcome()
    return message


@given(st.uuids(), st.uuids(), st.uuids())
def test_ids_are_those_of_osprofilers_own_driver(
    trace: uuid.UUID, id: uuid.UUID, parent: uuid.UUID
) -> None:
    found = made(trace=trace.bytes, id=id.bytes, parent=parent.bytes)
    assert int.from_bytes(found.trace_id, "big") == _utils.uuid_to_int128(str(trace))
    assert int.from_bytes(found.span_id, "big") == _utils.shorten_id(str(id))
    shorter = 0 if parent == trace else _utils.shorten_id(str(parent))
    assert int.from_bytes(found.parent_span_id, "big") == shorter
    assert len(found.trace_id) == 16
    assert len(found.span_id) == 8


def test_what_is_outermost_has_no_parent() -> None:
    assert made().parent_span_id == b""
    assert made(parent=id_of(7)).parent_span_id == id_of(7)[8:]


def test_times_are_those_of_the_span() -> None:
    found = made(start_ns=5, stop_ns=9)
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (5, 9)
    assert "shmetrics.state" not in attributes_of(found)


@pytest.mark.parametrize(
    ("start_ns", "stop_ns", "times", "state"),
    [
        (None, 9, (9, 9), "start missing"),
        (5, None, (5, 5), "process died"),
        (9, 5, (9, 9), None),  # a clock that was set
    ],
)
def test_what_is_not_whole_says_so(
    start_ns: int | None, stop_ns: int | None, times: tuple[int, int], state: str | None
) -> None:
    found = made(start_ns=start_ns, stop_ns=stop_ns, is_cut=state is not None)
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == times
    assert attributes_of(found).get("shmetrics.state") == state
    assert attributes_of(found).get("shmetrics.is_cut") == (True if state else None)


def test_a_failure_is_a_status_and_an_event() -> None:
    found = made(exception="DiskFull", stop_info={"etype": "DiskFull", "message": "no space"})
    assert found.status.code == proto.Status.STATUS_CODE_ERROR
    assert found.status.message == "DiskFull: no space"
    (event,) = found.events
    assert event.name == "exception"
    assert event.time_unix_nano == found.end_time_unix_nano
    assert attributes_of(event) == {"exception.type": "DiskFull", "exception.message": "no space"}
    assert attributes_of(found) == {}
    assert made().status.code == proto.Status.STATUS_CODE_UNSET


def test_what_is_known_is_attributes_by_dotted_names() -> None:
    found = made(
        start_info={"db": {"statement": "SELECT ü", "params": [1, None, "x"]}, "host": "a"},
        stop_info={"db": {"rows": 3, "took": 0.5, "ok": True}, "deep": {"a": {"b": {"c": {}}}}},
    )
    said = attributes_of(found)
    assert [value.WhichOneof("value") for value in said.pop("db.params").values] == [
        *("int_value", None, "string_value"),
    ]
    assert said == {
        "db.statement": "SELECT ü",
        "host": "a",
        "db.rows": 3,
        "db.took": 0.5,
        "db.ok": True,
        "deep.a.b.c": "{}",
    }


scalars = st.none() | st.booleans() | st.integers(-(2**66), 2**66) | st.text(max_size=5)
infos = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=20,
    ),
    max_size=4,
)


@given(infos, infos)
def test_whatever_is_known_makes_a_message(start: dict[str, Any], stop: dict[str, Any]) -> None:
    def text(info: dict[str, Any]) -> str:
        return json.dumps(info)

    request = requested(span(start_info=text(start), stop_info=text(stop)))
    assert ExportTraceServiceRequest.FromString(request.SerializeToString()) == request


def test_depth_and_number_are_bounded() -> None:
    depth = DEEPEST - 1
    deep: Any = "x"
    for _ in range(depth):
        deep = [deep]
    many = dict.fromkeys(map(str, range(300)))
    request = requested(span(start_info={"deep": deep, "many": many}))
    (found,) = spans_of([ExportTraceServiceRequest.FromString(request.SerializeToString())])
    assert len(found.attributes) == otlp.MOST_ATTRIBUTES
    assert found.dropped_attributes_count == 301 - otlp.MOST_ATTRIBUTES
    assert attributes_of(found)["deep"] == "[" * depth + '"x"' + "]" * depth


def test_a_resource_for_each_service_and_host() -> None:
    request = requested(
        *(span(1), span(2, host="other"), span(3), span(4, service="", project="", host=""))
    )
    found = [
        (attributes_of(one.resource), [each.span_id[-1] for each in one.scope_spans[0].spans])
        for one in request.resource_spans
    ]
    nova = {"service.name": "nova", "service.namespace": "p"}
    assert found == [
        ({**nova, "host.name": "h"}, [1, 3]),
        ({**nova, "host.name": "other"}, [2]),
        ({"service.name": "unknown_service"}, [4]),
    ]


@pytest.mark.parametrize(
    ("name", "info", "kind"),
    [
        ("wsgi", {}, proto.Span.SPAN_KIND_SERVER),
        ("db", {"db": {}}, proto.Span.SPAN_KIND_CLIENT),
        ("rpc", {"rpc": {"call_type": "cast", "method": "build"}}, proto.Span.SPAN_KIND_CLIENT),
        ("rpc", {"rpc": {"method": "build"}}, proto.Span.SPAN_KIND_SERVER),
        ("rpc", {"function": {"name": "build"}}, proto.Span.SPAN_KIND_INTERNAL),
        ("rpc", {"rpc": "text"}, proto.Span.SPAN_KIND_INTERNAL),
    ],
)
def test_kinds(name: str, info: dict[str, Any], kind: int) -> None:
    assert made(name=name, start_info=info).kind == kind


def nested(depth: int) -> dict[str, Any]:
    deep: Any = None
    for _ in range(depth):
        deep = [deep]
    return {"x": deep}


@pytest.mark.parametrize(
    "bad",
    [
        {"start_info": nested(100_000)},  # the reader would have let none of these by
        {"start_info": {"x": "\ud800"}},
        {"start_info": {"x": object()}},
        {"name": "\ud800"},
        {"service": "\ud800"},
        {"start_ns": -1},
        {"stop_ns": 2**64},
        {"id": bytes(16)},
        {"id": b"12345678" + bytes(8)},
        {"trace": bytes(16)},
    ],
)
def test_what_cannot_be_said_is_left_out_alone(bad: dict[str, Any]) -> None:
    good = [span(number) for number in range(1, 6)]
    odd = span(9)._replace(**bad)
    message, outcome = otlp.request([*good[:2], odd, *good[2:], odd])
    assert (outcome.refused, outcome.failed, bool(outcome.why)) == (0, 2, True)
    assert [found.span_id for found in spans_of([message])] == [each.id[8:] for each in good]
    assert len(message.resource_spans) == 1
