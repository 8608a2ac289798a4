# SPDX-License-Identifier: Apache-2.0
"""An emitter without manners: it writes what it likes wherever it likes in its own lane."""

from __future__ import annotations

import mmap
import os
import struct

from shmetrics import layout
from shmetrics.dictionary import Definition, encode_definition, encode_strings

# Offsets of csrc/lane/layout.h.
VERSION_AT, LANE_ID_AT, PARTS_AT = 8, 16, 32
HEAD_AT, DICTIONARY_END_AT, SPILLED_AT, GAUGE_WRITES_AT, CALLS_HIGH_AT = 256, 264, 272, 280, 288
ADDED_AT, DROPPED_AT, TAIL_AT, STATE_AT = 304, 320, 512, 640
PARTS = ("calls", "dictionary", "cells", "seen", "ring")

ADD, OBSERVE, CALL_START, CALL_END = 1, 2, 3, 4

JOBS = Definition(layout.TYPE_COUNTER, "hostile_jobs", "Jobs", "", "", ("queue",), ())
SIZE = Definition(layout.TYPE_HISTOGRAM, "hostile_size", "Size", "", "", ("queue",), (1.0, 2.0))
RPC = Definition(layout.TYPE_CALLS, "hostile_rpc", "Calls", "", "", ("queue",), (1.0, 2.0))
BUSY = Definition(layout.TYPE_GAUGE, "hostile_busy", "Busy", "", "sum", ("queue",), ())


class LaneFile:
    """The memory of a lane, by the offsets of its layout."""

    def __init__(self, fd: int) -> None:
        """Take the descriptor over, and with it the lock that tells that the emitter lives."""
        self.fd = fd
        self.memory = mmap.mmap(fd, os.fstat(fd).st_size)
        numbers = struct.unpack_from("=10Q", self.memory, PARTS_AT)
        self.parts: dict[str, tuple[int, int]] = dict(
            zip(PARTS, zip(numbers[::2], numbers[1::2], strict=True), strict=True)
        )
        self._families = self._series = 0

    def close(self) -> None:
        """Close the lane, as the kernel does when the process dies."""
        self.memory.close()
        os.close(self.fd)

    def get(self, at: int) -> int:
        (number,) = struct.unpack_from("=Q", self.memory, at)
        return int(number)

    def put(self, at: int, number: int) -> None:
        # At once: struct.pack_into() clears the bytes before it writes them, and a collector that
        # looks in between sees an index that goes back.
        self.memory[at : at + 8] = struct.pack("=Q", number & (2**64 - 1))

    def put_double(self, at: int, number: float) -> None:
        self.memory[at : at + 8] = struct.pack("=d", number)

    def entry(self, kind: int, type: int, id: int, of: int, payload: bytes) -> None:
        """Append an entry to the dictionary."""
        payload += bytes(-len(payload) % 8)
        end = self.get(DICTIONARY_END_AT)
        raw = struct.pack("=IHHII", 16 + len(payload), kind, type, id, of) + payload
        at = self.parts["dictionary"][0] + end
        self.memory[at : at + len(raw)] = raw
        self.put(DICTIONARY_END_AT, end + len(raw))

    def family(self, definition: Definition) -> int:
        """Define a family; return its id."""
        self._families += 1
        self.entry(
            layout.ENTRY_FAMILY,
            definition.type,
            self._families,
            len(definition.bounds),
            encode_definition(definition),
        )
        return self._families

    def series(self, type: int, of: int, *values: str) -> int:
        """Define a series, with cells; return its id."""
        self._series += 1
        self.entry(layout.ENTRY_SERIES, type, self._series, of, encode_strings(values))
        if type in (layout.TYPE_HISTOGRAM, layout.TYPE_CALLS):
            self.entry(layout.ENTRY_CELLS, 0, 0, self._series, b"")
        return self._series

    def slot(self, ahead: int = 0) -> int:
        """Return the offset of the next record, or of one that comes later."""
        offset, size = self.parts["ring"]
        return offset + (self.get(HEAD_AT) + ahead) % (size // 64) * 64

    def record(
        self, kind: int, series: int, value: float = 1.0, duration_ns: int = 0, exception: int = 0
    ) -> None:
        """Publish a record."""
        struct.pack_into(
            "=BBHIdQI", self.memory, self.slot(), kind, 0, 0, series, value, duration_ns, exception
        )
        self.put(HEAD_AT, self.get(HEAD_AT) + 1)
