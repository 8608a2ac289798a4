# SPDX-License-Identifier: Apache-2.0
"""A lane from producer to drain, against plain Python sums: what spills and what does not."""

from __future__ import annotations

import math
import struct
import sys
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

BOUNDS = [0.25, 1.0, 4.0]
FINE = [0.25, 0.5, 1.0, 4.0, math.inf]
ENDS = [1, 3, 4, 5]  # of the fine intervals in a bucket
COUNTER, GAUGE, HISTOGRAM, CALLS = 1, 2, 3, 4
FIRST_COUNT = {HISTOGRAM: 1, CALLS: 3}

# Multiples of 1/8 add up exactly in any order.
amounts = st.integers(0, 80).map(lambda n: n / 8)

_core: Any = None


@pytest.fixture(autouse=True)
def _use_core(core: Any) -> None:
    global _core
    _core = core


class Lane:
    """Producer and drain of one lane; every series is bound to cells of its own."""

    def __init__(self, records: int, cells: int = 64, dictionary_bytes: int = 4096) -> None:
        self.lib, self.ffi = _core.lib, _core.ffi
        self.shim = self.lib.shim_new(records, dictionary_bytes, cells, 4)
        self.producer = self.ffi.addressof(self.shim, "producer")
        self.drain_ = self.ffi.addressof(self.shim, "drain")
        self.kept: list[Any] = []
        self.used = 0
        self.cells: dict[int, Any] = {}
        self.types: dict[int, int] = {}
        self.bounds = self.ffi.new("double[]", BOUNDS)
        self.fine = self.ffi.new("double[]", FINE)
        self.scale = self.ffi.new("struct shm_scale *")
        self.lib.shm_scale_init(self.scale, self.fine, len(FINE) - 1, self.bounds, len(BOUNDS))

    def series(self, type: int) -> Any:
        text = self.ffi.from_buffer(b"\0" * 8)
        n_bounds = len(BOUNDS) if type in (HISTOGRAM, CALLS) else 0
        head = struct.pack(f"={n_bounds}d", *BOUNDS[:n_bounds]) + b"\0" * 8
        family_text = self.ffi.from_buffer(head)
        family = self.ffi.new(
            "struct shm_family *", [type, n_bounds, self.bounds, family_text, len(head)]
        )
        series = self.ffi.new("struct shm_series *")
        series.type, series.n_bounds, series.bounds = type, n_bounds, self.bounds
        series.family, series.text, series.text_bytes = family, text, 8
        self.kept += [text, family_text, head, family, series]
        return series

    def exception(self, parent: Any) -> Any:
        series = self.ffi.new("struct shm_series *")
        text = self.ffi.from_buffer(b"\0" * 8)
        series.type, series.parent, series.text, series.text_bytes = 5, parent, text, 8
        self.kept += [text, series]
        return series

    def drain(self) -> None:
        entry = self.ffi.new("struct shm_entry *")
        buffer = self.ffi.new("unsigned char[]", 16384)
        family_types = self.__dict__.setdefault("family_types", [])
        while (found := self.lib.shm_drain_pass(self.drain_)) == self.lib.SHM_DRAIN_ENTRIES:
            while True:
                assert self.lib.shm_drain_entry(self.drain_, entry, buffer) == 0
                if entry.size_bytes == 0:
                    break
                if entry.kind == 4:  # cells of a series that is bound already
                    continue
                if entry.kind == 1:
                    family_types.append(entry.type)
                    continue
                type = 5 if entry.kind == 3 else family_types[entry.of - 1]
                n_bounds = len(BOUNDS) if type in (HISTOGRAM, CALLS) else 0
                cells = self.shim.cells + self.used
                self.used += 16
                self.cells[entry.id], self.types[entry.id] = cells, type
                bound = self.lib.shm_drain_bind(self.drain_, type, n_bounds, self.scale, cells)
                assert bound == self.lib.SHM_DRAINED
        assert found == self.lib.SHM_DRAINED

    def value(self, series: Any, cell: int = 0) -> float:
        (value,) = struct.unpack("=d", struct.pack("=Q", self.count(series, cell)))
        return float(value)

    def count(self, series: Any, cell: int) -> int:
        return int(self.cells[series.id][cell]) if series.id in self.cells else 0

    def buckets(self, series: Any) -> list[int]:
        """Return what each classic bucket has: its fine intervals, and what was spilled."""
        counts = FIRST_COUNT[series.type]
        cells = [self.count(series, counts + i) for i in range(len(FINE) + len(BOUNDS) + 1)]
        fine, coarse = cells[: len(FINE)], cells[len(FINE) :]
        return [
            sum(fine[begin:end]) + spilled
            for begin, end, spilled in zip([0, *ENDS], ENDS, coarse, strict=False)
        ]

    def counts(self) -> Any:
        counts = self.ffi.new("struct shm_counts *")
        self.lib.shim_counts(self.shim, counts)
        return counts

    def free(self) -> None:
        self.lib.shim_free(self.shim)


def add_record(lane: Lane, counter: Any, amount: float) -> None:
    _core.lib.shm_emit_add_traced(lane.producer, counter, amount, _core.ffi.NULL)


def bucket(value: float) -> int:
    return sum(value > bound for bound in BOUNDS)


class LaneMachine(RuleBasedStateMachine):
    """Events in any order, drains at any moment; after each drain all totals are exact."""

    @initialize(power=st.integers(1, 6))
    def make(self, power: int) -> None:
        self.lane = Lane(1 << power)
        self.counters = [self.lane.series(COUNTER) for _ in range(2)]
        self.histogram = self.lane.series(HISTOGRAM)
        self.calls = self.lane.series(CALLS)
        self.thrown = self.lane.exception(self.calls)
        self.gauge = self.lane.series(GAUGE)
        self.totals = [0.0, 0.0]
        self.sum = 0.0
        self.buckets: Counter[int] = Counter()
        self.starts = self.ends = self.raised = 0
        self.open: list[Any] = []
        self.gauge_value: float | None = None
        self.events = 0

    @rule(which=st.integers(0, 1), amount=amounts, n=st.integers(1, 60), as_record=st.booleans())
    def add(self, which: int, amount: float, n: int, as_record: bool) -> None:
        for _ in range(n):
            if as_record:
                add_record(self.lane, self.counters[which], amount)
            else:
                _core.lib.shm_emit_add(self.lane.producer, self.counters[which], amount)
        self.totals[which] += amount * n
        self.events += n

    @rule(value=amounts, n=st.integers(1, 60))
    def observe(self, value: float, n: int) -> None:
        for _ in range(n):
            _core.lib.shm_emit_observe(self.lane.producer, self.histogram, value)
        self.sum += value * n
        self.buckets[bucket(value)] += n
        self.events += n

    @rule()
    def start(self) -> None:
        call = _core.ffi.new("struct shm_call *")
        _core.lib.shm_emit_call_start(self.lane.producer, self.calls, call)
        self.open.append(call)
        self.starts += 1
        self.events += 1

    @rule(raises=st.booleans(), data=st.data())
    def end(self, raises: bool, data: st.DataObject) -> None:
        if self.open:
            call = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            thrown = self.thrown if raises else _core.ffi.NULL
            for _ in range(2):  # the second end does nothing
                _core.lib.shm_emit_call_end(self.lane.producer, self.calls, call, thrown)
            self.ends += 1
            self.raised += raises
            self.events += 1

    @rule(value=st.floats(), add=st.booleans())
    def set_gauge(self, value: float, add: bool) -> None:
        _core.lib.shm_emit_gauge(self.lane.producer, self.gauge, value, add, False)
        self.gauge_value = (self.gauge_value or 0.0) + value if add else value

    @rule()
    def drain(self) -> None:
        self.lane.drain()
        lane = self.lane
        for series, total in zip(self.counters, self.totals, strict=True):
            assert lane.value(series) == total
        assert lane.value(self.histogram) == self.sum
        assert lane.buckets(self.histogram) == [self.buckets[i] for i in range(4)]
        assert lane.count(self.calls, 0) == self.starts
        assert lane.count(self.calls, 1) == self.ends
        assert sum(lane.buckets(self.calls)) == self.ends
        assert lane.value(self.thrown) == self.raised
        self.check_state()

    def check_state(self) -> None:
        found = _core.ffi.new("struct shm_open_call_copy[]", 8)
        n = _core.lib.shm_drain_calls(self.lane.drain_, found, 8)
        listed = sorted(found[i].start_ns for i in range(n))
        tracked = sorted(call.start_ns for call in self.open if call.slot != 2**32 - 1)
        assert listed == tracked
        gauges = _core.ffi.new("struct shm_gauge_copy[]", 2)
        if self.gauge_value is not None:
            assert _core.lib.shm_drain_gauges(self.lane.drain_, 1, gauges, 2) == 1
            assert struct.pack("=d", gauges[0].value) == struct.pack("=d", self.gauge_value) or (
                gauges[0].value != gauges[0].value and self.gauge_value != self.gauge_value
            )
        counts = self.lane.counts()
        assert counts.recorded + counts.spilled == self.events

    def teardown(self) -> None:
        if hasattr(self, "lane"):
            self.drain()
            self.lane.free()


TestLane = LaneMachine.TestCase


def test_a_full_ring_spills_and_loses_nothing(core: Any) -> None:
    lane = Lane(8)
    counter, histogram = lane.series(COUNTER), lane.series(HISTOGRAM)
    for _ in range(1000):
        add_record(lane, counter, 0.5)
        core.lib.shm_emit_observe(lane.producer, histogram, 0.5)
    assert lane.counts().recorded == 8
    assert lane.counts().spilled == 1992
    lane.drain()
    assert lane.value(counter) == 500.0
    assert lane.value(histogram) == 500.0
    assert lane.buckets(histogram)[bucket(0.5)] == 1000
    lane.free()


def test_an_add_takes_no_room_in_the_ring(core: Any) -> None:
    lane = Lane(8)
    counter, histogram = lane.series(COUNTER), lane.series(HISTOGRAM)
    for _ in range(1000):
        core.lib.shm_emit_add(lane.producer, counter, 0.5)
    for _ in range(8):
        core.lib.shm_emit_observe(lane.producer, histogram, 0.5)
    assert lane.counts().recorded == 1008
    assert lane.counts().spilled == 0
    lane.drain()
    assert lane.value(counter) == 500.0
    core.lib.shm_emit_add(lane.producer, counter, 0.5)
    lane.drain()
    assert lane.value(counter) == 500.5
    lane.free()


def test_a_family_for_which_there_is_no_room_is_counted(core: Any) -> None:
    lane = Lane(64, dictionary_bytes=64)
    series = [lane.series(COUNTER) for _ in range(5)]
    for one in series:
        core.lib.shm_emit_add(lane.producer, one, 1.0)
    lane.drain()
    kept = sum(lane.value(one) for one in series if one.id)
    assert kept == lane.counts().recorded
    assert kept + lane.counts().dropped[0] == 5
    assert kept > 0
    lane.free()


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), float("-inf")])
def test_a_counter_takes_no_bad_value(core: Any, value: float) -> None:
    lane = Lane(8)
    counter = lane.series(COUNTER)
    core.lib.shm_emit_add(lane.producer, counter, 1.0)
    core.lib.shm_emit_add(lane.producer, counter, value)
    add_record(lane, counter, value)
    lane.drain()
    assert lane.value(counter) == 1.0
    assert lane.counts().recorded == 1
    assert lane.counts().dropped[2] == 2
    lane.free()


def test_a_total_that_would_not_be_finite_stays_as_it_was(core: Any) -> None:
    lane = Lane(8)
    counter = lane.series(COUNTER)
    for _ in range(3):
        core.lib.shm_emit_add(lane.producer, counter, 1e308)
    lane.drain()
    assert lane.value(counter) == 1e308
    assert lane.counts().dropped[2] == 2
    lane.free()


def test_more_open_calls_than_slots_are_counted_and_not_listed(core: Any) -> None:
    lane = Lane(64)
    calls = lane.series(CALLS)
    tokens = [core.ffi.new("struct shm_call *") for _ in range(6)]
    for token in tokens:
        core.lib.shm_emit_call_start(lane.producer, calls, token)
    lane.drain()
    found = core.ffi.new("struct shm_open_call_copy[]", 16)
    assert core.lib.shm_drain_calls(lane.drain_, found, 16) == 4
    assert lane.counts().dropped[5] == 2
    for token in tokens:
        core.lib.shm_emit_call_end(lane.producer, calls, token, core.ffi.NULL)
    lane.drain()
    assert core.lib.shm_drain_calls(lane.drain_, found, 16) == 0
    assert lane.count(calls, 0) == lane.count(calls, 1) == 6
    lane.free()


# ---- totals that doubles can hardly hold, or not at all ------------------------------------

HUGE = 1.7e308
LARGEST = sys.float_info.max
SPILLED_HERE = 2  # records of a ring that is soon full


def observe(lane: Lane, histogram: Any, *values: float) -> None:
    for value in values:
        _core.lib.shm_emit_observe(lane.producer, histogram, value)


@pytest.mark.parametrize("records", [0, 2, 8], ids=["spilled", "both", "recorded"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_sum_that_no_double_holds_is_infinite_and_its_lane_goes_on(
    core: Any, records: int, sign: float
) -> None:
    lane = Lane(records)
    counter, histogram = lane.series(COUNTER), lane.series(HISTOGRAM)
    observe(lane, histogram, sign * HUGE, sign * HUGE)
    core.lib.shm_emit_add(lane.producer, counter, 1.0)
    lane.drain()
    assert lane.value(histogram) == sign * math.inf
    observe(lane, histogram, -sign * HUGE, -sign * HUGE, -sign * HUGE, 0.5)
    core.lib.shm_emit_add(lane.producer, counter, 1.0)
    lane.drain()
    assert lane.value(histogram) == sign * math.inf
    assert sum(lane.buckets(histogram)) == 6
    assert lane.value(counter) == 2.0
    lane.free()


def test_a_sum_may_go_from_end_to_end_between_two_looks(core: Any) -> None:
    """Both ends are finite, what lies between them is not."""
    lane = Lane(0)
    histogram = lane.series(HISTOGRAM)
    observe(lane, histogram, -HUGE)
    lane.drain()
    for value in (HUGE, -HUGE):
        observe(lane, histogram, value, value)
        lane.drain()
        assert lane.value(histogram) == value
    lane.free()


@pytest.mark.parametrize("records", [0, 2, 8], ids=["spilled", "both", "recorded"])
def test_a_counter_stops_at_the_largest_number(core: Any, records: int) -> None:
    """Also one whose events are records, or become totals because there is no room for these."""
    lane = Lane(records)
    counter = lane.series(COUNTER)
    for _ in range(2):
        for _ in range(3):
            add_record(lane, counter, HUGE)
        core.lib.shm_emit_add(lane.producer, counter, 1.0)
        lane.drain()
        assert lane.value(counter) == LARGEST
    lane.free()


class Sums:
    """The twin of a sum in the store: records one by one, and what the lane's own has moved by."""

    def __init__(self) -> None:
        self.shown = self.spilled = self.seen = 0.0
        self.recorded: list[float] = []

    def drain(self) -> None:
        for value in self.recorded:
            self.shown = self._plus(self.shown, Fraction(value))
        self.recorded = []
        if not math.isfinite(self.spilled):
            if self.spilled != self.seen and math.isfinite(self.shown):
                self.shown = self.spilled
        else:
            self.shown = self._plus(self.shown, Fraction(self.spilled) - Fraction(self.seen))
        self.seen = self.spilled

    @staticmethod
    def _plus(sum: float, value: Fraction) -> float:
        if not math.isfinite(sum):
            return sum
        try:
            return float(Fraction(sum) + value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf


@example([HUGE, 1e300, -HUGE, None, HUGE, -HUGE, HUGE, HUGE])  # a step of two of the largest
@given(st.lists(st.sampled_from((HUGE, -HUGE, LARGEST, -LARGEST, 1e300, 0.5, None)), max_size=40))
def test_a_sum_is_what_its_values_add_up_to_however_they_come(
    core: Any, values: list[float | None]
) -> None:
    """None: a drain. No sum is ever no number, and no lane is broken."""
    lane = Lane(SPILLED_HERE)
    histogram = lane.series(HISTOGRAM)
    twin = Sums()
    for value in (*values, None):
        if value is None:
            lane.drain()
            twin.drain()
            assert lane.value(histogram) == pytest.approx(
                twin.shown, rel=1e-14, abs=LARGEST / 2**50
            )
        else:
            spilled = lane.counts().spilled
            observe(lane, histogram, value)
            if lane.counts().spilled == spilled:
                twin.recorded.append(value)
            else:
                twin.spilled += value
    assert sum(lane.buckets(histogram)) == len(values) - values.count(None)
    lane.free()
