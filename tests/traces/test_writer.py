# SPDX-License-Identifier: Apache-2.0
"""The thread that writes: in order, bounded, and not stopped by a disk that is full."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from shmetrics.traces import writer as writer_module
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.reader import Reader
from shmetrics.traces.recovering_store import RecoveringStore
from shmetrics.traces.store import Limits, LossCounts, TraceStore
from shmetrics.traces.writer import BATCH_BYTES, LANE_BYTES, WAITING_BYTES, TraceWriter
from tests.servers.patience import until

from .conftest import event, id_of, whole

SECONDS = 60.0


def test_what_is_given_is_there_once_it_has_settled(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    writer = TraceWriter(RecoveringStore(path))
    writer.add(lambda: [event(True, 1, lane=7), event(True, 2, lane=8)], 2, 100)
    writer.lane_ended(7)
    assert writer.settle(SECONDS)
    reader = Reader(path)
    assert [span.has_died for span in reader.spans(id_of(1000))] == [True, False]
    writer.close()
    reader.close()


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    writer = TraceWriter(RecoveringStore(path))
    held = threading.Event()

    def slow() -> list[object]:
        held.wait(SECONDS)
        return []

    writer.add(slow, 1, 1)  # type: ignore[arg-type]
    for number in range(1, 11):
        writer.add(lambda number=number: whole(number), 2, 1)  # type: ignore[misc]
    held.set()
    writer.close()
    reader = Reader(path)
    assert len(reader.spans(id_of(1000))) == 10
    reader.close()


def test_what_cannot_wait_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    writer = TraceWriter(RecoveringStore(path), max_bytes=2 * WAITING_BYTES + 100)
    begun, held = threading.Event(), threading.Event()

    def slow() -> list[object]:
        begun.set()
        held.wait(SECONDS)
        return []

    writer.add(slow, 1, WAITING_BYTES)  # type: ignore[arg-type]
    assert begun.wait(SECONDS)  # and waits no more
    writer.add(lambda: whole(1), 2, 60)
    writer.add(lambda: whole(2), 2, 60)
    writer.add(lambda: whole(3), 2, 40)
    held.set()
    writer.close()
    reader = Reader(path)
    assert {span.id for span in reader.spans(id_of(1000))} == {id_of(1), id_of(3)}
    assert writer.lost == 2
    reader.close()


def test_lanes_that_end_while_nothing_can_be_written_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    writer = TraceWriter(RecoveringStore(path), max_bytes=2 * WAITING_BYTES + 9 * LANE_BYTES)
    begun, held = threading.Event(), threading.Event()

    def slow() -> list[SpanEvent]:
        begun.set()
        held.wait(SECONDS)
        return [event(True, lane, lane=lane) for lane in range(1, 21)]

    writer.add(slow, 20, 1)
    assert begun.wait(SECONDS)
    for lane in range(1, 21):
        writer.lane_ended(lane)
    assert writer.lost == 2
    held.set()
    writer.close()
    reader = Reader(path)
    assert [span.has_died for span in reader.spans(id_of(1000))] == [True] * 18 + [False] * 2
    reader.close()
    assert writer._waiting_bytes == 0


def test_a_store_that_cannot_be_written_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = 3  # the first is tried twice, in case that it is the file's fault

    class Full(TraceStore):
        def add(self, events: object) -> None:
            nonlocal left
            if left:
                left -= 1
                raise sqlite3.OperationalError("database or disk is full")
            super().add(events)  # type: ignore[arg-type]

    path = tmp_path / "traces.db"
    trace_store = RecoveringStore(path, opening=lambda path, counts: Full(path, counts=counts))
    writer = TraceWriter(trace_store)
    with caplog.at_level(logging.WARNING):
        for number in (1, 2, 3):
            writer.add(lambda number=number: whole(number), 2, 1)  # type: ignore[misc]
            assert writer.settle(SECONDS)
        writer.close()
    reader = Reader(path)
    assert [span.id for span in reader.spans(id_of(1000))] == [id_of(3)]
    assert (trace_store.failures, trace_store.lost) == (2, {"not_written": 4})
    (line,) = caplog.messages
    assert str(path) in line
    assert "disk is full" in line
    reader.close()


def test_what_waits_together_is_written_together(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    begun, held = threading.Event(), threading.Event()
    commits: list[str] = []

    def opening(path: Path, counts: LossCounts) -> TraceStore:
        store = TraceStore(path, counts=counts)
        store._db.set_trace_callback(lambda said: commits.append(said))
        return store

    writer = TraceWriter(RecoveringStore(path, opening=opening))

    def slow() -> list[object]:
        begun.set()
        held.wait(SECONDS)
        return []

    writer.add(slow, 1, 1)  # type: ignore[arg-type]
    assert begun.wait(SECONDS)
    assert writer.settle(0) is False
    commits.clear()
    for number in range(1, 101):
        writer.add(lambda number=number: whole(number, lane=number % 7), 2, 1)  # type: ignore[misc]
    writer.lane_ended(1)
    writer.add(lambda: [event(True, 200)], 1, 1)
    writer.add(lambda: [event(True, 201)], 1, BATCH_BYTES)
    held.set()
    assert writer.settle(SECONDS)
    # The hundred, the end of a lane, what was brought after it, and what is a batch by itself.
    assert commits.count("COMMIT") == 4
    writer.close()
    reader = Reader(path)
    assert len(reader.spans(id_of(1000))) == 102
    reader.close()


def test_what_is_too_much_goes_while_more_and_more_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the limit while events wait: spans may always come faster than they are written."""
    monkeypatch.setattr(writer_module, "EXPIRE_SECONDS", 0.001)
    trace_store = RecoveringStore(tmp_path / "traces.db", Limits(traces=1))
    writer = TraceWriter(trace_store)
    has_gone = threading.Event()
    numbers = itertools.count(1)

    def one_more() -> list[SpanEvent]:
        number = next(numbers)
        if trace_store.counts.expired["traces"] < 10:
            writer.add(one_more, 2, 1)
        else:
            has_gone.set()
        return whole(number, trace=1000 + number, at=number)

    writer.add(one_more, 2, 1)
    assert has_gone.wait(SECONDS)
    writer.close()


def test_what_is_too_much_goes_by_itself(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "traces.db")
    store.add(whole(1, trace=1000) + whole(1, trace=1001, at=5))
    store.close()
    trace_store = RecoveringStore(store.path, Limits(traces=1))
    writer = TraceWriter(trace_store)
    until(lambda: trace_store.counts.expired, lambda: trace_store.counts, SECONDS)
    writer.close()
    assert trace_store.counts.expired == {"traces": 1}
