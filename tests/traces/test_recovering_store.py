# SPDX-License-Identifier: Apache-2.0
"""A trace store heals while it is in use, whatever becomes of its file."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.traces.reader import Query, Reader
from shmetrics.traces.recovering_store import CHECK_SECONDS, RETRY_SECONDS, RecoveringStore
from shmetrics.traces.store import Limits, TraceStore
from shmetrics.traces.traces import Traces

from .conftest import event, id_of, whole

PAGE_BYTES = 4096


class Kept:
    """A trace store whose clock stands still until a test moves it."""

    def __init__(self, path: Path) -> None:
        self.now = 0.0
        self.path = path
        self.trace_store = RecoveringStore(path, Limits(bytes=16 << 20), monotonic=lambda: self.now)
        self._numbers = iter(range(1, 10**9))

    def add(self, n: int = 1) -> list[bytes]:
        """Add so many traces, with an info; return their ids."""
        numbers = [next(self._numbers) for _ in range(n)]
        info = {"x": "y" * 300}
        self.trace_store.add(
            [one for number in numbers for one in whole(1, trace=number, info=info)]
        )
        return [id_of(number) for number in numbers]

    def found(self) -> list[bytes]:
        """Return the ids of all traces in the store, the oldest first."""
        reader = Reader(self.path)
        try:
            return [trace.id for trace in reader.find(Query(limit=10**6))][::-1]
        finally:
            reader.close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    found = Kept(tmp_path / "traces.db")
    yield found
    found.trace_store.close()


def deleted(path: Path) -> None:
    path.unlink()


def replaced_by_nothing(path: Path) -> None:
    path.unlink()
    path.touch()


def replaced_by_another_database(path: Path) -> None:
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (a)")
    other.close()


def replaced_by_a_text(path: Path) -> None:
    path.unlink()
    path.write_text("nothing of the kind" * 1000)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(random.Random(1).randbytes(path.stat().st_size))


def without_a_table(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE services")
    db.close()


def with_another_column(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE spans RENAME COLUMN lane TO road")
    db.close()


HARM = [
    deleted,
    replaced_by_nothing,
    replaced_by_another_database,
    replaced_by_a_text,
    emptied,
    cut_short,
    overwritten,
    without_a_table,
]


@pytest.mark.parametrize("harm", HARM)
def test_what_comes_after_harm_is_kept_and_it_is_said_once(
    kept: Kept, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    kept.add(100)
    harm(kept.path)
    with caplog.at_level(logging.WARNING):
        added = [*kept.add(), *kept.add(50)]
    assert kept.found() == added
    assert kept.trace_store.anew == 1
    assert (kept.trace_store.lost, kept.trace_store.failures) == ({}, 0)
    lines = [line for line in caplog.messages if "begin anew" in line]
    (line,) = lines
    assert str(kept.path) in line


@pytest.mark.parametrize("harm", [cut_short, overwritten, without_a_table])
def test_one_damaged_store_is_kept_aside_and_no_more(
    kept: Kept, harm: Callable[[Path], None]
) -> None:
    for _ in range(3):
        kept.add(100)
        harm(kept.path)
        kept.add()
        kept.now += CHECK_SECONDS
    assert kept.trace_store.anew == 3
    names = {file.name for file in kept.path.parent.iterdir()}
    assert names == {"traces.db", "traces.db.damaged"}


def test_what_is_no_store_of_ours_is_kept_aside_each(kept: Kept) -> None:
    for number in range(2):
        kept.add()
        kept.path.unlink()
        kept.path.write_text(f"text {number}" * 1000)
        kept.add()
        kept.now += CHECK_SECONDS
        (aside,) = kept.path.parent.glob("traces.db.2*")
        assert aside.read_text().startswith(f"text {number}")
        aside.rename(kept.path.with_name(f"looked at {number}"))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 9000)), min_size=1, max_size=4))
def test_garbage_anywhere_ends_neither_writing_nor_reading(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, int]]
) -> None:
    """Check that events after any damage are kept and read."""
    path = tmp_path_factory.mktemp("garbage") / "traces.db"
    kept = Kept(path)
    kept.add(200)
    for place, n in places:
        with path.open("r+b") as file:
            file.seek(int(place * path.stat().st_size))
            file.write(os.urandom(n))
        kept.add()
        kept.trace_store.check()
        kept.now += CHECK_SECONDS
        kept.trace_store.check()
        added = kept.add()
        assert kept.found()[-1:] == added
        reader = Reader(path)
        for id in kept.found():
            reader.spans(id)
        reader.close()
    kept.trace_store.close()


def test_a_journal_that_belongs_to_nothing_harms_no_new_store(tmp_path: Path) -> None:
    """Check a journal that a killed process has left, of a database that was deleted then."""
    path = tmp_path / "traces.db"
    journal = path.with_name("traces.db-journal")
    kept = Kept(path)
    kept.add(100)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")  # then it is valid from the beginning
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE traces SET lost = 1")
    db.execute("DROP TABLE spans")
    left = journal.read_bytes()
    db.execute("ROLLBACK")
    db.close()
    kept.trace_store.close()
    path.unlink()
    journal.write_bytes(left)
    kept = Kept(path)
    added = kept.add(3)
    assert kept.found() == added
    kept.trace_store.close()
    assert {file.name for file in tmp_path.iterdir()} == {"traces.db"}


def test_where_no_file_can_be_it_is_tried_again(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.add()
    kept.path.unlink()
    kept.path.mkdir()
    kept.add()
    kept.add()
    assert kept.trace_store.lost == {"no_store": 4}
    assert not kept.trace_store.is_open
    kept.path.rmdir()
    kept.add()
    kept.now += RETRY_SECONDS
    added = kept.add()
    assert kept.found() == added
    assert kept.trace_store.lost == {"no_store": 6}
    assert len([line for line in caplog.messages if "no traces are kept" in line]) == 1


def test_a_span_for_which_there_is_no_room_is_refused_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trace_store = RecoveringStore(tmp_path / "traces.db", Limits(bytes=1 << 20))
    large = event(True, 2, trace=7, name="y" * (2 << 20))  # info is bounded, labels are not
    trace_store.add([*whole(1), *whole(3), large, *whole(4)])
    assert (trace_store.lost, trace_store.failures) == ({"no_room": 1}, 0)
    reader = Reader(trace_store.path)
    assert reader.spans(id_of(7)) == []
    assert [span.id for span in reader.spans(id_of(1000))] == [id_of(1), id_of(3), id_of(4)]
    reader.close()
    (line,) = caplog.messages
    assert "no room for a span" in line
    trace_store.close()


def test_errors_of_a_disk_are_tried_again_once_and_looked_into_now_and_then(
    tmp_path: Path,
) -> None:
    opened, fails = 0, 1

    class Disk(TraceStore):
        def add(self, events: object) -> None:
            nonlocal fails
            if fails:
                fails -= 1
                raise sqlite3.OperationalError("disk I/O error")
            super().add(events)  # type: ignore[arg-type]

    def opening(path: Path, counts: object) -> TraceStore:
        nonlocal opened
        opened += 1
        return Disk(path, counts=counts)  # type: ignore[arg-type]

    now = [0.0]
    trace_store = RecoveringStore(tmp_path / "traces.db", opening=opening, monotonic=lambda: now[0])
    trace_store.add(whole(1))
    assert (opened, trace_store.lost) == (2, {})
    fails = 10**9
    for _ in range(100):
        trace_store.add(whole(1))
    assert (opened, trace_store.lost) == (2, {"not_written": 200})
    now[0] += CHECK_SECONDS
    fails = 1
    trace_store.add(whole(2))
    assert (opened, trace_store.lost, trace_store.anew) == (3, {"not_written": 200}, 0)
    trace_store.close()


def test_a_file_that_is_gone_is_made_anew_though_nothing_comes(kept: Kept) -> None:
    kept.add()
    kept.path.unlink()
    kept.trace_store.expire()
    assert kept.found() == []
    assert kept.trace_store.anew == 1


def test_a_file_that_is_gone_is_seen_at_once_each_time(kept: Kept) -> None:
    """Check losses one right after the other: they need no check of a whole file, and so no
    pause."""
    for _ in range(3):
        kept.add()
        kept.path.unlink()
        added = kept.add()
        assert kept.found() == added
    assert (kept.trace_store.lost, kept.trace_store.anew) == ({}, 3)


def test_two_who_have_it_open_agree_on_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    first, second = Kept(path), Kept(path)
    first.add(100)
    second.add()
    overwritten(path)
    first.trace_store.check()
    second.trace_store.check()
    first.trace_store.add(whole(1, trace=500))
    second.trace_store.add(whole(1, trace=501))
    assert sorted(first.found()) == [id_of(500), id_of(501)]
    assert {file.name for file in tmp_path.iterdir()} == {"traces.db", "traces.db.damaged"}
    first.trace_store.close()
    second.trace_store.close()


@pytest.mark.parametrize("harm", [overwritten, cut_short, emptied, with_another_column])
def test_who_asks_of_a_damaged_store_has_an_answer(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    path = tmp_path / "traces.db"
    traces = Traces(path)
    traces.add(lambda: [one for n in range(1, 500) for one in whole(1, trace=n)], 998, 1)
    assert traces.settle(60)
    assert len(traces.find(Query(limit=1000))) == 499
    harm(path)
    assert traces.spans(id_of(1)) == []
    assert traces.find(Query()) == []
    assert traces.anew() == 1
    traces.close()


def test_what_damage_has_made_of_a_text_is_no_error(tmp_path: Path) -> None:
    """Check damage that leaves a text of the same form, which nobody can tell from the right
    one."""
    path = tmp_path / "traces.db"
    store = TraceStore(path)
    store.add([*whole(1, info={"x": "y" * 100}), *whole(2, info={"x": "z"}, name="soft")])
    store.close()
    said = path.read_bytes()
    assert said.count(b"y" * 100) == 2
    path.write_bytes(said.replace(b"y" * 100, b'"\xff' * 50).replace(b"soft", b"so\xfft"))
    traces = Traces(path)
    first, second = traces.spans(id_of(1000))
    assert (first.start_info, first.stop_info, first.is_cut) == ({}, {}, True)
    assert (second.name, second.start_info) == ("so\ufffdt", {"x": "z"})
    assert traces.anew() == 0
    traces.close()
