# SPDX-License-Identifier: Apache-2.0
"""The traces that a drain keeps of its lane's records, which are written here as any language
would, or as none should."""

from __future__ import annotations

import math
import mmap
import struct
import time
from array import array
from typing import NamedTuple

import numpy as np
import pytest

from shmetrics import layout
from shmetrics.errors import BrokenLane
from shmetrics.lanes import _drain
from shmetrics.store._cells import ExemplarTable, Scale
from shmetrics.tables.table import EXEMPLAR
from tests.core import test_layout as written

COUNTER, HISTOGRAM, CALLS, THROWN = 1, 2, 3, 4  # ids of series
FIRST_CELLS = {COUNTER: 1, HISTOGRAM: 8, CALLS: 16, THROWN: 32}
BOUNDS = (0.5, 2.0)
TRACE, SPAN = bytes(range(1, 17)), bytes(range(31, 39))
TRACED = 1


class Event(NamedTuple):
    """A record, field by field."""

    kind: str
    series: int
    value: float = 0.0
    stamp_ns: int = 0
    duration_ns: int = 0
    exception: int = 0
    flags: int = TRACED
    trace: bytes = TRACE
    span: bytes = SPAN


def define(memory: mmap.mmap) -> None:
    """One family and one series of each type that can have exemplars; and an exception."""
    text = b""
    for id, type in enumerate((layout.TYPE_COUNTER, layout.TYPE_HISTOGRAM, layout.TYPE_CALLS), 1):
        n = 0 if type == layout.TYPE_COUNTER else len(BOUNDS)
        text += struct.pack("=IHHII", 16 + 8 * n, layout.ENTRY_FAMILY, type, id, n)
        text += struct.pack(f"={n}d", *BOUNDS[:n])
        text += struct.pack("=IHHII", 16, layout.ENTRY_SERIES, 0, id, id)
    text += struct.pack("=IHHII", 16, layout.ENTRY_EXCEPTION, 0, THROWN, CALLS)
    (dictionary,) = struct.unpack_from("=Q", memory, written.DICTIONARY_PART_AT)
    memory[dictionary : dictionary + len(text)] = text
    written.put(memory, written.DICTIONARY_END_AT, len(text))


def bind(drain: _drain.LaneDrain, first_cells: dict[int, int]) -> None:
    """Binds the series to these cells of the store, and those without to nothing."""
    scale = Scale(array("d", (*BOUNDS, math.inf)), array("d", BOUNDS))
    types = {HISTOGRAM: layout.TYPE_HISTOGRAM, CALLS: layout.TYPE_CALLS}
    assert not drain.take_records()
    while (entry := drain.next_entry()) is not None:
        kind, _, id, *_ = entry
        if kind == layout.ENTRY_EXCEPTION:
            drain.bind(layout.TYPE_EXCEPTION, 0, first=first_cells.get(id, -1))
        elif kind == layout.ENTRY_SERIES and id == COUNTER:
            drain.bind(layout.TYPE_COUNTER, 0, first=first_cells.get(id, -1))
        elif kind == layout.ENTRY_SERIES:
            drain.bind(types[id], len(BOUNDS), scale, first_cells.get(id, -1))


class Lane:
    """A lane, and a drain that keeps exemplars."""

    def __init__(self, most: int = 10, first_cells: dict[int, int] = FIRST_CELLS) -> None:
        self.memory = written.new_lane()
        self.cells = np.zeros(64, np.uint64)
        self.drain_ = written.open_drain(self.memory, self.cells)
        self.table = ExemplarTable(max(most, 1))
        if most:
            self.drain_.keep_exemplars(self.table)
        self.head = layout.INDEX_START
        (self.ring,) = struct.unpack_from("=Q", self.memory, written.IDENTITY_RING_AT)
        define(self.memory)
        bind(self.drain_, first_cells)

    def publish(self, *events: Event) -> None:
        records = np.frombuffer(
            self.memory, written.RECORD, count=written.SIZES[0], offset=self.ring
        )
        for event in events:
            slot = records[self.head % written.SIZES[0] :][:1]
            for field in ("series", "duration_ns", "exception", "flags", "trace", "span"):
                slot[field] = getattr(event, field)
            slot["kind"] = written.NAME_TO_KIND[event.kind]
            field = "stamp_ns" if event.kind.startswith("call") else "value"
            slot[field] = getattr(event, field)
            self.head = (self.head + 1) % 2**64
        written.put(self.memory, written.HEAD_AT, self.head)

    def drain(self, *events: Event) -> dict[tuple[int, int], tuple[float, int, bytes, bytes]]:
        """Value, stamp and ids by series and bucket, after these events."""
        self.publish(*events)
        assert self.drain_.take_records()
        return self.kept()

    def kept(self) -> dict[tuple[int, int], tuple[float, int, bytes, bytes]]:
        found = np.empty(len(self.table), EXEMPLAR)
        self.table.copy_to(found.view(np.uint8))
        ids = {cell: id for id, cell in FIRST_CELLS.items()}
        return {
            (ids[cell], bucket): (value, stamp_ns, bytes(trace), bytes(span))
            for cell, bucket, value, stamp_ns, trace, span in found.tolist()
        }


def values(kept: dict[tuple[int, int], tuple[float, int, bytes, bytes]]) -> dict[object, float]:
    return {key: value for key, (value, *_) in kept.items()}


def test_the_newest_of_each_bucket_is_kept_with_the_time_of_its_drain() -> None:
    lane = Lane()
    before_ns = time.time_ns()
    kept = lane.drain(
        Event("add", COUNTER, 2.0),
        *(Event("observe", HISTOGRAM, value) for value in (0.5, 0.25, 1.0, 3.0, 2.5)),
        Event("observe", HISTOGRAM, 0.75, trace=SPAN + TRACE[:8], span=bytes(8)),
    )
    assert values(kept) == {
        (COUNTER, 0): 2.0,
        (HISTOGRAM, 0): 0.25,
        (HISTOGRAM, 1): 0.75,
        (HISTOGRAM, 2): 2.5,
    }
    assert kept[COUNTER, 0][2:] == (TRACE, SPAN)
    assert kept[HISTOGRAM, 1][2:] == (SPAN + TRACE[:8], bytes(8))
    assert all(before_ns <= stamp_ns <= time.time_ns() for _, stamp_ns, *_ in kept.values())


def test_what_is_not_said_to_be_traced_is_not() -> None:
    """Slots keep what they held before."""
    lane = Lane()
    lane.drain(*(Event("observe", HISTOGRAM, 0.25, flags=0) for _ in range(written.SIZES[0])))
    lane.drain(*(Event("observe", HISTOGRAM, 0.25, flags=254) for _ in range(written.SIZES[0])))
    assert len(lane.table) == 0


def test_a_call_has_the_time_of_its_end_and_its_exception_an_exemplar_too() -> None:
    lane = Lane()
    monotonic_ns, unix_ns = time.monotonic_ns(), time.time_ns()
    end_ns = monotonic_ns - 10 * 10**9
    kept = lane.drain(
        Event("call_start", CALLS, stamp_ns=end_ns),
        Event("call_end", CALLS, stamp_ns=end_ns, duration_ns=700 * 10**6, exception=THROWN),
    )
    assert values(kept) == {(CALLS, 1): 0.7, (THROWN, 0): 1.0}
    for _, stamp_ns, *_ in kept.values():
        assert abs(stamp_ns - (unix_ns - 10 * 10**9)) < 5 * 10**9


@pytest.mark.parametrize("stamp_ns", [0, 1, 2**63, 2**64 - 1])
def test_a_call_that_lies_about_its_time_is_not_of_the_future(stamp_ns: int) -> None:
    lane = Lane()
    before_ns = time.time_ns()
    kept = lane.drain(Event("call_end", CALLS, stamp_ns=stamp_ns, duration_ns=1))
    assert kept[CALLS, 0][1] <= time.time_ns()
    if stamp_ns > 1:
        assert kept[CALLS, 0][1] >= before_ns


def test_an_older_end_does_not_take_the_place_of_a_newer_one() -> None:
    """Two lanes share a series: the one that is drained first may have the newer call."""
    lane = Lane()
    now_ns = time.monotonic_ns()
    ends = (now_ns - 2 * 10**9, now_ns - 3 * 10**9, now_ns - 10**9, now_ns - 4 * 10**9)
    seen = []
    for number, end_ns in enumerate(ends):
        kept = lane.drain(Event("call_end", CALLS, stamp_ns=end_ns, duration_ns=number + 1))
        seen.append(round(kept[CALLS, 0][0] * 1e9))
    assert seen == [1, 1, 3, 3]


def test_what_breaks_the_contract_is_not_kept() -> None:
    for event in (
        Event("observe", HISTOGRAM, float("nan")),
        Event("add", COUNTER, -1.0),
        Event("add", HISTOGRAM, 1.0),
        Event("observe", 7, 1.0),
        Event("call_end", CALLS, exception=9),
        Event("call_end", CALLS, exception=COUNTER),
    ):
        lane = Lane()
        lane.publish(Event("add", COUNTER, 1.0), event)
        with pytest.raises(BrokenLane):
            lane.drain_.take_records()
        assert values(lane.kept()) == {(COUNTER, 0): 1.0}


def test_a_series_that_counts_nowhere_has_no_exemplar() -> None:
    lane = Lane(first_cells={COUNTER: 1})
    kept = lane.drain(
        Event("observe", HISTOGRAM, 1.0),
        Event("call_end", CALLS, exception=THROWN),
        Event("add", COUNTER, 1.0),
    )
    assert values(kept) == {(COUNTER, 0): 1.0}


def test_a_full_table_has_the_newest() -> None:
    lane = Lane(most=2)
    kept = lane.drain(*(Event("observe", HISTOGRAM, value) for value in (0.25, 1.0, 0.5, 3.0)))
    assert values(kept) == {(HISTOGRAM, 0): 0.5, (HISTOGRAM, 2): 3.0}
    assert lane.table.displaced == 1


def test_without_a_table_traces_are_passed_over() -> None:
    lane = Lane(most=0)
    lane.publish(Event("add", COUNTER, 1.5))
    assert lane.drain_.take_records()
    assert lane.cells.view(np.float64)[FIRST_CELLS[COUNTER]] == 1.5
