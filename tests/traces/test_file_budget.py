# SPDX-License-Identifier: Apache-2.0
"""The files of a store are never larger together than they may be, whatever is written to it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shmetrics.traces import schema
from shmetrics.traces import store as store_module
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.file_budget import LEAST_JOURNAL_BYTES, NoRoom
from shmetrics.traces.reader import Query, Reader
from shmetrics.traces.recovering_store import RecoveringStore
from shmetrics.traces.store import Limits, LossCounts, TraceStore

from .conftest import event, id_of

MIB = 1 << 20
# A case is a second's work.
WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
MEMORY = "/dev/shm"  # where a commit waits for no disk


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        yield Path(made)


def size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


class Watched:
    """A store that is looked at before every statement, and what was the most that there was.

    Within a commit the database comes to its new size, and the journal is still there.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._journal_bytes = 0
        self.most_bytes = 0
        limits = Limits(bytes=limit_bytes, spans_per_trace=500)
        self.trace_store = RecoveringStore(
            folder / "traces.db",
            opening=lambda path, counts: self._watched(TraceStore(path, limits, counts=counts)),
        )

    def _watched(self, store: TraceStore) -> TraceStore:
        store._db.set_trace_callback(self.look)
        return store

    def look(self, statement: str = "") -> None:
        self.most_bytes = max(self.most_bytes, size_bytes(self.folder) + self._journal_bytes)
        journal = self.folder / "traces.db-journal"
        at_commit = statement == "COMMIT" and journal.exists()
        self._journal_bytes = journal.stat().st_size if at_commit else 0


def batch(
    first: int, spans: int, per_trace: int, info_bytes: int, text: str, lane: int
) -> list[SpanEvent]:
    """Return starts and stops with so much info, some spans to a trace."""
    info: dict[str, Any] = {"x": text * (info_bytes // 2)} if info_bytes else {}
    return [
        event(is_start, number, trace=10**6 + number // per_trace, info=info, lane=lane)
        for number in range(first, first + spans)
        for is_start in (True, False)[: 1 + (number % 3 > 0)]
    ]


batches = st.fixed_dictionaries(
    {
        "first": st.integers(0, 3000),
        "spans": st.sampled_from([1, 20, 300, 2000]),
        "per_trace": st.sampled_from([1, 10, 1000]),
        "info_bytes": st.sampled_from([0, 200, 1100, 3500]),
        "text": st.sampled_from(["a", "\x01", "ü"]),
        "lane": st.integers(1, 3),
    }
)
acts = st.lists(batches | st.sampled_from(["lane", "expire"]), max_size=8)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, phases=WITHOUT_SHRINKING)
@given(st.lists(st.tuples(st.sampled_from([1, 2, 8]), acts), min_size=1, max_size=3))
def test_they_are_never_larger_together_than_they_may_be(
    lives: list[tuple[int, list[dict[str, Any] | str]]],
) -> None:
    """Check the files also while they are made smaller, for a limit that is less than before."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        before_bytes = 0
        for limit_mib, acts in lives:
            watched = Watched(Path(made), limit_mib * MIB)
            watched.trace_store.expire()
            watched.look()
            # What is let go in the end is in the journal first.
            journal_bytes = max(watched.limit_bytes // 8, LEAST_JOURNAL_BYTES)
            assert watched.most_bytes <= max(watched.limit_bytes, before_bytes + journal_bytes)
            watched.most_bytes = 0
            for act in acts:
                if act == "expire":
                    watched.trace_store.expire()
                elif act == "lane":
                    watched.trace_store.lane_ended(1)
                elif isinstance(act, dict):
                    watched.trace_store.add(batch(**act))
            watched.look()
            assert watched.most_bytes <= watched.limit_bytes
            assert not watched.trace_store.lost
            assert watched.trace_store.failures == 0
            watched.trace_store.close()
            before_bytes = size_bytes(Path(made))


def test_the_newest_are_kept_and_each_is_whole(folder: Path) -> None:
    trace_store = RecoveringStore(folder / "traces.db", Limits(bytes=2 * MIB))
    for number in range(200):
        trace_store.add(batch(20 * number, 20, 20, 2000, "a", 1))
    with_reader = Reader(trace_store.path)
    found = with_reader.find(Query(limit=1000))
    with_reader.close()
    numbers = [int.from_bytes(trace.id, "big") - 10**6 for trace in found]
    assert numbers == list(range(199, 199 - len(found), -1))
    assert {trace.spans for trace in found} == {20}
    assert len(found) > 10
    assert trace_store.counts.expired == {"bytes": 200 - len(found)}
    trace_store.close()


def test_what_was_not_foreseen_makes_no_file_larger_and_has_its_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that SQLite itself refuses more pages."""
    monkeypatch.setattr(store_module, "_pages_of", lambda traces: 0)
    watched = Watched(folder, 2 * MIB)
    for number in range(100):
        watched.trace_store.add(batch(20 * number, 20, 20, 3500, "a", 1))
    watched.look()
    assert MIB < watched.most_bytes <= watched.limit_bytes
    assert (watched.trace_store.lost, watched.trace_store.failures) == ({}, 0)
    watched.trace_store.close()


def test_sqlite_itself_ends_what_nobody_has_made_room_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TraceStore, "_make_room", lambda store, n_pages: None)
    store = TraceStore(folder / "traces.db", Limits(bytes=MIB))

    def fill() -> None:
        for number in range(1000):
            store.add(batch(number, 1, 1, 3500, "a", 1))

    with pytest.raises(sqlite3.OperationalError, match="full"):
        fill()
    assert size_bytes(folder) <= MIB
    store.close()


@pytest.mark.parametrize("label", ["name", "service", "project", "host"])
def test_labels_of_any_length_have_their_room(folder: Path, label: str) -> None:
    watched = Watched(folder, 2 * MIB)

    def said(number: int, trace: int) -> SpanEvent:
        labels: dict[str, Any] = {label: f"{number} " + "x" * 16_000}
        return event(True, number, trace=trace, **labels)

    for number in range(200):
        watched.trace_store.add([said(number, number // 7)])
    watched.trace_store.add([said(number, 100) for number in range(200, 300)])
    watched.look()
    assert MIB < watched.most_bytes <= watched.limit_bytes
    assert (watched.trace_store.lost, watched.trace_store.failures) == ({}, 0)
    watched.trace_store.close()


def test_who_reads_for_long_makes_no_file_larger(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.01)
    trace_store = RecoveringStore(folder / "traces.db", Limits(bytes=2 * MIB))
    trace_store.add(batch(0, 100, 10, 1000, "a", 1))
    reader = sqlite3.connect(trace_store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM spans").fetchall()
    for number in range(1, 30):
        events = batch(1000 * number, 100, 10, 1000, "a", 1)
        trace_store.add(events)
        assert size_bytes(folder) <= 2 * MIB
        assert trace_store.lost["not_written"] >= len(events)
    reader.execute("COMMIT")
    reader.close()
    lost = trace_store.lost.total()
    trace_store.add(batch(10**6, 100, 10, 1000, "a", 1))
    assert trace_store.lost.total() == lost
    trace_store.close()


def test_a_question_that_takes_too_long_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that a long question is ended, because nobody can write while it reads."""
    path = folder / "traces.db"
    trace_store = RecoveringStore(path)
    trace_store.add(batch(0, 2000, 1, 0, "a", 1))
    trace_store.close()
    reader = Reader(path)
    assert len(reader.find(Query(limit=5000))) == 2000
    monkeypatch.setattr(schema, "READ_SECONDS", -1.0)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        reader.find(Query(limit=5000))
    reader.close()


def test_a_limit_that_is_less_makes_the_file_smaller(folder: Path) -> None:
    path = folder / "traces.db"
    trace_store = RecoveringStore(path, Limits(bytes=16 * MIB))
    trace_store.add(batch(0, 3000, 10, 3000, "a", 1))
    trace_store.close()
    assert size_bytes(folder) > 8 * MIB
    trace_store = RecoveringStore(path, Limits(bytes=2 * MIB))
    trace_store.expire()
    assert size_bytes(folder) <= 2 * MIB
    trace_store.close()


def test_what_has_gone_by_age_makes_the_file_smaller(folder: Path) -> None:
    now = [0]
    limits = Limits(bytes=64 * MIB, age_seconds=60)
    store = TraceStore(folder / "traces.db", limits, boot_ns=lambda: now[0])
    store.add(batch(0, 1000, 10, 3000, "a", 1))
    before_bytes = size_bytes(folder)
    now[0] = 61 * 10**9
    store.expire()
    assert store.counts.expired == {"age": 100}
    assert size_bytes(folder) < before_bytes // 10
    store.close()


def test_a_store_that_may_hold_nothing_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / "traces.db"
    with pytest.raises(NoRoom, match="not enough"):
        TraceStore(path, Limits(bytes=100_000))
    trace_store = RecoveringStore(path, Limits(bytes=100_000))
    trace_store.add(batch(0, 10, 1, 0, "a", 1))
    trace_store.add(batch(0, 10, 1, 0, "a", 1))
    (line,) = caplog.messages
    assert f"{path}: 100000 bytes are not enough" in line
    assert not list(folder.iterdir())
    assert trace_store.lost["no_store"] == 2 * len(batch(0, 10, 1, 0, "a", 1))


def test_a_full_disk_costs_no_traces(folder: Path) -> None:
    """Check that traces go because of the limit only, and not because of a full disk."""

    class Full(TraceStore):
        is_full = False

        def _write(self, traces: Any) -> Any:
            if self.is_full:
                raise sqlite3.OperationalError("database or disk is full")
            return super()._write(traces)

    store = Full(folder / "traces.db", counts=LossCounts())
    store.add(batch(0, 100, 10, 0, "a", 1))
    store.is_full = True
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.add([event(True, 1, trace=7)])
    reader = Reader(store.path)
    assert [len(reader.find()), reader.spans(id_of(7))] == [10, []]
    reader.close()
    assert not store.counts.expired
    store.close()
