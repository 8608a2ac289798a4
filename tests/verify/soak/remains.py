# SPDX-License-Identifier: Apache-2.0
"""What the lane of a killed process says that it had published: read by hand, from the file.

A process is frozen before it is killed, and its lanes get a second name meanwhile: so the file is
still there after the collector has retired the lane, and unlinked the first one.
"""

from __future__ import annotations

import json
import os
import signal
import struct
from pathlib import Path
from typing import NamedTuple

from shmetrics import layout
from shmetrics.dictionary import decode_definition, decode_strings
from tests.nodes.hostile import (
    ADDED_AT,
    DICTIONARY_END_AT,
    GAUGE_WRITES_AT,
    HEAD_AT,
    PARTS_AT,
    SPILLED_AT,
)

_ENTRY = struct.Struct("=IHHII")  # size, kind, type, id, of


class Remains(NamedTuple):
    """Events published, of these spilled; by name and label what the gauges said, and what the
    collector has taken of the counters."""

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
                os.link(lane, graves / f"{name}.{lane.stem}")
        except (FileNotFoundError, ValueError):
            continue  # being made or removed: not the lane of somebody who lives
    os.kill(pid, signal.SIGKILL)


def are_final(path: Path) -> bool:
    """Whether the collector is done with the lane: it finishes the last event, then unlinks it."""
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
    gauges = _first_cells(memory, layout.TYPE_GAUGE, cells_at) if gauge_writes else {}
    return Remains(published, spilled, gauges, _first_cells(memory, layout.TYPE_COUNTER, seen_at))


def _first_cells(memory: bytes, wanted: int, cells_at: int) -> dict[tuple[str, str], float]:
    """Cells are handed out in the order of the dictionary's entries."""
    _, _, at, _, _, cells_bytes = struct.unpack_from("=6Q", memory, PARTS_AT)
    (size,) = struct.unpack_from("=Q", memory, DICTIONARY_END_AT)
    end = at + size
    families = []
    found = {}
    while at < end:
        size, kind, type, _, of = _ENTRY.unpack_from(memory, at)
        payload = memory[at + _ENTRY.size : at + size]
        at += size
        if kind == layout.ENTRY_FAMILY:
            families.append(decode_definition(type, of, payload))
            continue
        width = 1  # an exception
        if kind == layout.ENTRY_SERIES:
            family = families[of - 1]
            width = layout.cells_of(family.type, len(family.bounds))
            if family.type == wanted:
                label = "".join(decode_strings(payload))
                (found[family.name, label],) = struct.unpack_from("=d", memory, cells_at)
        cells_at += 8 * width
        cells_bytes -= 8 * width
    assert cells_bytes >= 0, "more series than cells"
    return found
