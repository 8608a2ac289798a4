# SPDX-License-Identifier: Apache-2.0
"""Series that are defined without an event, and series that are removed: the C functions alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.test_overflow import CALLS, COUNTER, GAUGE, HISTOGRAM, LANE_FULL, Node, read

DICTIONARY_BYTES, CELLS = 4096, 256

_core: Any = None


@pytest.fixture(autouse=True)
def _use_core(core: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    global _core
    _core = core
    monkeypatch.setattr("tests.core.test_overflow._core", core)


@pytest.fixture
def node() -> Any:
    found = Node(64, DICTIONARY_BYTES, CELLS)
    yield found
    found.free()


def add(node: Node, series: Any, n: int = 1) -> None:
    for _ in range(n):
        _core.lib.shm_emit_add(node.producer, series, 1.0)


def remove(node: Node, series: Any) -> None:
    _core.lib.shm_series_remove(node.producer, series)


def declare(node: Node, series: Any) -> bool:
    return bool(_core.lib.shm_declare(node.producer, series))


def dropped(node: Node) -> list[int]:
    counts = node.counts()  # which has the array
    return list(counts.dropped)


def entries(node: Node) -> int:
    return int(node.producer.dictionary_end)


# ---- removal -----------------------------------------------------------------------------


def test_a_removed_series_records_nothing_and_drops_nothing(node: Node) -> None:
    jobs = node.family(COUNTER, "jobs", 1)
    one, other = node.series(jobs, ("a",)), node.series(jobs, ("b",))
    add(node, one, 2)
    add(node, other, 3)
    remove(node, one)
    add(node, one, 5)
    add(node, other)
    node.drain()
    assert [row.values for row in node.rows] == [("a",), ("b",)]
    assert [read(row) for row in node.rows] == [(2.0,), (4.0,)]
    assert node.removed == [1]
    assert not any(dropped(node))
    assert node.counts().overflowed == 0


def test_it_is_a_new_series_when_it_is_made_anew(node: Node) -> None:
    jobs = node.family(COUNTER, "jobs", 1)
    for n in range(1, 4):
        series = node.series(jobs, ("a",))
        add(node, series, n)
        remove(node, series)
    node.drain()
    assert [read(row) for row in node.rows] == [(1.0,), (2.0,), (3.0,)]
    assert node.removed == [1, 2, 3]


def test_a_series_that_no_lane_has_is_removed_without_a_word(node: Node) -> None:
    jobs = node.family(COUNTER, "jobs", 1)
    before = entries(node)
    series, spilled_over = node.series(jobs, ("a",)), node.series(jobs, None)
    remove(node, series)
    assert entries(node) == before
    add(node, series)
    add(node, spilled_over)  # in the overflow series, which stays
    remove(node, spilled_over)
    add(node, spilled_over)
    node.drain()
    assert [read(row) for row in node.rows] == [(1.0,)]
    assert node.removed == []


def test_it_is_removed_once(node: Node) -> None:
    series = node.series(node.family(COUNTER, "jobs", 1), ("a",))
    add(node, series)
    remove(node, series)
    before = entries(node), node.producer.reserved.bytes
    remove(node, series)
    assert (entries(node), node.producer.reserved.bytes) == before


def test_the_one_series_of_a_family_without_labels_stays(node: Node) -> None:
    series = node.series(node.family(COUNTER, "jobs", 0), ())
    add(node, series)
    remove(node, series)
    add(node, series)
    node.drain()
    assert [read(row) for row in node.rows] == [(2.0,)]
    assert node.removed == []


@pytest.mark.parametrize("type", [COUNTER, GAUGE, HISTOGRAM, CALLS])
def test_a_full_lane_has_room_for_the_removal_of_all_that_it_has(node: Node, type: int) -> None:
    family = node.family(type, "jobs", 1)
    made: list[Any] = []
    while declare(node, series := node.series(family, (f"{len(made)}",))):
        made.append(series)
    assert len(made) > 3
    for series in made:
        remove(node, series)
    assert entries(node) <= DICTIONARY_BYTES
    if type != GAUGE:  # and for the overflow series still
        late = node.series(family, ("late",))
        if type == COUNTER:
            add(node, late)
        elif type == HISTOGRAM:
            _core.lib.shm_emit_observe(node.producer, late, 1.0)
        else:
            call = _core.ffi.new("struct shm_call *")
            _core.lib.shm_emit_call_start(node.producer, late, call)
    node.drain()
    assert node.removed == list(range(1, len(made) + 1))
    assert not any(dropped(node))
    # The overflow series' late cells, and its exceptions.
    assert node.producer.reserved.bytes == {HISTOGRAM: 16, CALLS: 16 + 32}.get(type, 0)


def test_the_end_of_a_call_whose_series_is_removed_gives_its_slot_back(node: Node) -> None:
    family = node.family(CALLS, "rpc", 1)
    series, other = node.series(family, ("a",)), node.series(family, ("b",))
    calls = [_core.ffi.new("struct shm_call *") for _ in range(4)]
    for call in calls[:3]:
        _core.lib.shm_emit_call_start(node.producer, series, call)
    remove(node, series)
    thrown = node.exception(series, "KeyError")
    for call in calls[:3]:
        _core.lib.shm_emit_call_end(node.producer, series, call, thrown)
        _core.lib.shm_emit_call_end(node.producer, series, call, thrown)
    for call in calls:  # all four slots are free
        _core.lib.shm_emit_call_start(node.producer, other, call)
    node.drain()
    assert [read(row) for row in node.rows] == [(3, 0, 0), (4, 0, 0)]
    found = _core.ffi.new("struct shm_open_call_copy[8]")
    n = _core.lib.shm_drain_calls(node.drain_, found, 8)
    assert [found[i].series for i in range(n)] == [2, 2, 2, 2]
    assert not any(dropped(node))


# ---- without an event --------------------------------------------------------------------


@pytest.mark.parametrize("labels", [("a",), ()])
@pytest.mark.parametrize("type", [COUNTER, HISTOGRAM, CALLS])
def test_a_declared_series_is_there_and_has_no_event(
    node: Node, type: int, labels: tuple[str, ...]
) -> None:
    series = node.series(node.family(type, "jobs", len(labels)), labels)
    for _ in range(3):
        assert declare(node, series)
    node.drain()
    assert [row.values for row in node.rows] == [labels]
    assert not any(read(node.rows[0]))
    assert (node.counts().recorded, node.counts().spilled) == (0, 0)


def test_a_gauge_that_was_never_set_is_0_and_has_no_stamp(node: Node) -> None:
    series = node.series(node.family(GAUGE, "busy", 1), ("a",))
    assert declare(node, series)
    node.drain()
    found = _core.ffi.new("struct shm_gauge_copy[2]")
    assert _core.lib.shm_drain_gauges(node.drain_, 1, found, 2) == 1
    assert (found[0].series, found[0].value, found[0].stamp_ns) == (1, 0.0, 0)


def test_what_has_no_room_is_not_counted_until_it_has_an_event(node: Node) -> None:
    family = node.family(COUNTER, "jobs", 1)
    assert declare(node, node.series(family, ("x" * 3900,)))
    late = node.series(family, ("y" * 100,))
    before = entries(node)
    for _ in range(3):
        assert not declare(node, late)
    assert not declare(node, node.series(node.family(COUNTER, "n" * 100, 0), ()))
    assert entries(node) == before
    assert not any(dropped(node))
    assert node.counts().overflowed == 0
    add(node, late)
    assert node.counts().overflowed == 1


def test_what_can_have_no_series_of_its_own_has_nothing_to_wait_for(node: Node) -> None:
    family = node.family(COUNTER, "jobs", 1)
    before = entries(node)
    assert declare(node, node.series(family, None))
    assert declare(node, node.series(family, ("x" * 20_000,)))
    assert declare(node, node.series(node.family(COUNTER, "n" * 20_000, 0), ()))
    removed = node.series(family, ("a",))
    remove(node, removed)
    assert declare(node, removed)
    node.drain()
    assert node.rows == []
    assert entries(node) == before
    assert dropped(node)[LANE_FULL] == 0
