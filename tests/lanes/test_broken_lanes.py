# SPDX-License-Identifier: Apache-2.0
"""Lanes that break the contract: set aside, counted by reason, and no neighbour notices."""

from __future__ import annotations

import contextlib
import math
import re
import struct
from collections.abc import Callable, Iterator

import pytest

import shmetrics
from shmetrics import _ring, layout
from shmetrics.dictionary import encode_strings
from shmetrics.emitter.process import registration
from shmetrics.registration.decision import Granted
from shmetrics.registration.protocol import Hello
from tests.nodes import hostile
from tests.nodes.hostile import JOBS, RPC, SIZE, LaneFile
from tests.nodes.loopback import THIS_PROCESS, Loopback

pytestmark = pytest.mark.slow

neighbour = shmetrics.Counter("neighbour_jobs", "Jobs of a neighbour").inc


@pytest.fixture
def lane(loopback: Loopback) -> Iterator[LaneFile]:
    """A lane beside this process's own, with a past in good order: two jobs, a call, a size."""
    hello = Hello(layout.LAYOUT_VERSION, 64, "hostile")
    granted = loopback.collector.grant(THIS_PROCESS, hello)
    assert isinstance(granted, Granted)
    with contextlib.closing(LaneFile(granted.lane_fd)) as found:
        for definition in (JOBS, SIZE, RPC):
            found.series(definition.type, found.family(definition), "fast")
        for _ in range(2):
            found.record(hostile.ADD, 1)
        found.record(hostile.OBSERVE, 2, 1.5)
        found.record(hostile.CALL_START, 3)
        found.record(hostile.CALL_END, 3, duration_ns=10**9)
        neighbour()
        loopback.collector.tick()
        yield found
    loopback.collector.tick()


def past_is_there(loopback: Loopback) -> None:
    found = loopback.samples()
    assert found.value("hostile_jobs_total", queue="fast") == 2
    assert found.value("hostile_size_sum", queue="fast") == 1.5
    assert found.value("hostile_rpc_invocation_end_total", queue="fast") == 1


def test_the_past_is_in_good_order(loopback: Loopback, lane: LaneFile) -> None:
    past_is_there(loopback)
    assert [one["state"] for one in loopback.collector.lanes()] == ["open", "open"]
    assert loopback.samples().of("shmetrics_quarantined_total") == {}


def cells_back(lane: LaneFile) -> None:
    """Two drains: one takes 5, the next finds 4."""
    seen = lane.parts["seen"][0]
    lane.put_double(seen, 5.0)
    lane.put_double(lane.parts["cells"][0], 4.0)
    lane.put(hostile.SPILLED_AT, 1)


def added(value: float) -> Callable[[LaneFile], None]:
    """A counter's cell, and the number that says that one has changed."""

    def write(lane: LaneFile) -> None:
        lane.put_double(lane.parts["cells"][0], value)
        lane.put(hostile.ADDED_AT, lane.get(hostile.ADDED_AT) + 1)

    return write


def summed(before: float, now: float) -> Callable[[LaneFile], None]:
    """A sum as it was seen, and what it is now."""

    def write(lane: LaneFile) -> None:
        lane.put_double(lane.parts["seen"][0] + 8, before)
        lane.put_double(lane.parts["cells"][0] + 8, now)
        lane.put(hostile.SPILLED_AT, 1)

    return write


def count_back(lane: LaneFile) -> None:
    lane.put(lane.parts["seen"][0] + 8 * 2, 9)  # the first bucket of the histogram
    lane.put(hostile.SPILLED_AT, 1)


def text(payload: bytes) -> Callable[[LaneFile], None]:
    return lambda lane: lane.entry(layout.ENTRY_SERIES, 1, 4, 1, payload)


def family(payload: bytes, n_bounds: int = 0) -> Callable[[LaneFile], None]:
    return lambda lane: lane.entry(layout.ENTRY_FAMILY, 1, 4, n_bounds, payload)


def entry(size_bytes: int) -> Callable[[LaneFile], None]:
    def write(lane: LaneFile) -> None:
        at = lane.parts["dictionary"][0] + lane.get(hostile.DICTIONARY_END_AT)
        struct.pack_into("=IHHII", lane.memory, at, size_bytes, 2, 1, 4, 1)
        lane.put(hostile.DICTIONARY_END_AT, lane.get(hostile.DICTIONARY_END_AT) + 32)

    return write


def removed_exception(lane: LaneFile) -> None:
    lane.entry(layout.ENTRY_EXCEPTION, 5, 4, 3, encode_strings(("KeyError",)))
    lane.entry(layout.ENTRY_REMOVED, 0, 0, 4, b"")


BROKEN: dict[str, list[Callable[[LaneFile], None]]] = {
    "head": [
        lambda lane: lane.put(hostile.HEAD_AT, lane.get(hostile.HEAD_AT) + 65),
        lambda lane: lane.put(hostile.HEAD_AT, lane.get(hostile.HEAD_AT) - 1),
        lambda lane: lane.put(hostile.HEAD_AT, 0x7FFF_FFFF_FFFF_FFFF),
    ],
    "dictionary": [
        lambda lane: lane.put(hostile.DICTIONARY_END_AT, 2**40),
        lambda lane: lane.put(hostile.DICTIONARY_END_AT, 8),
        lambda lane: lane.put(
            hostile.DICTIONARY_END_AT, lane.get(hostile.DICTIONARY_END_AT) + 8
        ),
    ],
    "entry": [
        *(entry(size) for size in (0, 8, 17, 40, 2**31, 2**32 - 8)),
        lambda lane: lane.entry(9, 1, 4, 1, b""),
        lambda lane: lane.entry(layout.ENTRY_SERIES, 1, 5, 1, b""),  # id out of order
        lambda lane: lane.entry(layout.ENTRY_SERIES, 1, 4, 4, b""),  # of an unknown family
        lambda lane: lane.entry(layout.ENTRY_SERIES, 1, 4, 0, b""),
        lambda lane: lane.entry(layout.ENTRY_EXCEPTION, 5, 4, 1, b""),  # of a counter
        lambda lane: lane.entry(layout.ENTRY_EXCEPTION, 5, 4, 4, b""),  # of itself
        lambda lane: lane.entry(layout.ENTRY_REMOVED, 0, 0, 4, b""),  # of nothing
        lambda lane: lane.entry(layout.ENTRY_REMOVED, 0, 0, 0, b""),
        lambda lane: lane.entry(layout.ENTRY_REMOVED, 0, 1, 1, b""),  # with an id
        lambda lane: lane.entry(layout.ENTRY_REMOVED, 1, 0, 1, b""),  # with a type
        lambda lane: lane.entry(layout.ENTRY_REMOVED, 0, 0, 1, b"text"),
        removed_exception,
        lambda lane: lane.entry(layout.ENTRY_FAMILY, 9, 4, 0, b""),
        lambda lane: lane.entry(layout.ENTRY_FAMILY, 3, 4, 2**31, b""),
    ],
    "kind": [
        *(lambda lane, kind=kind: lane.record(kind, 1) for kind in (0, 2, 3, 4, 5, 255)),
        lambda lane: lane.record(hostile.ADD, 2),
        lambda lane: lane.record(hostile.CALL_END, 3, exception=1),  # no exception at all
    ],
    "series": [
        *(lambda lane, id=id: lane.record(hostile.ADD, id) for id in (0, 4, 2**32 - 1)),
        lambda lane: lane.record(hostile.CALL_END, 3, exception=4),
    ],
    "value": [
        *(
            lambda lane, value=value: lane.record(hostile.ADD, 1, value)
            for value in (-1.0, math.nan, math.inf)
        ),
        lambda lane: lane.record(hostile.OBSERVE, 2, -math.inf),
    ],
    "cells": [
        *(cells_back, count_back, *map(added, (-1.0, math.nan, math.inf))),
        summed(0.0, math.nan),
        summed(math.inf, 5.0),  # no finite value takes a sum back from there
        summed(math.inf, -math.inf),
        summed(-math.inf, math.nan),
    ],
    "text": [
        text(struct.pack("=II", 1, 4) + b"f\xffst"),  # not UTF-8
        text(struct.pack("=H", 0)),  # a label value too few
        text(struct.pack("=HHH", 2, 0, 0)),  # one too many
        text(struct.pack("=HH", 1, 100)),  # longer than its entry
        text(struct.pack("=H", 2**16 - 1)),
        text(b""),
        text(struct.pack("=HH", 1, 0) + bytes(16)),  # something behind it
        text(struct.pack("=HH", 1, 0) + b"x"),
        family(struct.pack("=H", 3) + bytes(6)),  # no mode
        family(struct.pack("=HH", 4, 1) + b"\xff"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "break_it"),
    [(reason, one) for reason, all_ in BROKEN.items() for one in all_],
    ids=[f"{reason}-{n}" for reason, all_ in BROKEN.items() for n in range(len(all_))],
)
def test_a_lane_that_breaks_the_contract(
    loopback: Loopback,
    lane: LaneFile,
    reason: str,
    break_it: Callable[[LaneFile], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    break_it(lane)
    neighbour()
    loopback.collector.tick()
    neighbour()
    found = loopback.samples()
    assert found.of("shmetrics_quarantined_total") == {(("reason", reason),): 1}
    assert found.value("shmetrics_lanes", state="quarantined") == 1
    assert found.value("neighbour_jobs_total") == 3
    past_is_there(loopback)
    assert lane.get(hostile.STATE_AT) & 0xFFFFFFFF == layout.LANE_CLOSED
    [line] = caplog.messages
    assert re.match(
        rf"lane 2 of hostile \(pid \d+, uid \d+\) breaks the contract \({reason}\b.*\) "
        "and is read no more$",
        line,
    )
    lane.record(hostile.ADD, 1)  # whatever it says from now on
    loopback.collector.tick()
    past_is_there(loopback)
    assert loopback.samples().sum("shmetrics_quarantined_total") == 1


def test_records_before_the_broken_one_count(loopback: Loopback, lane: LaneFile) -> None:
    lane.record(hostile.ADD, 1, 8.0)
    lane.record(77, 1)
    lane.record(hostile.ADD, 1, 16.0)
    assert loopback.samples().value("hostile_jobs_total", queue="fast") == 10


def test_the_gauges_and_calls_of_a_broken_lane_are_gone(loopback: Loopback, lane: LaneFile) -> None:
    gauge = lane.series(layout.TYPE_GAUGE, lane.family(hostile.BUSY), "fast")
    cell = lane.parts["cells"][0] + 8 * (1 + 4 + 6)  # behind those of the three before it
    lane.put_double(cell, 7.0)
    lane.put(hostile.GAUGE_WRITES_AT, gauge)
    struct.pack_into("=QI", lane.memory, lane.parts["calls"][0], 1, 3)
    lane.put(hostile.CALLS_HIGH_AT, 2**60)
    assert loopback.samples().value("hostile_busy", queue="fast") == 7
    assert len(loopback.collector.calls()) == 1
    lane.record(77, 1)
    assert loopback.samples().of("hostile_busy") == {}
    assert loopback.collector.calls() == []


def test_open_calls_that_make_no_sense_are_left_out(loopback: Loopback, lane: LaneFile) -> None:
    """Of a counter, of no series; and a start that is still to come has no age."""
    for slot, series in enumerate((1, 4, 2**31, 3)):
        at = lane.parts["calls"][0] + 48 * slot
        struct.pack_into("=QI", lane.memory, at, 2**64 - 1, series)
    lane.put(hostile.CALLS_HIGH_AT, 2**64 - 1)
    [call] = loopback.collector.calls()
    assert (call["family"], call["age_seconds"]) == ("hostile_rpc", 0)
    assert loopback.samples().sum("shmetrics_rpc_oldest_in_flight_seconds") == 0


def test_a_lane_may_be_wrong_about_its_losses(loopback: Loopback, lane: LaneFile) -> None:
    """It is believed once, and gains nothing by turning them back."""
    for dropped in (5, 3, 5, 6):
        lane.put(hostile.DROPPED_AT, dropped)
        loopback.collector.tick()
    assert loopback.samples().counted("shmetrics_dropped_total") == {(("cause", "lane_full"),): 6}


def test_a_lane_cannot_drown_the_counts_of_others(loopback: Loopback, lane: LaneFile) -> None:
    """In a number so large that theirs do not change it."""
    before = loopback.samples().counted("shmetrics_dropped_total")
    for lie in (2**63, 2**64 - 1):
        for at in (hostile.SPILLED_AT, *range(hostile.DROPPED_AT, hostile.DROPPED_AT + 64, 8)):
            lane.put(at, lie)
        shmetrics.Counter("neighbour_wrong", "Wrong", ["queue"]).labels("too", "many")
        loopback.collector.tick()
    found = loopback.samples()
    assert found.counted("shmetrics_dropped_total") == {(("cause", "bad_labels"),): 2} != before
    assert found.value("shmetrics_spilled_total") < 1000


def test_an_emitter_of_a_closed_lane_gets_another_one(loopback: Loopback) -> None:
    """Quarantined for something that it did not do: it registers anew and goes on."""
    neighbour()
    loopback.collector.tick()
    [lane] = list(loopback.collector._lanes)
    lane.quarantine("test")
    attended = []
    _ring.process_init(False, lambda: attended.append(_ring.process_status()["state"]))
    try:
        for _ in range(5000):
            neighbour()
    finally:
        _ring.process_init(False, registration.attend)
    assert attended == ["registered"]
