# SPDX-License-Identifier: Apache-2.0
"""The offsets that C exports are those that C uses: records read and written through numpy."""

from __future__ import annotations

import contextlib
import mmap
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from shmetrics import layout
from shmetrics.errors import BrokenLane, LaneRefused
from shmetrics.lanes import _drain
from shmetrics.store._cells import UNDO_BYTES

SIZES = (64, 16384, 512, 16)

RECORD = np.dtype(
    {
        "names": [name for name, _, _ in layout.RECORD_FIELDS],
        "formats": [kind for _, kind, _ in layout.RECORD_FIELDS],
        "offsets": [offset for _, _, offset in layout.RECORD_FIELDS],
        "itemsize": layout.RECORD_BYTES,
    }
)
NAME_TO_KIND = {name: kind for kind, name in layout.KIND_NAMES.items()}

# Offsets of csrc/lane/layout.h that Python has no use for but here.
IDENTITY_VERSION_AT = 8
IDENTITY_RING_AT = 96
HEAD_AT = 256
DICTIONARY_END_AT = 264
DICTIONARY_PART_AT = 48


def new_lane(lane_id: int = 5) -> mmap.mmap:
    memory = mmap.mmap(-1, layout.lane_bytes(*SIZES))
    _drain.lane_format(memory, lane_id, *SIZES)
    return memory


def open_drain(
    memory: mmap.mmap | bytearray, cells: npt.NDArray[np.uint64] | None = None
) -> _drain.LaneDrain:
    if cells is None:
        cells = np.zeros(1, np.uint64)
    return _drain.LaneDrain(memory, bytearray(_drain.LEDGER_BYTES), bytearray(UNDO_BYTES), cells)


def put(memory: mmap.mmap, at: int, value: int) -> None:
    struct.pack_into("=Q", memory, at, value)


def define_counter(memory: mmap.mmap) -> None:
    """One family and one series, written as any other language would."""
    (dictionary,) = struct.unpack_from("=Q", memory, DICTIONARY_PART_AT)
    family = struct.pack("=IHHII", 16, layout.ENTRY_FAMILY, layout.TYPE_COUNTER, 1, 0)
    series = struct.pack("=IHHII", 16, layout.ENTRY_SERIES, 0, 1, 1)
    memory[dictionary : dictionary + 32] = family + series
    put(memory, DICTIONARY_END_AT, 32)


def test_a_record_written_through_numpy_is_drained() -> None:
    memory = new_lane()
    cells = np.zeros(4, np.uint64)
    drain = open_drain(memory, cells)
    define_counter(memory)
    (ring,) = struct.unpack_from("=Q", memory, IDENTITY_RING_AT)
    records = np.frombuffer(memory, RECORD, count=SIZES[0], offset=ring)
    slot = layout.INDEX_START % SIZES[0]
    records[slot] = (NAME_TO_KIND["add"], 0, 1, 2.5, 0, 0, 0, b"", b"")
    records["value"][slot] = 2.5  # it shares its bytes with stamp_ns
    put(memory, HEAD_AT, layout.INDEX_START + 1)

    assert not drain.take_records()
    assert drain.next_entry() == (layout.ENTRY_FAMILY, layout.TYPE_COUNTER, 1, 0, b"")
    assert drain.next_entry() == (layout.ENTRY_SERIES, 0, 1, 1, b"")
    assert drain.next_entry() is None
    drain.bind(layout.TYPE_COUNTER, 0, first=2)
    assert drain.take_records()
    assert cells.view(np.float64).tolist() == [0.0, 0.0, 2.5, 0.0]


def test_cells_outside_the_store_are_refused() -> None:
    drain = open_drain(new_lane(), np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match="outside"):
        drain.bind(layout.TYPE_GAUGE, 0, first=1)


def test_a_head_beyond_the_ring_breaks_the_lane() -> None:
    memory = new_lane()
    drain = open_drain(memory)
    put(memory, HEAD_AT, (layout.INDEX_START + SIZES[0] + 1) % 2**64)
    with pytest.raises(BrokenLane, match="head"):
        drain.take_records()


@pytest.mark.parametrize("at", range(0, 112, 8))
def test_an_identity_with_a_wrong_word_is_refused_or_harmless(at: int) -> None:
    memory = new_lane()
    right = memory[at : at + 8]
    for wrong in (0, 1, 7, 2**31, 2**63, 2**64 - 1):
        put(memory, at, wrong)
        with contextlib.suppress(LaneRefused, BrokenLane):
            open_drain(memory).take_records()
        memory[at : at + 8] = right
    assert open_drain(memory).take_records()


def test_memory_smaller_than_a_lane_is_refused() -> None:
    with pytest.raises(LaneRefused, match="not_a_lane"):
        open_drain(bytearray(100))
    with pytest.raises(LaneRefused, match="bad_parts"):
        open_drain(bytearray(new_lane()[:-8]))


def test_a_lane_with_a_ring_of_one_is_refused() -> None:
    """After a kill the last whole record and the half of a next one would be the same slot."""
    sizes = (1, *SIZES[1:])
    memory = bytearray(layout.lane_bytes(*sizes))
    _drain.lane_format(memory, 5, *sizes)
    with pytest.raises(LaneRefused, match="bad_parts"):
        open_drain(memory)


def test_a_lane_that_is_cut_short_is_left_and_leaves_no_half_event(tmp_path: Path) -> None:
    file = tmp_path / "lane"
    file.write_bytes(bytes(new_lane()))
    cells = np.zeros(4, np.uint64)
    with file.open("r+b") as opened:
        memory = mmap.mmap(opened.fileno(), 0)
        drain = open_drain(memory, cells)
        define_counter(memory)
        assert not drain.take_records()
        while drain.next_entry() is not None:
            pass
        drain.bind(layout.TYPE_COUNTER, 0, first=0)
        (ring,) = struct.unpack_from("=Q", memory, IDENTITY_RING_AT)
        records = np.frombuffer(memory, RECORD, count=SIZES[0], offset=ring)
        records["kind"], records["series"], records["value"] = NAME_TO_KIND["add"], 1, 1.0
        put(memory, HEAD_AT, layout.INDEX_START + SIZES[0])
        for size in (ring + 4096 - ring % 4096, 4096, 0):  # half the ring, no ring, no header
            opened.truncate(size)
            with pytest.raises(BrokenLane, match="cut_short"):
                drain.take_records()
            drain.give_up()
            assert drain.calls() == []
            assert drain.gauges() == []
        assert drain.counts()["recorded"] in (0, SIZES[0])
        del drain, records
        memory.close()
    total = float(cells.view(np.float64)[0])
    assert total == int(total)
    assert total < SIZES[0]


def test_a_lane_cut_short_undoes_nothing_of_another_lane(tmp_path: Path) -> None:
    """The undo entry is shared, and lanes' indices are alike: its lane has to be looked at."""
    cells = np.zeros(2, np.uint64)
    undo = bytearray(UNDO_BYTES)

    def fill(memory: mmap.mmap, drain: _drain.LaneDrain, cell: int, n_records: int) -> None:
        define_counter(memory)
        assert not drain.take_records()
        while drain.next_entry() is not None:
            pass
        drain.bind(layout.TYPE_COUNTER, 0, first=cell)
        (ring,) = struct.unpack_from("=Q", memory, IDENTITY_RING_AT)
        records = np.frombuffer(memory, RECORD, count=SIZES[0], offset=ring)
        records["kind"], records["series"], records["value"] = NAME_TO_KIND["add"], 1, 1.0
        put(memory, HEAD_AT, layout.INDEX_START + n_records)
        assert drain.take_records()

    file = tmp_path / "lane"
    file.write_bytes(bytes(new_lane(6)))
    other = new_lane(5)
    with file.open("r+b") as opened:
        memory = mmap.mmap(opened.fileno(), 0)
        drain = _drain.LaneDrain(memory, bytearray(_drain.LEDGER_BYTES), undo, cells)
        fill(memory, drain, 0, 2)
        ledger = bytearray(_drain.LEDGER_BYTES)
        fill(other, _drain.LaneDrain(other, ledger, undo, cells), 1, 3)
        opened.truncate(0)
        with pytest.raises(BrokenLane, match="cut_short"):
            drain.take_records()
        del drain
        memory.close()
    assert cells.view(np.float64).tolist() == [2.0, 3.0]
