# SPDX-License-Identifier: Apache-2.0
"""A producer that moves into larger lanes: every total, gauge and open call is that of its twin."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.core import test_overflow
from tests.core.test_overflow import (
    CALLS,
    COUNTER,
    EXCEPTION,
    GAUGE,
    HISTOGRAM,
    OVERFLOW,
    ROW,
    SHIM_CELLS,
    Row,
    double,
    read,
)
from tests.core.test_overflow import Node as OneLane

_core: Any = None


@pytest.fixture(autouse=True)
def _use_core(core: Any) -> None:
    global _core
    _core = test_overflow._core = core


class Left(NamedTuple):
    """A lane that the producer has left."""

    shim: Any
    rows: list[Row]


class Node(OneLane):
    """A producer, its lane, and those that it has left."""

    def __init__(self, records: int, dictionary_bytes: int, n_cells: int) -> None:
        # A call that ends among what waits keeps its slot until the move.
        super().__init__(records, dictionary_bytes, n_cells, n_calls=64)
        _core.lib.shim_may_grow(self.shim)
        self.left: list[Left] = []

    def grow(self, records: int, dictionary_bytes: int, n_cells: int) -> bool:
        """Moves into another lane, after the last drain of this one."""
        self.drain()
        old = _core.lib.shim_grow(self.shim, records, dictionary_bytes, n_cells, 64)
        if not old:
            return False
        assert _core.lib.shim_moved_to(old) == 7
        cells = _core.ffi.new("uint64_t[]", SHIM_CELLS)
        _core.ffi.memmove(cells, self.shim.cells, SHIM_CELLS * 8)
        _core.ffi.memmove(self.shim.cells, bytes(SHIM_CELLS * 8), SHIM_CELLS * 8)
        self.kept.append(cells)
        rows = [row._replace(cells=cells + ROW * at) for at, row in enumerate(self.rows)]
        self.left.append(Left(old, rows))
        self.rows, self.families = [], []
        return True

    def totals(self) -> dict[tuple[int, tuple[str, ...]], list[float]]:
        """By type and label values: what all lanes have counted."""
        self.drain()
        found: dict[Any, list[float]] = defaultdict(lambda: [0.0] * 3)
        for row in [row for left in self.left for row in left.rows] + self.rows:
            if row.type != GAUGE:
                for i, number in enumerate(read(row)):
                    found[row.type, row.values][i] += number
        return dict(found)

    def gauges(self) -> dict[tuple[str, ...], float]:
        copies = _core.ffi.new("struct shm_gauge_copy[]", 64)
        n = _core.lib.shm_drain_gauges(self.drain_, 1, copies, 64)
        values = [(self.rows[copies[i].series - 1].values, copies[i].value) for i in range(n)]
        assert len(dict(values)) == len(values)
        return dict(values)

    def calls(self) -> Counter[tuple[str, ...]]:
        copies = _core.ffi.new("struct shm_open_call_copy[]", 64)
        n = _core.lib.shm_drain_calls(self.drain_, copies, 64)
        return Counter(self.rows[copies[i].series - 1].values for i in range(n))


label_sets = st.integers(0, 7)


class GrowthMachine(RuleBasedStateMachine):
    """Twin: by family and label set what was recorded; nothing overflows without a refusal."""

    @initialize(power=st.integers(1, 4), words=st.integers(70, 160), n_cells=st.integers(20, 60))
    def make(self, power: int, words: int, n_cells: int) -> None:
        self.node = Node(1 << power, 8 * words, n_cells)
        self.labels = [(f"{n}" * 5,) for n in range(8)]
        self.series = {
            type: [self.node.series(family, labels) for labels in self.labels]
            for type, family in (
                (type, self.node.family(type, name, 1))
                for type, name in ((COUNTER, "c"), (GAUGE, "g"), (HISTOGRAM, "h"), (CALLS, "r"))
            )
        }
        self.thrown = [self.node.exception(one, "x") for one in self.series[CALLS]]
        self.wanted: dict[Any, list[float]] = defaultdict(lambda: [0.0] * 3)
        self.gauges: dict[tuple[str, ...], float] = {}
        self.open: list[tuple[int, Any]] = []
        self.refused = False

    def count(self, type: int, which: int, *numbers: float) -> None:
        values = (*self.labels[which], "x") if type == EXCEPTION else self.labels[which]
        for i, number in enumerate(numbers):
            self.wanted[type, values][i] += number

    @rule(which=label_sets, amount=st.integers(0, 80))
    def add(self, which: int, amount: int) -> None:
        _core.lib.shm_emit_add(self.node.producer, self.series[COUNTER][which], amount)
        self.count(COUNTER, which, amount)

    @rule(which=label_sets, amount=st.integers(0, 80), n=st.integers(1, 20))
    def observe(self, which: int, amount: int, n: int) -> None:
        for _ in range(n):
            _core.lib.shm_emit_observe(self.node.producer, self.series[HISTOGRAM][which], amount)
            self.count(HISTOGRAM, which, amount, 1)

    @rule(which=label_sets, value=st.integers(0, 80))
    def set(self, which: int, value: int) -> None:
        series = self.series[GAUGE][which]
        _core.lib.shm_emit_gauge(self.node.producer, series, value, False, False)
        self.gauges[self.labels[which]] = value

    @precondition(lambda self: len(self.open) < 4)
    @rule(which=label_sets)
    def start(self, which: int) -> None:
        call = _core.ffi.new("struct shm_call *")
        _core.lib.shm_emit_call_start(self.node.producer, self.series[CALLS][which], call)
        self.count(CALLS, which, 1)
        self.open.append((which, call))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), throws=st.booleans())
    def end(self, data: st.DataObject, throws: bool) -> None:
        which, call = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        thrown = self.thrown[which] if throws else _core.ffi.NULL
        _core.lib.shm_emit_call_end(self.node.producer, self.series[CALLS][which], call, thrown)
        self.count(CALLS, which, 0, 1, 1)
        if throws:
            self.count(EXCEPTION, which, 1)

    @rule()
    def drain(self) -> None:
        self.node.drain()

    @rule(power=st.integers(1, 4), words=st.integers(100, 400), n_cells=st.integers(40, 200))
    def grow(self, power: int, words: int, n_cells: int) -> None:
        """Into a lane that may be too small."""
        if self.node.grow(1 << power, 8 * words, n_cells):
            self.is_as_wanted()

    @rule()
    def arrive(self) -> None:
        assert self.node.grow(16, 16384, 400)
        self.is_as_wanted()

    def is_as_wanted(self) -> None:
        """What the lanes say is what was recorded, but for a label set that has never been seen."""
        assert {key: total for key, total in self.node.totals().items() if any(total)} == {
            key: total for key, total in self.wanted.items() if any(total)
        }
        assert self.node.gauges() == self.gauges
        assert self.node.calls() == Counter(self.labels[which] for which, _ in self.open)
        assert self.node.counts().overflowed == 0
        assert sum(self.node.counts().dropped) == 0
        assert not self.node.producer.wants_larger

    def teardown(self) -> None:
        if hasattr(self, "node"):
            self.arrive()


TestGrowth = GrowthMachine.TestCase


def test_a_series_without_room_waits_and_is_there_after_the_move(core: Any) -> None:
    node = Node(8, 480, 64)
    family = node.family(COUNTER, "jobs", 1)
    series = [node.series(family, (f"queue {n}",)) for n in range(20)]
    for one in series * 3:
        core.lib.shm_emit_add(node.producer, one, 1.0)
    assert node.producer.waiting
    assert sum(total[0] for total in node.totals().values()) < 60
    assert node.grow(8, 4096, 64)
    assert node.totals() == {(COUNTER, (f"queue {n}",)): [3.0, 0.0, 0.0] for n in range(20)}


def test_a_lane_too_small_is_left_alone(core: Any) -> None:
    node = Node(8, 480, 64)
    family = node.family(COUNTER, "jobs", 1)
    series = [node.series(family, (f"queue {n}",)) for n in range(20)]
    for one in series:
        core.lib.shm_emit_add(node.producer, one, 1.0)
    assert not node.grow(8, 240, 64)
    for one in series:
        core.lib.shm_emit_add(node.producer, one, 1.0)
    assert node.grow(8, 4096, 64)
    assert sum(total[0] for total in node.totals().values()) == 40


def test_what_waited_for_nothing_overflows_and_counts(core: Any) -> None:
    node = Node(8, 1024, 64)
    jobs, size, rpc, busy = (
        node.family(type, name, 1)
        for type, name in ((COUNTER, "c"), (HISTOGRAM, "h"), (CALLS, "r"), (GAUGE, "g"))
    )
    open_call = core.ffi.new("struct shm_call *")
    for n in range(12):
        values = (f"queue {n}",)
        call = core.ffi.new("struct shm_call *")
        calls = node.series(rpc, values)
        core.lib.shm_emit_add(node.producer, node.series(jobs, values), 0.5)
        core.lib.shm_emit_observe(node.producer, node.series(size, values), 2.0)
        core.lib.shm_emit_gauge(node.producer, node.series(busy, values), 1.0, False, False)
        core.lib.shm_emit_call_start(node.producer, calls, call)
        core.lib.shm_emit_call_end(node.producer, calls, call, node.exception(calls, "x"))
    core.lib.shm_emit_call_start(node.producer, calls, open_call)
    assert node.producer.waiting
    core.lib.shim_settle(node.shim)
    found = node.totals()
    assert sum(total[0] for (type, _), total in found.items() if type == COUNTER) == 6
    assert [
        sum(total[i] for (type, _), total in found.items() if type == HISTOGRAM) for i in (0, 1)
    ] == [24, 12]
    assert [
        sum(total[i] for (type, _), total in found.items() if type == CALLS) for i in range(3)
    ] == [13, 12, 12]
    assert sum(total[0] for (type, _), total in found.items() if type == EXCEPTION) == 12
    assert found[COUNTER, (OVERFLOW,)][0] > 0
    assert node.counts().overflowed > 0
    assert sum(node.calls().values()) == 1
    core.lib.shm_emit_call_end(node.producer, calls, open_call, core.ffi.NULL)
    assert node.calls() == Counter()
    assert double(node.rows[0].cells) >= 0
