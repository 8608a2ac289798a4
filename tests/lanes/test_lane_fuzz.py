# SPDX-License-Identifier: Apache-2.0
"""Random bytes over every part of a lane: it is drained or set aside, never anything else.

The lanes are those that a real emitter wrote: this process, through the instruments.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import shmetrics
from shmetrics import _ring, layout
from shmetrics.collector.collector import Collector, Settings
from shmetrics.collector.directory import Directory
from shmetrics.errors import BrokenLane, LaneRefused
from shmetrics.lanes import _drain
from shmetrics.lanes.grants import LaneSettings
from shmetrics.lanes.lane_files import Sizes
from shmetrics.store import exponential
from shmetrics.store._cells import UNDO_BYTES, Scale
from shmetrics.store.buckets import Buckets
from shmetrics.store.self_metrics import SelfMetrics
from tests.nodes import hostile
from tests.nodes.loopback import Loopback
from tests.nodes.opened import MIB
from tests.nodes.samples import Samples, samples_of

SMALL = Settings(
    MIB, lanes=LaneSettings(Sizes(records=64, dictionary_bytes=4096, cells=128, calls=8))
)
LANE_BYTES = layout.lane_bytes(*SMALL.lanes.sizes)

# Where the parts begin, so that none of them is missed for being small.
STARTS = (0, 8, 16, 32, 256, 264, 272, 280, 288, 304, 320, 512, 640, 4096, 4224, 8320, 9344, 10368)
numbers = st.sampled_from(
    (0, 1, 63, 64, 65, 2**31, 2**32 - 1, 2**63, 2**64 - 1, layout.INDEX_START)
).map(lambda number: struct.pack("=Q", number))
scribbles = st.lists(
    st.tuples(
        st.sampled_from(STARTS) | st.integers(0, LANE_BYTES - 1),
        st.integers(0, 40),
        numbers | st.binary(min_size=1, max_size=64),
    ),
    min_size=1,
    max_size=6,
)


def record(name: str) -> None:
    """Something of everything: all kinds of records and entries, and some of them spilled."""
    jobs = shmetrics.Counter(f"{name}_jobs", "Jobs", ["queue"])
    size = shmetrics.Histogram(f"{name}_size", "Size", ["queue"], buckets=(1, 2))
    busy = shmetrics.Gauge(f"{name}_busy", "Busy", ["queue"], multiprocess_mode="sum")
    call = shmetrics.Calls(f"{name}_rpc", "Calls", ["queue"], buckets=(1, 2)).labels("fast")
    busy.labels("fast").set(7)
    call.end(call.start(), "KeyError")
    call.start()
    gone = shmetrics.Counter(f"{name}_gone", "Gone", ["queue"])
    gone.labels("fast").inc()
    gone.remove("fast")
    for n in range(100):
        jobs.labels("slow" if n % 3 else "fast").inc(0.5)
        size.labels("fast").observe(n % 4)


def expected_of_neighbour(found: Samples) -> None:
    assert found.value("neighbour_jobs_total", queue="fast") == 17
    assert found.value("neighbour_jobs_total", queue="slow") == 33
    assert found.value("neighbour_size_sum", queue="fast") == 150
    assert found.value("neighbour_size_count", queue="fast") == 100
    assert found.value("neighbour_busy", queue="fast") == 7
    assert found.value("neighbour_rpc_invocation_start_total", queue="fast") == 2
    assert found.value("neighbour_rpc_exception_total", queue="fast", exception="KeyError") == 1


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two lanes with nothing drained yet: 1 is the victim's, 2 its neighbour's."""
    folder = tmp_path_factory.mktemp("lanes")
    loopback = Loopback(folder / "loopback", SMALL)
    for lane_id, name in enumerate(("victim", "neighbour"), 1):
        _ring.process_detach()
        assert loopback.attach() == lane_id
        record(name)
        for suffix in (".lane", ".json", ".ledger"):
            shutil.copy(loopback.directory.lanes / f"{lane_id}{suffix}", folder)
    _ring.process_detach()
    loopback.release()
    shutil.rmtree(folder / "loopback")
    return folder


def scribble(memory: bytearray, over: list[tuple[int, int, bytes]]) -> None:
    for start, ahead, garbage in over:
        at = min(start + ahead * 8 if start in STARTS else start, LANE_BYTES - 1)
        room = garbage[: LANE_BYTES - at]
        memory[at : at + len(room)] = room


def scale_of(bounds: tuple[float, ...]) -> Scale | None:
    """As a collector has it; None if it would refuse the family."""
    try:
        return Buckets(bounds, exponential.covering(bounds)).scale
    except ValueError:
        return None


def drain(memory: bytearray) -> None:
    """As a collector does it, into cells that are watched."""
    store = np.zeros(1 << 16, np.uint64)
    ledger, undo = bytearray(_drain.LEDGER_BYTES), bytearray(UNDO_BYTES)
    lane = _drain.LaneDrain(memory, ledger, undo, store)
    guard = np.uint64(0x5AFE)
    store[-1] = store[0] = guard
    types: list[tuple[int, tuple[float, ...]]] = []
    first = 1
    try:
        for _ in range(3):
            while not lane.take_records():
                while (entry := lane.next_entry()) is not None:
                    bounds: tuple[float, ...] = ()
                    kind, type_, _, of, payload = entry
                    if kind == layout.ENTRY_FAMILY:
                        types.append((type_, struct.unpack_from(f"={of}d", payload)))
                        continue
                    if kind == layout.ENTRY_REMOVED:
                        lane.remove(of)
                        continue
                    if kind == layout.ENTRY_CELLS:
                        continue
                    if kind == layout.ENTRY_EXCEPTION:
                        type_ = layout.TYPE_EXCEPTION
                    else:
                        type_, bounds = types[of - 1]
                    scale = scale_of(bounds)
                    counts = scale.n_counts if scale else 0
                    width = layout.cells_of(type_, 0) + counts
                    fits = scale is not None and first + width < len(store)
                    lane.bind(type_, len(bounds), scale, first if fits else -1)
                    first += width if fits else 0
            lane.calls(), lane.gauges(), lane.counts()
            lane.report_counts()
    finally:
        assert store[-1] == store[0] == guard
        lane.calls(), lane.gauges(), lane.counts()
        lane.report_counts()


@settings(max_examples=1500, deadline=None)
@given(over=scribbles)
def test_a_drain_of_anything_ends_well(lanes: Path, over: list[tuple[int, int, bytes]]) -> None:
    memory = bytearray((lanes / "1.lane").read_bytes())
    scribble(memory, over)
    with contextlib.suppress(BrokenLane, LaneRefused):
        drain(memory)


def test_the_drain_of_the_lane_as_it_was(lanes: Path) -> None:
    """Or else the tests here would show nothing."""
    drain(bytearray((lanes / "1.lane").read_bytes()))


@contextlib.contextmanager
def node(lanes: Path, victim: bytes | bytearray) -> Iterator[Directory]:
    """A runtime directory with both lanes, and emitters that hold them."""
    with contextlib.ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="shm-fuzz-"))
        directory = Directory(Path(folder))
        held.callback(directory.close)
        for path in lanes.iterdir():
            shutil.copy(path, directory.lanes)
        (directory.lanes / "1.lane").write_bytes(victim)
        for path in directory.lanes.glob("*.lane"):
            held.enter_context(path.open("rb"))
        yield directory


def serves(collector: Collector) -> Samples:
    """Everything that it can be asked. What it shows is well-formed."""
    collector.tick()
    json.dumps([collector.lanes(), collector.calls()])
    return samples_of(collector.tables())


BROKEN_AND_LEFT = [(0, 3, bytes(8)), (0, 13, bytes(8)), (256, 7, struct.pack("=Q", 1))]


@settings(max_examples=150, deadline=None)
@example(over=BROKEN_AND_LEFT)
@given(over=scribbles)
def test_a_collector_that_finds_anything_keeps_serving(
    lanes: Path, over: list[tuple[int, int, bytes]]
) -> None:
    memory = bytearray((lanes / "1.lane").read_bytes())
    scribble(memory, over)
    with node(lanes, memory) as directory:
        collector = Collector(directory, SMALL, SelfMetrics("test"))
        found = serves(collector)
        collector.close()
    expected_of_neighbour(found)
    is_open = found.value("shmetrics_lanes", state="open") == 2
    counted = found.sum("shmetrics_quarantined_total") == 1
    # For another lane, as it says itself; it may be broken as well.
    has_left = found.value("shmetrics_lanes_retired_total") == 1
    assert is_open != (counted or has_left)
    assert ("reason", "internal") not in {
        pair for labels in found.of("shmetrics_quarantined_total") for pair in labels
    }


@settings(max_examples=150, deadline=None)
@given(over=scribbles)
def test_a_collector_under_whose_eyes_anything_changes_keeps_serving(
    lanes: Path, over: list[tuple[int, int, bytes]]
) -> None:
    victim = (lanes / "1.lane").read_bytes()
    with node(lanes, victim) as directory:
        collector = Collector(directory, SMALL, SelfMetrics("test"))
        before = serves(collector)
        with (directory.lanes / "1.lane").open("r+b") as file:
            memory = bytearray(file.read())
            scribble(memory, over)
            for at in range(0, LANE_BYTES, 8):
                if memory[at : at + 8] != victim[at : at + 8]:
                    os.pwrite(file.fileno(), memory[at : at + 8], at)
        found = serves(collector)
        collector.close()
    expected_of_neighbour(before)
    expected_of_neighbour(found)
    assert ("reason", "internal") not in {
        pair for labels in found.of("shmetrics_quarantined_total") for pair in labels
    }


def test_a_lane_that_calls_itself_another(lanes: Path) -> None:
    """It would take its neighbour's place."""
    memory = bytearray((lanes / "1.lane").read_bytes())
    struct.pack_into("=Q", memory, hostile.LANE_ID_AT, 2)
    with node(lanes, memory) as directory:
        collector = Collector(directory, SMALL, SelfMetrics("test"))
        found = serves(collector)
        assert [lane["lane"] for lane in collector.lanes()] == [2]
        collector.close()
        assert {path.name for path in directory.lanes.iterdir()} >= {"1.broken", "2.lane"}
    expected_of_neighbour(found)
    assert found.value("shmetrics_quarantined_total", reason="lane_id") == 1


NO_LANES = {
    "not_a_lane": (0, b"x"),
    "layout_version": (hostile.VERSION_AT, b"\x09"),
    "not_ready": (0, bytes(16)),
    "bad_parts": (hostile.PARTS_AT, b"\xff"),
    "lane_id": (hostile.LANE_ID_AT, b"\x07"),
}


@pytest.mark.parametrize("reason", NO_LANES)
def test_what_is_no_lane_is_set_aside(
    lanes: Path, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    memory = bytearray((lanes / "1.lane").read_bytes())
    at, garbage = NO_LANES[reason]
    memory[at : at + len(garbage)] = garbage
    with node(lanes, memory) as directory:
        collector = Collector(directory, SMALL, SelfMetrics("test"))
        found = serves(collector)
        collector.close()
        again = Collector(directory, SMALL, SelfMetrics("test"))
        assert serves(again).of("shmetrics_quarantined_total") == {(("reason", reason),): 1}
        again.close()
    expected_of_neighbour(found)
    assert found.of("shmetrics_quarantined_total") == {(("reason", reason),): 1}
    [line] = caplog.messages
    assert line.endswith(f"1.lane: not a lane that can be drained ({reason}); set aside")


@pytest.mark.parametrize("owner", [None, "", "[]", "{}", '{"process": 1}', "\udcff"])
def test_a_lane_without_an_owner_is_set_aside(lanes: Path, owner: str | None) -> None:
    with node(lanes, (lanes / "1.lane").read_bytes()) as directory:
        path = directory.lanes / "1.json"
        path.unlink()
        if owner is not None:
            path.write_bytes(owner.encode(errors="surrogateescape"))
        collector = Collector(directory, SMALL, SelfMetrics("test"))
        found = serves(collector)
        collector.close()
    expected_of_neighbour(found)
    assert found.of("shmetrics_quarantined_total") == {(("reason", "unreadable"),): 1}
