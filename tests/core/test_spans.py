# SPDX-License-Identifier: Apache-2.0
"""Spans through a lane, against a list: whole, cut, or counted as dropped; and never in parts."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_lane import HISTOGRAM, Lane, _use_core  # noqa: F401

SPANS = 6
START, STOP, INFO = 5, 6, 7
CUT = 2
DROP_SPAN = 8


class Spans:
    """A lane with one series of spans, what was put into it, and what has come out."""

    def __init__(self, core: Any, records: int, buffer_bytes: int = 1 << 20) -> None:
        self.lib, self.ffi = core.lib, core.ffi
        self.lane = Lane(records)
        self.memory = self.ffi.new("unsigned char[]", buffer_bytes)
        self.buffer = self.ffi.new(
            "struct shm_spans *", {"bytes": self.memory, "size_bytes": buffer_bytes}
        )
        self.lane.drain_.spans = self.buffer
        self.series = self.lane.series(SPANS)
        self.said: dict[int, tuple[int, bytes]] = {}
        self.found: dict[int, tuple[int, bytes, bool]] = {}

    def emit(self, number: int, kind: int, info: bytes) -> None:
        span = self.ffi.new("struct shm_span *")
        span.kind = kind
        for part in (span.id, span.trace, span.parent):
            self.ffi.memmove(part, number.to_bytes(16, "big"), 16)
        self.lib.shm_emit_span(self.lane.producer, self.series, span, info, len(info))
        self.said[number] = kind, info

    def take(self) -> None:
        """Return what the drain has put into the buffer: whole spans, by their numbers."""
        data = bytes(self.ffi.buffer(self.memory, self.buffer.used_bytes))
        self.buffer.used_bytes = 0
        at = 0
        while at < len(data):
            kind, flags, info_bytes, series = struct.unpack_from("=BBHI", data, at)
            id, trace, parent = struct.unpack_from("16s16s16s", data, at + 16)
            assert (series, id, parent) == (self.series.id, trace, trace)
            at += 64
            info = data[at : at + info_bytes]
            assert len(info) == info_bytes
            at += info_bytes
            number = int.from_bytes(id, "big")
            assert number not in self.found
            self.found[number] = kind, info, bool(flags & CUT)

    def dropped(self) -> int:
        counts = self.lane.counts()
        return int(counts.dropped[DROP_SPAN])


emits = st.tuples(st.sampled_from([START, STOP]), st.integers(0, 5 * 56))
acts = st.lists(st.one_of(st.none(), emits), max_size=60)  # None: a drain


@settings(max_examples=300)
@given(st.integers(1, 5), acts)
def test_a_span_comes_out_whole_or_cut_or_is_counted(
    core: Any, power: int, acts: list[tuple[int, int] | None]
) -> None:
    spans = Spans(core, 1 << power)
    for number, act in enumerate(acts, 1):
        if act is None:
            spans.lane.drain()
            spans.take()
        else:
            kind, n_bytes = act
            spans.emit(number, kind, bytes(i % 251 for i in range(n_bytes)))
    spans.lane.drain()
    spans.take()
    for number, (kind, info, is_cut) in spans.found.items():
        said_kind, said = spans.said[number]
        assert kind == said_kind
        assert info == (b"" if is_cut else said)
    assert len(spans.found) + spans.dropped() == len(spans.said)
    assert not spans.buffer.lost
    spans.lane.free()


def test_there_is_room_for_a_span_that_fills_the_ring(core: Any) -> None:
    spans = Spans(core, 16)
    for number in range(1, 50):
        spans.emit(number, START, b"x" * 15 * 56)
        spans.lane.drain()
    spans.take()
    assert not spans.dropped()
    assert all(not is_cut for _, _, is_cut in spans.found.values())
    spans.lane.free()


def test_what_the_buffer_has_no_room_for_is_counted_and_nothing_else_stops(core: Any) -> None:
    spans = Spans(core, 64, buffer_bytes=65 + 64)
    histogram = spans.lane.series(HISTOGRAM)
    spans.emit(1, START, b"x")
    spans.emit(2, STOP, b"x")
    spans.emit(3, STOP, b"")
    core.lib.shm_emit_observe(spans.lane.producer, histogram, 1.0)
    spans.lane.drain()
    spans.take()
    assert (set(spans.found), spans.buffer.lost) == ({1, 3}, 1)
    assert sum(spans.lane.buckets(histogram)) == 1
    spans.lane.free()


def test_without_a_buffer_spans_are_left_out(core: Any) -> None:
    spans = Spans(core, 64)
    spans.lane.drain_.spans = core.ffi.NULL
    spans.emit(1, START, b"x" * 200)
    spans.lane.drain()
    assert spans.lib.shim_waiting(spans.lane.shim) == 0
    spans.lane.free()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param((0, 2, 65), id="more slots than may be"),
        pytest.param((0, 2, 3), id="more slots than there are"),
        pytest.param((1, 0, START), id="another kind behind it"),
        pytest.param((1, 2, 57), id="more bytes than a slot has"),
        pytest.param((0, 0, INFO), id="info of nothing"),
    ],
)
def test_a_span_that_breaks_the_contract(core: Any, broken: tuple[int, int, int]) -> None:
    spans = Spans(core, 64)
    spans.emit(1, START, b"")
    spans.lane.drain()
    spans.emit(2, START, b"x" * 100)
    ring = spans.lane.shim.memory + spans.lane.shim.size_bytes - 64 * 64
    tail = spans.lane.drain_.ring.tail
    slot, at, byte = broken
    ring[(tail + slot) % 64 * 64 + at] = byte
    found = spans.lib.shm_drain_pass(spans.lane.drain_)
    assert found == spans.lib.SHM_BROKEN_KIND
    assert spans.buffer.used_bytes == 64
    spans.lane.free()


def test_a_span_is_of_a_series_of_spans(core: Any) -> None:
    spans = Spans(core, 64)
    histogram = spans.lane.series(HISTOGRAM)
    core.lib.shm_emit_observe(spans.lane.producer, histogram, 1.0)
    spans.lane.drain()
    spans.series = histogram
    spans.emit(1, START, b"")
    assert spans.lib.shm_drain_pass(spans.lane.drain_) == spans.lib.SHM_BROKEN_KIND
    spans.lane.free()
