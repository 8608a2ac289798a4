# SPDX-License-Identifier: Apache-2.0
"""Spans from a process to the collector's traces: what is said about them, and what is cut."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
import urllib.error
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics import _ring, layout
from shmetrics.collector.collector import Collector
from shmetrics.collector.directory import Directory
from shmetrics.emitter import spans as emitter_spans
from shmetrics.lanes import _drain
from shmetrics.lanes.spans import SpanRecords, Spans
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.traces.event import SpanEvent, SpanLabels
from tests.emitter.recording import dropped
from tests.nodes.loopback import SMALL, Loopback
from tests.nodes.node import Node
from tests.servers.processes import until

MOST_INFO_BYTES = 64 * 56
ID, TRACE, PARENT = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


class Traced(Loopback):
    """A collector in this process that keeps the spans that it takes."""

    def __init__(self, path: Path) -> None:
        self.taken: list[SpanRecords] = []
        self.ended: list[int] = []
        self.path = path
        self._settings = SMALL
        self.directory = Directory(path)
        self.spans = Spans(self.taken.append, self.ended.append)
        self.collector = Collector(self.directory, SMALL, SelfMetrics("test"), spans=self.spans)

    def events(self) -> list[SpanEvent]:
        """Return what was logged since the last time."""
        self.collector.drain()
        found = [event for taken in self.taken for event in self.spans.events(taken)]
        self.taken.clear()
        return found


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    found = Traced(tmp_path_factory.mktemp("traced") / "run")
    _ring.process_detach()
    found.attach()
    yield found
    _ring.process_detach()
    found.collector.tick()
    assert len(found.ended) == 1
    found.release()


def told(traced: Traced, info: dict[str, Any]) -> SpanEvent:
    """The one event that a start with this info makes."""
    emitter_spans.Spans("nova", "p", "h").start("rpc", ID, TRACE, PARENT, info)
    (event,) = traced.events()
    return event


def test_a_span_begins_and_ends(traced: Traced) -> None:
    spans = emitter_spans.Spans("nova", "p", "h")
    spans.start("rpc", ID, TRACE, PARENT, {"host": "h", "n": 1})
    spans.stop("rpc", ID.replace("-", "").upper(), TRACE, PARENT)
    start, stop = traced.events()
    assert start[:8] == (
        *(True, uuid.UUID(ID).bytes, uuid.UUID(TRACE).bytes, uuid.UUID(PARENT).bytes),
        *("rpc", "nova", "p", "h"),
    )
    assert (start.info, start.cut) == ({"host": "h", "n": 1}, "")
    assert (stop.is_start, stop.id, stop.info) == (False, start.id, {})
    assert start.unix_ns <= stop.unix_ns
    assert start.lane > 0


@pytest.mark.parametrize(
    ("info", "slots"),
    [
        ({}, 0),
        ({"host": "h"}, 0),
        ({"host": "g"}, 1),
        ({"host": None}, 1),
        ({"hosts": "h"}, 1),
        ({"host": "h", "n": 1}, 1),
    ],
)
def test_the_host_of_its_series_alone_takes_no_slot(
    traced: Traced, info: dict[str, Any], slots: int
) -> None:
    spans = emitter_spans.Spans("nova", "p", "h")
    spans.start("rpc", ID, TRACE, PARENT, info)
    spans.stop("rpc", ID, TRACE, PARENT, info)
    assert _ring.process_status()["waiting"] == 2 * (1 + slots)
    assert [(event.info, event.cut) for event in traced.events()] == [(info, "")] * 2


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=200)
@given(st.dictionaries(st.text(max_size=10), values, max_size=4))
def test_what_is_said_about_a_span_arrives(traced: Traced, info: dict[str, Any]) -> None:
    event = told(traced, info)
    assert (event.info, event.cut) == (info, "")


@settings(max_examples=100)
@given(st.text(min_size=1, max_size=4), st.integers(0, 3000), st.integers(0, 3000))
def test_what_is_too_long_is_cut_and_marked(
    traced: Traced, part: str, times: int, later: int
) -> None:
    text = part * times
    event = told(traced, {"text": text, "later": "x" * later})
    said = event.info.get("text", "")
    assert text.startswith(said)
    whole = said == text and event.info.get("later") == "x" * later
    assert event.cut == ("" if whole else "size")
    room = MOST_INFO_BYTES - 16
    if len(text.encode()) + later <= room - 16:
        assert whole
    else:
        assert len(said.encode()) + len(event.info.get("later", "")) >= room - 16 - 4


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((1, 2), [1, 2]),
        ({3: "x"}, {"3": "x"}),
        (2**70, str(2**70)),
        (b"raw", "b'raw'"),
        (ValueError("no"), "no"),
    ],
)
def test_what_has_no_form_of_its_own_is_said_as_a_text(
    traced: Traced, value: object, said: object
) -> None:
    assert told(traced, {"value": value}).info == {"value": said}


def test_what_is_in_itself_is_bounded(traced: Traced) -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    event = told(traced, endless)
    assert "again" in event.info


def test_many_members_are_cut(traced: Traced) -> None:
    event = told(traced, {"many": [1] * 2000})
    assert event.cut == "size"
    assert event.info["many"] == [1] * 1024


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("id", "info"),
    [
        ("no id", {}),
        ("", {}),
        (None, {}),
        ("0" * 32, {}),
        (ID, {"value": Unspeakable()}),
        (ID, {"value": "\ud800"}),
    ],
)
def test_what_cannot_be_said_is_counted_and_the_host_goes_on(
    traced: Traced, id: Any, info: dict[str, Any]
) -> None:
    before = dropped().get("bad_value", 0)
    emitter_spans.Spans("nova").start("rpc", id, TRACE, PARENT, info)
    assert traced.events() == []
    assert dropped()["bad_value"] == before + 1


def test_what_the_ring_has_no_room_for_is_counted(traced: Traced) -> None:
    before = dropped().get("span", 0)
    spans = emitter_spans.Spans("nova")
    for number in range(1, 5001):
        spans.start("rpc", str(uuid.UUID(int=number)), TRACE, PARENT)
    found = traced.events()
    assert len(found) == 4096
    assert dropped()["span"] - before == 5000 - 4096


def test_a_stamp_from_the_future_is_now(traced: Traced) -> None:
    kind, ids = layout.KIND_SPAN_START, (b"i" * 16, b"t" * 16, b"p" * 16)
    records = [
        struct.pack(_drain.TAKEN_SPAN_FORMAT, kind, 0, 0, 1, stamp_ns, *ids)
        for stamp_ns in (900, 1000, 2**64 - 1)
    ]
    labels_of_series = {1: SpanLabels("rpc", "nova", "p", "h")}
    taken = SpanRecords(b"".join(records), len(records), labels_of_series, 1, 1000, 50_000)
    found = [event.unix_ns for event in traced.spans.events(taken)]
    assert found == [49_900, 50_000, 50_000]


def test_spans_are_no_metrics(traced: Traced) -> None:
    told(traced, {})
    assert not [name for (name, *_) in traced.samples() if name.startswith("spans")]


# ---- the whole way ------------------------------------------------------------------------------

REQUEST = """
    import uuid
    from shmetrics.emitter.spans import Spans
    spans = Spans("nova", "cloud", "h")
    base, outer, inner = (str(uuid.UUID(int=n)) for n in (100, 101, 102))
    spans.start("wsgi", outer, base, base, {"request": {"path": "/v2"}})
    spans.start("db", inner, base, outer, {"db": {"statement": "SELECT 1"}})
    spans.stop("db", inner, base, outer, {"etype": "DBError", "message": "gone"})
    pause("open")
    spans.stop("wsgi", outer, base, base)
    pause("done")
"""
BASE = str(uuid.UUID(int=100))


def asked(node: Node, path: str = "", **parameters: object) -> Any:
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    return json.loads(node.get(f"/api/v1/traces{path}{query}"))


def test_a_trace_over_http_while_it_runs_and_after(node: Node) -> None:
    node.start()
    assert asked(node) == []
    emitter = node.emitter(REQUEST)
    emitter.until("open")
    (trace,) = asked(node)
    assert (trace["base_id"], trace["spans"], trace["open"]) == (BASE, 2, 1)
    assert (trace["name"], trace["service"], trace["errors"]) == ("wsgi", "nova", 1)
    outer, inner = asked(node, f"/{BASE}")["spans"]
    assert (outer["state"], inner["state"]) == ("open", "done")
    assert inner["parent_id"] == outer["trace_id"]
    assert inner["exception"] == "DBError"
    assert inner["start_info"] == {"db": {"statement": "SELECT 1"}}
    emitter.go()
    emitter.until("done")
    outer, inner = asked(node, f"/{BASE}")["spans"]
    assert (outer["state"], outer["finished"] > inner["finished"]) == ("done", True)
    emitter.go()
    emitter.end()
    assert [trace["base_id"] for trace in asked(node, error=1, service="nova")] == [BASE]
    assert asked(node, service="glance") == []
    assert f'href="/traces/{BASE}"' in node.get("/traces?error=1").decode()
    assert BASE not in node.get("/traces?service=glance").decode()
    assert "DBError" in node.get(f"/traces/{BASE}").decode()
    assert 'href="/traces"' in node.get("/").decode()
    assert asked(node, min_duration_seconds=3600) == []


@pytest.mark.parametrize(("path", "said"), [("?limit=x", "limit='x'"), ("/x", "'x' is no UUID")])
def test_a_question_that_means_nothing(node: Node, path: str, said: str) -> None:
    node.start()
    with pytest.raises(urllib.error.HTTPError) as found:
        node.get(f"/api/v1/traces{path}")
    with found.value as error:
        assert (error.code, said in error.read().decode()) == (400, True)


def test_a_span_of_a_process_that_was_killed_says_so(node: Node) -> None:
    node.start()
    emitter = node.emitter(REQUEST)
    emitter.until("open")
    emitter.kill()

    def states() -> list[str]:
        return [span["state"] for span in asked(node, f"/{BASE}")["spans"]]

    until(lambda: states() == ["process died", "done"], lambda: str(states()), 30)


def test_traces_outlive_the_collector(node: Node) -> None:
    node.start()
    emitter = node.emitter(REQUEST)
    emitter.until("open")
    node.stop()
    emitter.go()
    emitter.until("done")
    node.start()
    (trace,) = asked(node)
    assert (trace["spans"], trace["open"]) == (2, 0)
    emitter.go()
    emitter.end()


def test_traces_may_be_off(node: Node) -> None:
    node.start("[traces]\nenabled = false\n")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        asked(node)
    emitter = node.emitter(REQUEST)
    emitter.until("open")
    emitter.go()
    emitter.until("done")
    (lane,) = node.lanes()
    assert (lane["state"], lane["events"] > 0) == ("open", True)
    assert not (node.runtime_dir / "traces.db").exists()
    emitter.go()
    emitter.end()


def lost(node: Node, reason: str) -> float:
    return node.samples().get(("shmetrics_spans_lost_total", (("reason", reason),)), 0.0)


def record(node: Node) -> None:
    """The request from its beginning to its end."""
    emitter = node.emitter(REQUEST)
    for word in ("open", "done"):
        emitter.until(word)
        emitter.go()
    emitter.end()


def test_what_a_trace_may_not_have_is_counted(node: Node) -> None:
    node.start("[traces]\nmax_spans_per_trace = 1\n")
    record(node)
    until(lambda: lost(node, "spans_per_trace") == 1, lambda: str(node.samples()), 30)
    assert len(asked(node, f"/{BASE}")["spans"]) == 1
    (trace,) = asked(node)
    assert trace["lost"] == 1


def test_what_a_kill_loses_is_counted(node: Node) -> None:
    """Here all that two processes have said: another has the file, and the writer waits for it."""
    path, pending = node.runtime_dir / "traces.db", node.runtime_dir / "traces.db.pending"
    node.start()
    record(node)
    assert len(asked(node, f"/{BASE}")["spans"]) == 2
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        record(node)
        record(node)
        all_of_it = struct.pack("=Q", 8)
        until(lambda: pending.read_bytes() == all_of_it, lambda: str(pending.read_bytes()), 30)
        node.kill()
    node.start()
    assert lost(node, "killed") == 8
    record(node)
    assert len(asked(node, f"/{BASE}")["spans"]) == 2
    node.stop()
    assert not pending.exists()
    node.start()
    assert lost(node, "killed") == 8


def test_names_beyond_what_a_lane_may_have_are_counted(node: Node) -> None:
    node.start("[store]\nmax_series_per_lane = 1\n")
    record(node)
    until(lambda: lost(node, "series_per_lane") == 2, lambda: str(node.samples()), 30)
    assert [span["name"] for span in asked(node, f"/{BASE}")["spans"]] == ["wsgi"]


def test_what_is_no_trace_store_is_set_aside(node: Node) -> None:
    path = node.runtime_dir / "traces.db"
    node.start()
    path.write_bytes(b"no store" * 1000)
    record(node)
    assert len(asked(node, f"/{BASE}")["spans"]) == 2
    (aside,) = node.runtime_dir.glob("traces.db.2*")
    assert aside.read_bytes().startswith(b"no store")
    (line,) = [line for line in node.log.splitlines() if "traces begin anew" in line]
    assert f"{path}: no trace store" in line


def test_a_trace_store_that_cannot_be_made_costs_no_metrics(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "absent" / "traces.db"
    node.start(f'[traces]\npath = "{path}"\n')
    record(node)
    until(lambda: lost(node, "no_store") == 4, lambda: str(node.samples()), 30)
    assert asked(node) == []
    (line,) = [line for line in node.log.splitlines() if "no traces are kept" in line]
    assert str(path) in line
