# SPDX-License-Identifier: Apache-2.0
"""Traces go by their true age: whatever is done to the wall clock, and whatever spans say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.traces import store_clock
from shmetrics.traces.reader import Query, Reader
from shmetrics.traces.store import Limits, TraceStore

from .conftest import Opened, id_of, whole

DAY_NS = 86400 * 10**9
LIMITS = Limits(age_seconds=5 * 86400)


@pytest.mark.parametrize("unix_ns", [0, 10**18, 10**18 + 10 * DAY_NS, 2**63 - 1])
def test_no_wall_clock_makes_traces_old_or_keeps_them_young(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, unix_ns: int
) -> None:
    """Check a clock that says 1970 until it is set, or is ten days ahead, and set back later."""
    now_ns = [3600 * 10**9]
    store, reader = opened(LIMITS, boot_ns=lambda: now_ns[0])
    store.add(whole(1, trace=1, at=10**18))
    monkeypatch.setattr(time, "time_ns", lambda: unix_ns)
    monkeypatch.setattr(time, "time", lambda: unix_ns / 1e9)
    store.add(whole(1, trace=2, at=unix_ns - 10))
    now_ns[0] += 4 * DAY_NS
    store.expire()
    assert [trace.id for trace in reader.find()] == [id_of(2), id_of(1)]
    store.add(whole(1, trace=3, at=10**18))
    now_ns[0] += 2 * DAY_NS
    store.expire()
    assert [trace.id for trace in reader.find()] == [id_of(3)]
    assert store.counts.expired == {"age": 2}


def test_a_trace_of_which_more_is_heard_is_young(opened: Opened) -> None:
    now_ns = [DAY_NS]
    store, reader = opened(LIMITS, boot_ns=lambda: now_ns[0])
    store.add(whole(1, trace=1) + whole(1, trace=2))
    now_ns[0] += 4 * DAY_NS
    store.add(whole(2, trace=1))
    now_ns[0] += 2 * DAY_NS
    store.expire()
    assert [trace.id for trace in reader.find()] == [id_of(1)]


def test_what_says_that_it_is_of_the_future_neither_stays_nor_hides_or_pushes_out_others(
    opened: Opened,
) -> None:
    now_ns = [0]
    store, reader = opened(LIMITS._replace(traces=2), boot_ns=lambda: now_ns[0])
    store.add(whole(1, trace=1, at=2**62))
    store.add(whole(1, trace=2, at=100))
    (first,) = reader.find(Query(limit=1))
    assert first.id == id_of(2)
    store.add(whole(1, trace=3, at=50))
    store.expire()
    assert [trace.id for trace in reader.find()] == [id_of(3), id_of(2)]


def test_the_machine_was_started_anew(tmp_path: Path) -> None:
    """Check that traces grow older after a boot; the time without power does not count."""
    path = tmp_path / "traces.db"
    store = TraceStore(path, LIMITS, boot_ns=lambda: 100 * DAY_NS)
    store.add(whole(1))
    store.close()
    left = []
    for boot_ns in (DAY_NS, 4 * DAY_NS, 6 * DAY_NS):
        store = TraceStore(path, LIMITS, boot_ns=lambda boot_ns=boot_ns: boot_ns)  # type: ignore[misc]
        store.expire()
        store.close()
        reader = Reader(path)
        left.append(len(reader.find()))
        reader.close()
    assert left == [1, 1, 0]


def test_two_who_write_agree_how_old_it_is(tmp_path: Path) -> None:
    now_ns = [100 * DAY_NS]
    path = tmp_path / "traces.db"
    first = TraceStore(path, LIMITS, boot_ns=lambda: now_ns[0])
    now_ns[0] += 3 * DAY_NS
    second = TraceStore(path, LIMITS, boot_ns=lambda: now_ns[0])
    second.add(whole(1))
    now_ns[0] += 3 * DAY_NS
    first.expire()
    assert not first.counts.expired
    now_ns[0] += 3 * DAY_NS
    first.expire()
    assert first.counts.expired == {"age": 1}
    second.close()
    first.close()


# Of a machine: how long it was on and the store looked at, again and again; and then how long off.
starts = st.lists(
    st.tuples(st.lists(st.integers(0, 10**6), min_size=1, max_size=5), st.integers(0, 10**6)),
    min_size=1,
    max_size=5,
)


@given(starts)
def test_it_is_never_older_than_it_is_and_as_old_as_the_machine_was_seen_on(
    tmp_path_factory: pytest.TempPathFactory, starts: list[tuple[list[int], int]]
) -> None:
    import sqlite3

    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE age (boot_ns, age_ns)")
    db.execute("INSERT INTO age VALUES (0, 0)")
    true_ns = seen_ns = 0
    for passed, off_ns in starts:
        boot_ns = 0
        age_before_ns = None
        for more_ns in passed:
            boot_ns += more_ns
            true_ns += more_ns
            found_ns = store_clock.age_ns(db, boot_ns)
            assert found_ns <= true_ns
            if age_before_ns is not None:  # it was seen in this start
                assert found_ns == age_before_ns + more_ns
            assert found_ns >= seen_ns
            age_before_ns = seen_ns = found_ns
        true_ns += off_ns
    db.close()


def test_time_that_passes_while_nobody_has_it_open_counts(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    store = TraceStore(path, LIMITS, boot_ns=lambda: 10 * DAY_NS)
    store.add(whole(1))
    store.close()
    store = TraceStore(path, LIMITS, boot_ns=lambda: 16 * DAY_NS)
    store.expire()
    assert store.counts.expired == {"age": 1}
    store.close()
