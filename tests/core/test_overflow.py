# SPDX-License-Identifier: Apache-2.0
"""A lane without room for every series: what has none counts in its family's overflow series."""

from __future__ import annotations

import math
import struct
from collections import Counter, defaultdict
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shmetrics.dictionary import Definition, decode_strings, encode_definition, encode_strings

BOUNDS = (0.25, 1.0, 4.0)
COUNTER, GAUGE, HISTOGRAM, CALLS, EXCEPTION = 1, 2, 3, 4, 5
CELLS = 4  # a kind of entry
NO_CELLS = 2**32 - 1
LANE_FULL, OVERSIZED = 0, 1
ROW = 16  # cells of the store per series
SHIM_CELLS = 4096  # see shim.h
OVERFLOW = "__overflow__"

_core: Any = None


@pytest.fixture(autouse=True)
def _use_core(core: Any) -> None:
    global _core
    _core = core


class Row(NamedTuple):
    """A series as the lane's dictionary defines it."""

    type: int
    family: int
    values: tuple[str, ...]
    cells: Any


class Node:
    """Producer and drain of one lane, and what the lane's dictionary says."""

    def __init__(self, records: int, dictionary_bytes: int, n_cells: int, n_calls: int = 4) -> None:
        self.shim = _core.lib.shim_new(records, dictionary_bytes, n_cells, n_calls)
        self.producer = _core.ffi.addressof(self.shim, "producer")
        self.drain_ = _core.ffi.addressof(self.shim, "drain")
        self.bounds = _core.ffi.new("double[]", (*BOUNDS, math.inf))
        self.scale = _core.ffi.new("struct shm_scale *")
        _core.lib.shm_scale_init(self.scale, self.bounds, len(BOUNDS), self.bounds, len(BOUNDS))
        self.kept: list[Any] = []
        self.families: list[tuple[int, str]] = []  # type and name, by id - 1
        self.rows: list[Row] = []  # by id - 1
        self.removed: list[int] = []  # ids

    def _text(self, payload: bytes) -> tuple[Any, int]:
        text = _core.ffi.from_buffer(payload)
        self.kept.append((text, payload))
        return text, len(payload)

    def family(self, type: int, name: str, n_labels: int) -> Any:
        bounds = BOUNDS if type in (HISTOGRAM, CALLS) else ()
        definition = Definition(type, name, "", "", "", ("l",) * n_labels, bounds)
        text, n_bytes = self._text(encode_definition(definition))
        family = _core.ffi.new(
            "struct shm_family *", [type, len(bounds), self.bounds, text, n_bytes]
        )
        self.kept.append(family)
        return family

    def series(self, family: Any, values: tuple[str, ...] | None) -> Any:
        series = _core.ffi.new("struct shm_series *")
        series.type, series.n_bounds, series.bounds = family.type, family.n_bounds, self.bounds
        series.family = family
        if values is not None:
            series.text, series.text_bytes = self._text(encode_strings(values))
        self.kept.append(series)
        return series

    def exception(self, parent: Any, name: str) -> Any:
        series = _core.ffi.new("struct shm_series *")
        series.type, series.parent = EXCEPTION, parent
        series.text, series.text_bytes = self._text(encode_strings((name,)))
        self.kept.append(series)
        return series

    def drain(self) -> None:
        entry = _core.ffi.new("struct shm_entry *")
        buffer = _core.ffi.new("unsigned char[]", 16384)
        while (found := _core.lib.shm_drain_pass(self.drain_)) == _core.lib.SHM_DRAIN_ENTRIES:
            while True:
                assert _core.lib.shm_drain_entry(self.drain_, entry, buffer) == 0
                if entry.size_bytes == 0:
                    break
                self._bind(entry, bytes(_core.ffi.buffer(buffer, entry.size_bytes))[16:])
        assert found == _core.lib.SHM_DRAINED

    def _bind(self, entry: Any, payload: bytes) -> None:
        if entry.kind == CELLS:
            return
        if entry.kind == 1:
            strings = decode_strings(payload[8 * entry.of :])
            self.families.append((entry.type, strings[0]))
            return
        if entry.kind == 5:
            assert _core.lib.shm_drain_remove(self.drain_, entry.of) == _core.lib.SHM_DRAINED
            self.removed.append(entry.of)
            return
        values = decode_strings(payload)
        if entry.kind == 3:
            parent = self.rows[entry.of - 1]
            type, family, values = EXCEPTION, parent.family, (*parent.values, *values)
        else:
            (type, _), family = self.families[entry.of - 1], entry.of
        assert ROW * (len(self.rows) + 1) <= SHIM_CELLS
        cells = self.shim.cells + ROW * len(self.rows)
        n_bounds = len(BOUNDS) if type in (HISTOGRAM, CALLS) else 0
        assert _core.lib.shm_drain_bind(self.drain_, type, n_bounds, self.scale, cells) == 0
        self.rows.append(Row(type, family, values, cells))

    def counts(self) -> Any:
        counts = _core.ffi.new("struct shm_counts *")
        _core.lib.shim_counts(self.shim, counts)
        return counts

    def free(self) -> None:
        _core.lib.shim_free(self.shim)


def double(cells: Any) -> float:
    (value,) = struct.unpack("=d", struct.pack("=Q", cells[0]))
    return float(value)


def read(row: Row) -> tuple[float, ...]:
    """Return what a series has counted: as many numbers as its kind of event changes."""
    if row.type in (COUNTER, EXCEPTION):
        return (double(row.cells),)
    if row.type == HISTOGRAM:
        return (double(row.cells), sum(row.cells[1 + i] for i in range(4)))
    return (row.cells[0], row.cells[1], sum(row.cells[3 + i] for i in range(4)))


names = st.text("ab", min_size=0, max_size=60)
label_sets = st.integers(0, 7)


class OverflowMachine(RuleBasedStateMachine):
    """Twin: per family and label set what was recorded, and what of it overflows.

    A series that did not fit when it was first used never fits later: room only shrinks.
    """

    @initialize(
        power=st.integers(0, 5),
        words=st.integers(0, 120),
        n_cells=st.integers(0, 90),
        n_labels=st.integers(0, 3),
        values=st.lists(names, min_size=8, max_size=8, unique=True),
    )
    def make(self, power: int, words: int, n_cells: int, n_labels: int, values: list[str]) -> None:
        self.dictionary_bytes, self.n_cells = 8 * words, n_cells
        self.node = Node(1 << power if power else 0, 8 * words, n_cells)
        self.private = power == 0
        self.n_labels = n_labels
        self.family = {
            type: self.node.family(type, name, n_labels)
            for type, name in ((COUNTER, "c"), (HISTOGRAM, "h"), (CALLS, "r"))
        }
        self.labels = [(value,) * n_labels for value in values] if n_labels else [()]
        self.series = {
            type: [self.node.series(family, labels) for labels in self.labels]
            for type, family in self.family.items()
        }
        self.thrown = [
            self.node.exception(one, name) for one in self.series[CALLS] for name in "xy"
        ]
        self.wanted: dict[tuple[int, tuple[str, ...]], list[float]] = defaultdict(lambda: [0.0] * 3)
        self.dropped = self.overflowed = self.seen = 0
        self.open: list[tuple[int, Any]] = []

    def one_of(self, which: int) -> int:
        return which % len(self.labels)

    def place(self, type: int, which: int, thrown: Any = None) -> tuple[str, ...] | None:
        """The label values under which the event counts that was just recorded.

        A series without cells of its own also overflows, when the ring is full.
        """
        before, self.seen = self.seen, self.node.counts().overflowed
        if self.family[type].defined[0].generation == 0:
            self.dropped += 1
            return None
        series = self.series[type][which]
        more = self.seen - before
        if thrown is not None and series.generation and not thrown.generation:
            more -= 1
        if series.generation and not more:
            return self.labels[which]
        assert not series.generation or (type != COUNTER and series.cell == NO_CELLS)
        self.overflowed += 1
        return (OVERFLOW,) * self.n_labels

    def count(self, type: int, values: tuple[str, ...] | None, *numbers: float) -> None:
        if values is not None:
            total = self.wanted[type, values]
            for i, number in enumerate(numbers):
                total[i] += number

    @rule(which=label_sets, amount=st.integers(0, 80), n=st.integers(1, 20))
    def add(self, which: int, amount: int, n: int) -> None:
        which = self.one_of(which)
        for _ in range(n):
            _core.lib.shm_emit_add(self.node.producer, self.series[COUNTER][which], amount / 8)
            self.count(COUNTER, self.place(COUNTER, which), amount / 8)

    @rule(which=label_sets, amount=st.integers(0, 80), n=st.integers(1, 20))
    def observe(self, which: int, amount: int, n: int) -> None:
        which = self.one_of(which)
        for _ in range(n):
            _core.lib.shm_emit_observe(
                self.node.producer, self.series[HISTOGRAM][which], amount / 8
            )
            self.count(HISTOGRAM, self.place(HISTOGRAM, which), amount / 8, 1)

    @rule(which=label_sets)
    def start(self, which: int) -> None:
        which = self.one_of(which)
        call = _core.ffi.new("struct shm_call *")
        _core.lib.shm_emit_call_start(self.node.producer, self.series[CALLS][which], call)
        values = self.place(CALLS, which)
        assert call.open == (values is not None)
        self.count(CALLS, values, 1)
        if values is not None:
            self.open.append((which, call))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), exception=st.sampled_from((None, 0, 1)))
    def end(self, data: st.DataObject, exception: int | None) -> None:
        which, call = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        thrown = _core.ffi.NULL if exception is None else self.thrown[2 * which + exception]
        _core.lib.shm_emit_call_end(self.node.producer, self.series[CALLS][which], call, thrown)
        values = self.place(CALLS, which, None if exception is None else thrown)
        assert values is not None
        self.count(CALLS, values, 0, 1, 1)
        if exception is not None:
            if thrown.generation:
                self.count(EXCEPTION, (*self.labels[which], "xy"[exception]), 1)
            else:
                self.overflowed += self.series[CALLS][which].generation != 0
                self.count(EXCEPTION, (OVERFLOW,) * (self.n_labels + 1), 1)

    @precondition(lambda self: self.private)
    @rule(words=st.integers(0, 200), n_cells=st.integers(0, 150), power=st.integers(1, 5))
    def register(self, words: int, n_cells: int, power: int) -> None:
        """From private memory into a lane, which is larger, or smaller and may not do."""
        producer = self.node.producer
        fits = (
            producer.dictionary_end + producer.reserved.bytes <= 8 * words
            and producer.cells_used + producer.reserved.cells <= n_cells
        )
        assert _core.lib.shim_move(self.node.shim, 1 << power, 8 * words, n_cells, 4) == fits
        if fits:
            self.private = False
            self.dictionary_bytes, self.n_cells = 8 * words, n_cells

    @rule()
    def room_is_what_it_seems(self) -> None:
        producer = self.node.producer
        assert producer.dictionary_end + producer.reserved.bytes <= self.dictionary_bytes
        assert producer.cells_used + producer.reserved.cells <= self.n_cells

    @precondition(lambda self: not self.private)
    @rule()
    def drain(self) -> None:
        self.node.drain()
        found = Counter((row.type, row.values) for row in self.node.rows)
        assert all(n == 1 for n in found.values()), found
        for row in self.node.rows:
            assert list(read(row)) == self.wanted[row.type, row.values][: len(read(row))], row
        for key, total in self.wanted.items():
            assert not any(total) or found[key], (key, total)
        counts = self.node.counts()
        assert counts.dropped[LANE_FULL] == self.dropped
        assert counts.overflowed == self.overflowed

    def teardown(self) -> None:
        if hasattr(self, "node"):
            if self.private:
                self.register(words=2000, n_cells=1000, power=2)
            self.drain()
            self.node.free()


TestOverflow = OverflowMachine.TestCase


def emit(node: Node, series: Any, n: int = 1) -> None:
    for _ in range(n):
        _core.lib.shm_emit_add(node.producer, series, 1.0)


def totals(node: Node) -> dict[tuple[str, ...], float]:
    node.drain()
    return {row.values: double(row.cells) for row in node.rows}


@pytest.mark.parametrize(("dictionary_bytes", "n_cells"), [(240, 64), (4096, 3)])
def test_series_without_room_count_in_the_overflow_series(
    core: Any, dictionary_bytes: int, n_cells: int
) -> None:
    """It is the dictionary that is short, or the cells; through the ring and beside it."""
    node = Node(8, dictionary_bytes, n_cells)
    family = node.family(COUNTER, "jobs", 1)
    series = [node.series(family, (f"queue {n}",)) for n in range(9)]
    for one in series:
        emit(node, one, 10)
    found = totals(node)
    assert sum(found.values()) == 90
    kept = len(found) - 1
    assert kept >= 2
    assert found[OVERFLOW,] == 90 - 10 * kept
    assert node.counts().overflowed == 90 - 10 * kept
    assert sum(node.counts().dropped) == 0
    node.free()


def test_a_family_that_comes_late_has_its_overflow_series_reserved_or_is_dropped(core: Any) -> None:
    node = Node(8, 320, 64)
    early, late, too_late = (
        node.family(COUNTER, name, 1) for name in ("early", "late", "too_late")
    )
    emit(node, node.series(early, ("a",)))
    emit(node, node.series(late, ("x" * 200,)))
    for n in range(9):
        emit(node, node.series(early, (f"{n}",)))
    emit(node, node.series(too_late, ("a",)), 4)
    node.drain()
    found = [
        (node.families[row.family - 1][1], row.values[0], double(row.cells)) for row in node.rows
    ]
    assert ("late", OVERFLOW, 1.0) in found
    assert sum(total for name, _, total in found if name == "early") == 10
    assert all(name != "too_late" for name, _, _ in found)
    assert node.counts().dropped[LANE_FULL] == 4
    node.free()


def test_what_is_reserved_has_to_fit_into_the_next_lane_too(core: Any) -> None:
    node = Node(0, 4096, 64)
    family = node.family(COUNTER, "jobs", 1)
    emit(node, node.series(family, ("a",)))
    used, cells = node.producer.dictionary_end, node.producer.cells_used
    assert not core.lib.shim_move(node.shim, 8, used, 64, 4)
    assert not core.lib.shim_move(node.shim, 8, 4096, cells, 4)
    emit(node, node.series(family, None), 2)  # what was reserved is in use now
    used, cells = node.producer.dictionary_end, node.producer.cells_used
    assert node.producer.reserved.bytes == 16  # for the removal of the first
    assert not core.lib.shim_move(node.shim, 8, used + 8, cells, 4)
    assert core.lib.shim_move(node.shim, 8, used + 16, cells, 4)
    emit(node, node.series(family, ("b",)))
    assert totals(node) == {("a",): 1.0, (OVERFLOW,): 3.0}
    assert node.counts().overflowed == 3
    node.free()


def test_labels_too_long_for_an_entry_overflow(core: Any) -> None:
    node = Node(8, 65536, 64)
    family = node.family(COUNTER, "jobs", 1)
    emit(node, node.series(family, ("x" * 17_000,)))
    emit(node, node.series(family, None))
    assert totals(node) == {(OVERFLOW,): 2.0}
    assert node.counts().overflowed == 2
    node.free()


def test_a_family_too_long_for_an_entry_is_dropped(core: Any) -> None:
    node = Node(8, 65536, 64)
    long_name = node.family(COUNTER, "x" * 17_000, 1)
    many_labels = node.family(COUNTER, "x", 1300)  # whose overflow values would not fit
    for family in (long_name, many_labels):
        emit(node, node.series(family, ("a",)))
    assert totals(node) == {}
    assert node.counts().dropped[OVERSIZED] == 2
    node.free()


def test_a_gauge_without_room_is_dropped_and_the_others_stand(core: Any) -> None:
    node = Node(8, 200, 64)
    family = node.family(GAUGE, "busy", 1)
    series = [node.series(family, (f"queue {n}",)) for n in range(9)]
    core.lib.shm_emit_gauge(node.producer, node.series(family, None), 77.0, False, False)
    for n, one in enumerate(series):
        core.lib.shm_emit_gauge(node.producer, one, float(n), False, False)
    node.drain()
    gauges = core.ffi.new("struct shm_gauge_copy[]", 16)
    n_kept = core.lib.shm_drain_gauges(node.drain_, 1, gauges, 16)
    assert 0 < n_kept < 9
    assert [gauges[i].value for i in range(n_kept)] == list(range(n_kept))
    assert node.counts().dropped[LANE_FULL] == 10 - n_kept
    assert node.counts().overflowed == 0
    node.free()


def test_an_open_call_of_the_overflow_series_is_listed_and_ends(core: Any) -> None:
    node = Node(0, 240, 64)
    family = node.family(CALLS, "rpc", 1)
    series = [node.series(family, (f"method {n}",)) for n in range(4)]
    calls = [core.ffi.new("struct shm_call *") for _ in series]
    for one, call in zip(series, calls, strict=True):
        core.lib.shm_emit_call_start(node.producer, one, call)
    assert core.lib.shim_move(node.shim, 8, 240, 64, 4)  # the process registers meanwhile
    node.drain()
    open_ = core.ffi.new("struct shm_open_call_copy[]", 8)
    assert core.lib.shm_drain_calls(node.drain_, open_, 8) == 4
    of = [node.rows[open_[i].series - 1].values for i in range(4)]
    assert of.count((OVERFLOW,)) == 4 - sum(one.generation for one in series) > 0
    for one, call in zip(series, calls, strict=True):
        core.lib.shm_emit_call_end(node.producer, one, call, node.exception(one, "KeyError"))
    node.drain()
    assert core.lib.shm_drain_calls(node.drain_, open_, 8) == 0
    by_type: dict[int, list[float]] = defaultdict(lambda: [0.0] * 3)
    for row in node.rows:
        for i, number in enumerate(read(row)):
            by_type[row.type][i] += number
    assert by_type[CALLS] == [4, 4, 4]
    assert by_type[EXCEPTION][0] == 4
    node.free()
