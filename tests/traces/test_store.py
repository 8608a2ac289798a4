# SPDX-License-Identifier: Apache-2.0
"""The trace store against a dictionary of dictionaries."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.traces.event import SpanEvent
from shmetrics.traces.reader import Query, Reader
from shmetrics.traces.schema import ForeignFile
from shmetrics.traces.store import Limits, TraceStore

from .conftest import Opened, event, id_of, whole

FAILED = {"etype": "ValueError", "message": "no"}


class Twin:
    """The twin of a store: it keeps all events, and answers each question anew, slowly."""

    def __init__(self) -> None:
        self.events: list[SpanEvent] = []
        self.died: set[tuple[bytes, bytes]] = set()

    def spans(self, trace: bytes) -> dict[bytes, dict[str, Any]]:
        found: dict[bytes, dict[str, Any]] = defaultdict(dict)
        for one in self.events:
            if one.trace != trace:
                continue
            span = found[one.id]
            span.setdefault("of", (one.parent, one.name, one.service, one.project, one.host))
            side = "start" if one.is_start else "stop"
            span.setdefault(f"{side}_ns", one.unix_ns)
            if one.info and f"{side}_seen" not in span:
                span[f"{side}_info"] = one.info
            span[f"{side}_seen"] = True
            span["is_cut"] = span.get("is_cut", False) or bool(one.cut)
        return found

    def lane_ended(self, lane: int) -> None:
        for trace in {one.trace for one in self.events}:
            for id, span in self.spans(trace).items():
                first = next(one for one in self.events if (one.trace, one.id) == (trace, id))
                if first.lane == lane and "stop_ns" not in span:
                    self.died.add((trace, id))


numbers = st.integers(1, 4)
events = st.builds(
    event,
    is_start=st.booleans(),
    id=numbers,
    trace=st.integers(1001, 1003),
    parent=st.none() | numbers,
    at=st.integers(0, 50),
    info=st.sampled_from([{}, FAILED, {"function": {"args": "(1, 2)"}}]),
    lane=st.integers(1, 2),
    service=st.sampled_from(["nova", "neutron"]),
    cut=st.sampled_from(["", "size"]),
)
acts = st.lists(st.lists(events, min_size=1, max_size=8) | st.integers(1, 2), max_size=12)


@settings(max_examples=200, deadline=None)
@given(acts)
def test_the_store_says_what_was_said(
    tmp_path_factory: pytest.TempPathFactory, acts: list[list[SpanEvent] | int]
) -> None:
    path = tmp_path_factory.mktemp("store") / "traces.db"
    store, twin = TraceStore(path), Twin()
    for act in acts:
        if isinstance(act, int):
            store.lane_ended(act)
            twin.lane_ended(act)
        else:
            store.add(act)
            twin.events += act
    reader = Reader(path)
    traces = {one.trace for one in twin.events}
    assert {found.id for found in reader.find()} == traces
    for trace in traces:
        wanted = twin.spans(trace)
        found = {span.id: span for span in reader.spans(trace)}
        assert set(found) == set(wanted)
        for id, span in found.items():
            want = wanted[id]
            assert (span.parent, span.name, span.service, span.project, span.host) == want["of"]
            assert span.start_ns == want.get("start_ns")
            assert span.stop_ns == want.get("stop_ns")
            assert span.is_cut == want["is_cut"]
            assert span.has_died == ((trace, id) in twin.died)
        summary = reader.trace(trace)
        assert summary is not None
        assert summary.spans == len(wanted)
        assert summary.open == sum(
            "stop_ns" not in want and (trace, id) not in twin.died for id, want in wanted.items()
        )
        begun = [want.get("start_ns", want.get("stop_ns", 0)) for want in wanted.values()]
        assert summary.start_ns == min(begun)
    reader.close()
    store.close()


def test_what_comes_twice_is_there_once(opened: Opened) -> None:
    store, reader = opened()
    both = whole(1, info={"a": 1})
    store.add(both)
    store.add(both[1:])
    store.add(both)
    (span,) = reader.spans(id_of(1000))
    assert (span.start_ns, span.stop_ns, span.start_info) == (1, 11, {"a": 1})
    assert [trace.spans for trace in reader.find()] == [1]


def test_a_clock_that_is_set_back_makes_no_span_end_before_it_began(opened: Opened) -> None:
    store, reader = opened()
    start, stop = whole(1)
    store.add([start, stop._replace(unix_ns=start.unix_ns - 3600 * 10**9)])
    (span,) = reader.spans(id_of(1000))
    (trace,) = reader.find()
    assert (span.duration_ns, trace.duration_ns) == (0, 0)


def test_an_error_is_that_of_the_stop(opened: Opened) -> None:
    store, reader = opened()
    store.add(whole(1, info=FAILED))
    store.add([event(True, 2, info=FAILED, trace=1001)])
    (span,) = reader.spans(id_of(1000))
    assert (span.exception, span.stop_info) == ("ValueError", FAILED)
    assert [(trace.id, trace.errors) for trace in reader.find(Query(failed=True))] == [
        (id_of(1000), 1)
    ]


def test_finding(opened: Opened) -> None:
    store, reader = opened()
    for number in range(5):
        at = number * 100
        store.add(whole(1, trace=1000 + number, at=at, service=f"s{number % 2}"))
    store.add([event(False, 2, trace=1003, at=900)])

    def found(**wanted: Any) -> list[int]:
        return [int.from_bytes(trace.id, "big") for trace in reader.find(Query(**wanted))]

    assert found() == [1004, 1003, 1002, 1001, 1000]  # as they were heard of
    assert found(limit=2) == [1004, 1003]
    assert found(since_ns=100, until_ns=300) == [1002, 1001]
    assert found(service="s1") == [1003, 1001]
    assert found(service="s1", since_ns=200) == [1003]
    assert found(least_duration_ns=11) == [1003]
    assert found(service="nobody") == []


def test_the_first_span_names_its_trace(opened: Opened) -> None:
    store, reader = opened()
    store.add([*whole(1, at=50, name="db", service="nova"), *whole(2, at=5, name="wsgi")])
    (trace,) = reader.find()
    assert (trace.name, trace.start_ns, trace.stop_ns) == ("wsgi", 5, 60)


# ---- limits -------------------------------------------------------------------------------------


def test_a_trace_may_have_only_so_many_spans(opened: Opened) -> None:
    store, reader = opened(Limits(spans_per_trace=3))
    store.add([event(True, number) for number in (1, 2)])
    store.add([event(True, number) for number in (2, 3, 4, 5)])
    store.add([event(False, number) for number in (1, 2, 3, 4)])
    spans = reader.spans(id_of(1000))
    assert [(span.id, span.stop_ns) for span in spans] == [(id_of(n), 1) for n in (1, 2, 3)]
    (trace,) = reader.find()
    assert (trace.spans, trace.lost, store.counts.lost) == (3, 3, 3)


def test_the_first_that_were_heard_of_go_first_and_whole(opened: Opened) -> None:
    """Check that the times in spans do not matter."""
    store, reader = opened(Limits(traces=2))
    for number in (3, 1, 2):
        at = 10**18 // number
        store.add(whole(1, trace=1000 + number, at=at) + whole(2, trace=1000 + number, at=at))
    store.expire()
    assert [trace.id for trace in reader.find()] == [id_of(1002), id_of(1001)]
    assert reader.spans(id_of(1003)) == []
    assert [len(reader.find(Query(service="nova")))] == [2]
    assert store.counts.expired == {"traces": 1}


# ---- the file -----------------------------------------------------------------------------------


def test_a_reader_sees_what_was_committed_and_waits_for_nobody(opened: Opened) -> None:
    store, reader = opened()
    store.add(whole(1))
    store._db.execute("BEGIN IMMEDIATE")
    store._db.execute("DELETE FROM spans")
    assert len(reader.spans(id_of(1000))) == 1
    store._db.execute("ROLLBACK")


@pytest.mark.parametrize("odd", [msgspec.msgpack.Ext(1, b"x"), {None: 1}, "\ud800", object()])
def test_what_json_has_no_form_for_is_let_go_and_nothing_beside_it(
    opened: Opened, odd: object
) -> None:
    """Check values that MessagePack has and JSON has not: an emitter can write any bytes."""
    store, reader = opened()
    bad = event(False, 1, info={"odd": odd, "etype": "ValueError"})
    store.add([event(True, 1, info={"a": 1}), bad, *whole(2)])
    first, second = sorted(reader.spans(id_of(1000)), key=lambda span: span.id)
    failed = {"etype": "ValueError"}
    assert (first.start_info, first.stop_info, first.exception) == ({"a": 1}, failed, "ValueError")
    assert (first.is_cut, second.is_cut, store.counts.cut) == (True, False, {"no_json": 1})


def test_a_batch_that_fails_leaves_nothing_behind(opened: Opened) -> None:
    store, reader = opened()
    bad = event(True, 2)._replace(parent=object())  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        store.add([*whole(1), bad])
    assert reader.find() == []
    store.add(whole(3))
    assert [trace.spans for trace in reader.find()] == [1]


@pytest.mark.parametrize("n_spans", [2, 9000])
def test_a_disk_that_was_full_is_written_to_again(opened: Opened, n_spans: int) -> None:
    """Many spans do not wait in memory for the end of their batch. SQLite then gives up all of it
    by itself, and what was said was that there is nothing to roll back."""
    store, reader = opened()
    store.add(whole(1))
    many = [
        one for number in range(2, 2 + n_spans) for one in whole(number, info={"x": "y" * 1000})
    ]
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        for _ in range(3):
            with pytest.raises(sqlite3.Error, match="disk"):
                store.add(many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    store.add(whole(200_000))
    assert {span.id for span in reader.spans(id_of(1000))} == {id_of(1), id_of(200_000)}


def test_a_time_beyond_all_times_is_kept_as_the_last(opened: Opened) -> None:
    store, reader = opened()
    store.add([event(True, 1, at=2**64 - 1), event(False, 1, at=-5)])
    (span,) = reader.spans(id_of(1000))
    assert (span.start_ns, span.stop_ns) == (2**63 - 1, 0)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.write_bytes(b"no database" * 1000), "no trace store"),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE t (a)"), "another program's"),
    ],
)
def test_what_is_no_store_is_refused(tmp_path: Path, make: Any, why: str) -> None:
    path = tmp_path / "traces.db"
    made = make(path)
    if isinstance(made, sqlite3.Cursor):
        made.connection.close()
    with pytest.raises(ForeignFile, match=why):
        TraceStore(path)


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    TraceStore(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(ForeignFile, match="version 7"):
        TraceStore(path)


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = TraceStore(path)
    store.add([one for number in range(500) for one in whole(number + 1, trace=1000 + number)])
    store.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8192] = os.urandom(8192)
    path.write_bytes(data)
    with pytest.raises(ForeignFile):
        TraceStore(path)


def test_a_kill_in_the_middle_of_a_batch_leaves_a_whole_store(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    writer = f"""
        import itertools, pathlib
        from shmetrics.traces.event import SpanEvent
        from shmetrics.traces.store import TraceStore
        store = TraceStore(pathlib.Path({str(path)!r}))
        of = ("rpc", "nova", "p", "h")
        for batch in itertools.count(1):
            trace = batch.to_bytes(16, "big")
            store.add(
                SpanEvent(start, n.to_bytes(16, "big"), trace, trace, *of, n, {{}}, False, 1)
                for n in range(1, 101) for start in (True, False)
            )
            print(batch, flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(writer)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 20:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store = TraceStore(path)
    reader = Reader(path)
    traces = reader.find(Query(limit=10_000))
    assert len(traces) >= 20
    assert {(trace.spans, trace.open) for trace in traces} == {(100, 0)}
    reader.close()
    store.close()


def test_a_file_with_nothing_in_it_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    path.touch()
    store = TraceStore(path)
    store.add(whole(1))
    store.close()
    assert sorted(tmp_path.iterdir()) == [path]


def test_whoever_makes_it_first_others_find_it_whole(tmp_path: Path) -> None:
    """Check that no reader finds an empty file: there was a moment with a file and no table."""
    path = tmp_path / "traces.db"
    found: list[object] = []
    barrier = threading.Barrier(9)

    def write(number: int) -> None:
        barrier.wait(60)
        store = TraceStore(path)
        store.add(whole(number))
        store.close()

    def read() -> None:
        barrier.wait(60)
        while len(found) < 1000:
            if path.exists():
                reader = Reader(path)
                found.append(reader.spans(id_of(1000)))
                reader.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 9)]
    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = Reader(path)
    assert {span.id for span in reader.spans(id_of(1000))} == {id_of(n) for n in range(1, 9)}
    assert len(found) == 1000
    reader.close()
    assert {file.name for file in tmp_path.glob("traces.db.*")} == set()
