# SPDX-License-Identifier: Apache-2.0
"""The payloads of notifications: taken as they are, or refused with a reason, and never trusted."""

from __future__ import annotations

import tempfile
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.sources.notifications import payload as module
from shmetrics.sources.notifications.payload import Refused, event_of
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.store import TraceStore

NOW_NS = 1_700_000_000 * 10**9
GOOD: dict[str, Any] = {
    "name": "wsgi-start",
    "trace_id": str(uuid.UUID(int=1)),
    "base_id": str(uuid.UUID(int=2)),
    "parent_id": str(uuid.UUID(int=3)),
    "timestamp": "2020-09-13T12:26:40.000123",
    "info": {"host": "own", "request": {"path": "/"}},
    "service": "api",
    "project": "nova",
}


def test_what_osprofiler_says_is_taken() -> None:
    assert event_of(GOOD, "node-1", NOW_NS) == SpanEvent(
        True,
        uuid.UUID(int=1).bytes,
        uuid.UUID(int=2).bytes,
        uuid.UUID(int=3).bytes,
        "wsgi",
        "api",
        "nova",
        "node-1",
        1_600_000_000_000_123_000,
        GOOD["info"],
        "",
        0,
    )


@pytest.mark.parametrize("now_ns", [0, 3600 * 10**9, module.UNSET_NS - 1])
def test_a_clock_of_ours_that_has_not_been_set_refuses_nobody(now_ns: int) -> None:
    """Check a machine that says 1970, because it does not know the time yet."""
    assert event_of(GOOD, "node-1", now_ns).unix_ns == 1_600_000_000_000_123_000


def test_what_may_be_left_out() -> None:
    sparse = {**GOOD, "name": "a-b-stop", "service": None, "project": None, "info": None}
    event = event_of(sparse, None, NOW_NS)
    assert (event.is_start, event.name) == (False, "a-b")
    assert (event.service, event.project, event.host, event.info) == ("", "", "", {})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "wsgi"}, "bad_name"),
        ({"name": "-stop"}, "bad_name"),
        ({"name": None}, "bad_name"),
        ({"name": ["x-stop"]}, "bad_name"),
        ({"name": "x" * 300 + "-stop"}, "bad_name"),
        ({"name": "\ud800-stop"}, "bad_name"),
        ({"trace_id": "17"}, "bad_id"),
        ({"base_id": None}, "bad_id"),
        ({"parent_id": 3}, "bad_id"),
        ({"parent_id": "{" + str(uuid.UUID(int=3)) + "}"}, "bad_id"),
        ({"timestamp": "yesterday"}, "bad_time"),
        ({"timestamp": 5}, "bad_time"),
        ({"timestamp": "1969-12-31T23:59:59.999999"}, "bad_time"),
        ({"timestamp": "2023-11-15T22:13:20.000001"}, "bad_time"),  # a day ahead, and a little
        ({"timestamp": "9999-12-31T23:59:59.999999"}, "bad_time"),
        ({"service": 5}, "bad_text"),
        ({"project": "\udfff"}, "bad_text"),
        ({"service": "x" * 256}, "bad_text"),
        ({"info": [1]}, "bad_info"),
        ({"info": {"a": "\ud800"}}, "bad_info"),
        ({"info": {"a": 2**70}}, None),
        ({"timestamp": "2023-11-15T22:13:20.000000"}, None),
    ],
)
def test_what_is_wrong_is_refused_by_its_reason(change: dict[str, Any], reason: str | None) -> None:
    try:
        event_of({**GOOD, **change}, "h", NOW_NS)
    except Refused as refused:
        assert str(refused) == reason
    else:
        assert reason is None


@pytest.mark.parametrize("payload", [None, 5, "text", [GOOD], b"bytes"])
def test_what_is_no_payload(payload: object) -> None:
    with pytest.raises(Refused, match="no_payload"):
        event_of(payload, "h", NOW_NS)


def test_info_nested_without_end_is_not_kept() -> None:
    """Check that it is refused, or cut as too much, for any limit of the interpreter."""
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    try:
        event = event_of({**GOOD, "info": {"deep": deep}}, "h", NOW_NS)
    except Refused as refused:
        assert str(refused) == "bad_info"
    else:
        assert (event.info, event.cut) == ({}, "size")


def test_too_much_info_is_left_out_but_for_what_reports_need() -> None:
    much = {"host": "own", "etype": "E", "message": "m" * 10_000, "x": 1}
    event = event_of({**GOOD, "info": much}, "h", NOW_NS)
    assert event.cut == "size"
    assert event.info == {"host": "own", "etype": "E", "message": "m" * module.LONGEST_TEXT}
    fits = {"x": "y" * (module.MOST_INFO_BYTES - len('{"x":""}'))}
    assert event_of({**GOOD, "info": fits}, "h", NOW_NS).info == fits


@given(st.datetimes(datetime(1970, 1, 1), datetime(2023, 11, 14)))
def test_times_are_utc(when: datetime) -> None:
    text = when.strftime("%Y-%m-%dT%H:%M:%S.%f")
    event = event_of({**GOOD, "timestamp": text}, "h", NOW_NS)
    since = when.replace(tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert event.unix_ns == since // timedelta(microseconds=1) * 1000


things = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(list(GOOD)), things, max_size=3), things)
def test_whatever_is_said_is_refused_or_can_be_kept(change: dict[str, Any], host: Any) -> None:
    try:
        event = event_of({**GOOD, **change}, host, time.time_ns())
    except Refused:
        return
    with tempfile.TemporaryDirectory() as folder:
        store = TraceStore(Path(folder) / "traces.db")
        store.add([event])
        store.close()
