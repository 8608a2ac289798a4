# SPDX-License-Identifier: Apache-2.0
"""The book of one emitting process: a file that outlives it, about what it did.

Around each event it counts two things: that the event has begun, and that it is done. When the
process is killed, at whatever instruction, at most one event has begun and is not done; whether
that one counts is for the process's lane to say.

cells, 8 bytes each:
    lane | fate | spilled | dropped | errors | sure | moves | begun, done of a column | ...
"""

from __future__ import annotations

import mmap
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple


class Column(NamedTuple):
    """One kind of event on one series: whose is "own" (the process's topic) or "common". Only the
    visits are on many series."""

    kind: str
    whose: str


VISITS = Column("visit", "common")
EVENTS = (
    *(
        Column(kind, whose)
        for kind in ("job", "size", "start", "end")
        for whose in ("own", "common")
    ),
    VISITS,
)
GAUGES = (
    *(Column("level", whose) for whose in ("own", "common")),
    *(Column(kind, "common") for kind in ("peak", "floor", "living", "each", "latest")),
)
COLUMNS = (*EVENTS, *GAUGES)

# SURE: visits of which none waits in the process's memory for a larger lane.
# MOVES: from lane to larger lane.
LANE, FATE, SPILLED, DROPPED, ERRORS, SURE, MOVES, FIRST = range(8)
N_CELLS = FIRST + 2 * len(COLUMNS)

Counts = dict[Column, int]


class Fate(IntEnum):
    """The way in which a process ends, written before it does."""

    LIVING = 0
    ENDED = 1  # by itself, with a lane: everything it did counts
    ALONE = 2  # by itself, and no collector had ever answered: nothing does
    KILLED = 3  # its lane knows


class Book:
    """The file, mapped. Whoever starts the process makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), N_CELLS * 8)
        self.cells = memoryview(self._memory).cast("Q")

    @classmethod
    def make(cls, path: Path) -> Book:
        path.write_bytes(bytes(N_CELLS * 8))
        return cls(path)

    def begun(self) -> Counts:
        return {column: self.cells[FIRST + 2 * n] for n, column in enumerate(COLUMNS)}

    def done(self) -> Counts:
        return {column: self.cells[FIRST + 2 * n + 1] for n, column in enumerate(COLUMNS)}

    def close(self) -> None:
        self.cells.release()
        self._memory.close()
