# SPDX-License-Identifier: Apache-2.0
"""The published totals of a killed process, read by hand from the files of its lanes.

A process gives its lane a second name as soon as it has it, and so does whoever kills a process,
when it is frozen: so the file is still there after the collector has retired the lane, and unlinked
the first name. A process that has moved to a larger lane has several.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from shmetrics import layout
from shmetrics.dictionary import decode_definition, decode_strings
from tests.nodes.hostile import (
    ADDED_AT,
    DICTIONARY_END_AT,
    GAUGE_WRITES_AT,
    HEAD_AT,
    LANE_ID_AT,
    PARTS_AT,
    SPILLED_AT,
)

PREDECESSOR_AT, MOVED_TO_AT = 112, 312
_ENTRY = struct.Struct("=IHHII")  # size, kind, type, id, of


class Remains(NamedTuple):
    """A lane: its id, and those of the lane before it and of the one after it, or 0. Events
    published, of these spilled; by name and label what the gauges said, and what the collector has
    taken of the counters."""

    lane_id: int
    predecessor: int
    moved_to: int
    published: int
    spilled: int
    gauges: dict[tuple[str, str], float]
    taken: dict[tuple[str, str], float]


def kill(pid: int, lanes: Path, graves: Path, name: str) -> None:
    """Ends a child of ours as nobody can foresee, and keeps its lanes as graves/name.*."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    # From here on it publishes nothing, and every lane that it may have been given is there.
    for owner in lanes.glob("*.json"):
        lane = owner.with_suffix(".lane")
        try:
            if json.loads(owner.read_text())["pid"] == pid:
                keep(lane, graves, name)
        except (FileNotFoundError, ValueError):
            continue  # being made or removed: not the lane of somebody who lives
    os.kill(pid, signal.SIGKILL)


def keep(lane: Path, graves: Path, name: str) -> None:
    """Gives a lane a second name. Raises FileNotFoundError if it is gone."""
    with contextlib.suppress(FileExistsError):
        os.link(lane, graves / f"{name}.{lane.stem}")


def of_process(paths: Iterable[Path]) -> list[Remains]:
    """Of the lanes of one process, all final: those in which it has ever been."""
    found = {one.lane_id: one for one in map(read, paths)}
    for one in found.values():
        assert one.predecessor in (0, *found), f"lane {one.predecessor} was not kept"
    return [one for one in found.values() if _has_begun(one, found.get(one.predecessor))]


def _has_begun(lane: Remains, before: Remains | None) -> bool:
    """A process that is killed in the middle of a move has never been in the new lane."""
    return before is None or before.moved_to == lane.lane_id


def are_final(path: Path) -> bool:
    """Tell whether the collector is done with the lane: after the last event it unlinks it."""
    return path.stat().st_nlink == 1


def read(path: Path) -> Remains:
    """Of a lane that is final."""
    memory = path.read_bytes()
    (head,) = struct.unpack_from("=Q", memory, HEAD_AT)
    (spilled,) = struct.unpack_from("=Q", memory, SPILLED_AT)
    (added,) = struct.unpack_from("=Q", memory, ADDED_AT)
    (gauge_writes,) = struct.unpack_from("=Q", memory, GAUGE_WRITES_AT)
    published = (head - layout.INDEX_START) % 2**64 + spilled + added
    _, _, _, _, cells_at, _, seen_at, _ = struct.unpack_from("=8Q", memory, PARTS_AT)
    has_gauges = gauge_writes and not _u64(memory, MOVED_TO_AT)  # they go along
    gauges = _first_cells(memory, layout.TYPE_GAUGE, cells_at) if has_gauges else {}
    taken = _first_cells(memory, layout.TYPE_COUNTER, seen_at)
    lane_id, predecessor, moved_to = (
        _u64(memory, at) for at in (LANE_ID_AT, PREDECESSOR_AT, MOVED_TO_AT)
    )
    return Remains(lane_id, predecessor, moved_to, published, spilled, gauges, taken)


def _u64(memory: bytes, at: int) -> int:
    (number,) = struct.unpack_from("=Q", memory, at)
    return int(number)


def _first_cells(memory: bytes, wanted: int, cells_at: int) -> dict[tuple[str, str], float]:
    """Cells are handed out in the order of the dictionary's entries; some types have an entry of
    their own for that."""
    _, _, at, _, _, cells_bytes = struct.unpack_from("=6Q", memory, PARTS_AT)
    end = at + _u64(memory, DICTIONARY_END_AT)
    families = []
    widths = [0]  # by the id of a series
    found = {}
    while at < end:
        size, kind, type, _, of = _ENTRY.unpack_from(memory, at)
        payload = memory[at + _ENTRY.size : at + size]
        at += size
        if kind == layout.ENTRY_FAMILY:
            families.append(decode_definition(type, of, payload))
            continue
        if kind == layout.ENTRY_CELLS:
            width = widths[of]
        elif kind == layout.ENTRY_EXCEPTION:
            width = 1
            widths.append(width)
        else:
            assert kind == layout.ENTRY_SERIES, kind
            family = families[of - 1]
            width = layout.cells_of(family.type, len(family.bounds))
            widths.append(width)
            if family.type in (layout.TYPE_HISTOGRAM, layout.TYPE_CALLS):
                width = 0
            if family.type == wanted:
                label = "".join(decode_strings(payload))
                (found[family.name, label],) = struct.unpack_from("=d", memory, cells_at)
        cells_at += 8 * width
        cells_bytes -= 8 * width
    assert cells_bytes >= 0, "more series than cells"
    return found
