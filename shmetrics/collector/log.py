# SPDX-License-Identifier: Apache-2.0
"""The store's log: what its cells mean. Entries are appended; the latest word counts.

    family   its exponential bounds, and a definition; its id is its place among the families
    chunk    so many more rows of a family, and the cell at which they begin
    series   a row of a family: since when, and its label values
    removed  the row has no series any more
    expired  how many series had been removed before the log was written anew

There are two halves, and the log is in one of them; one number, its end, says in which. Once half
of it is about series that are gone, what still counts is written to the other half, and then the
end moves there: a kill leaves either log. Cells never move.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from shmetrics.errors import ShmetricsError

GROWTH_BYTES = 64 * 1024
WORTH_REMOVING = 256  # series that may be gone before the log is written anew

_NUMBER = struct.Struct("Q")  # native: one store, so that a kill cannot tear it
_ENTRY = struct.Struct("=IHHII")  # size, kind, type, id, of: as in a lane's dictionary
_CHECKSUM = struct.Struct("=II")  # CRC-32 of header and payload; zero. Between the two
_PAYLOAD_AT = _ENTRY.size + _CHECKSUM.size


class Kind(IntEnum):
    FAMILY = 1
    CHUNK = 2
    SERIES = 3
    REMOVED = 4
    EXPIRED = 5


class StoreError(ShmetricsError):
    """The store's file cannot be used; the message names it."""


class StoreDamaged(StoreError):
    """What the file holds is no store of this version, or no longer one; the message names it."""


class StoreFull(Exception):
    """No room for another definition or its cells."""


class Entry(NamedTuple):
    """One definition. of: the family that it is about; for a family, how many bounds it has."""

    kind: int
    type: int
    id: int
    of: int
    payload: bytes

    @property
    def size_bytes(self) -> int:
        size = _PAYLOAD_AT + len(self.payload)
        return size + -size % 8

    def encode(self) -> bytes:
        size = self.size_bytes
        head = _ENTRY.pack(size, self.kind, self.type, self.id, self.of)
        payload = self.payload.ljust(size - _PAYLOAD_AT, b"\0")
        return head + _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(head)), 0) + payload


class Log:
    """The log within a mapped file."""

    def __init__(
        self,
        path: Path,
        memory: mmap.mmap,
        end_at: int,
        first: int,
        half_bytes: int,
        allocate: Callable[[int, int], None],
    ) -> None:
        """end_at: where its end is written down. first: where its halves begin, each of
        half_bytes; both are whole pages. allocate: makes sure that an offset and size of the file
        have room on the disk, or raises StoreFull."""
        self._path = path
        self._map = memory
        self._end_at = end_at
        self._halves = first, first + half_bytes
        self._half_bytes = half_bytes
        self._allocate = allocate
        self._series = self._removed = 0  # of these entries there are so many
        self.expired = 0
        """How many series were ever removed."""

    def begin(self) -> None:
        """An empty one, in a new file."""
        self._set_end(self._halves[0])

    def open(self) -> None:
        """Raises StoreDamaged if its end is nowhere."""
        if not self._halves[0] <= self.end < self._halves[1] + self._half_bytes:
            raise StoreDamaged(f"{self._path}: the store is damaged")
        self._ready = self._first
        self._ensure(self.end)

    @property
    def end(self) -> int:
        (end,) = _NUMBER.unpack_from(self._map, self._end_at)
        return int(end)

    def _set_end(self, end: int) -> None:
        _NUMBER.pack_into(self._map, self._end_at, end)

    @property
    def _first(self) -> int:
        low, high = self._halves
        return high if self.end >= high else low

    @property
    def used_bytes(self) -> int:
        return self.end - self._first

    def _ensure(self, end: int) -> None:
        while self._ready < end:
            room = min(GROWTH_BYTES, self._first + self._half_bytes - self._ready)
            self._allocate(self._ready, room)
            self._ready += room

    def make_room(self, size_bytes: int) -> None:
        """Raises StoreFull if so much cannot be appended, even if what is gone makes room."""
        if self.used_bytes + size_bytes >= self._half_bytes and self._removed:
            self.rewrite()
        if self.used_bytes + size_bytes >= self._half_bytes:
            raise StoreFull(f"{self._path}: no room for more series; raise store.max_bytes")
        self._ensure(self.end + size_bytes)

    def append(self, entries: Iterable[Entry]) -> None:
        """Adds entries for which there is room: all of them, or none."""
        end = self.end
        for entry in entries:
            raw = entry.encode()
            self._map[end : end + len(raw)] = raw
            end += len(raw)
            self._count(entry.kind, entry.id)
        self._set_end(end)  # last: it makes them exist
        if self._removed > WORTH_REMOVING and 2 * self._removed > self._series:
            with contextlib.suppress(StoreFull):  # on the disk: then later
                self.rewrite()

    def _count(self, kind: int, id: int) -> None:
        self._series += kind == Kind.SERIES
        self._removed += kind == Kind.REMOVED
        self.expired += id if kind == Kind.EXPIRED else kind == Kind.REMOVED

    def __iter__(self) -> Iterator[Entry]:
        """The entries from the first, once: they are counted on the way. Raises StoreDamaged."""
        for at, size, kind, type, id, of in self._headers():
            head = self._map[at : at + _ENTRY.size]
            payload = self._map[at + _PAYLOAD_AT : at + size]
            checksum = _CHECKSUM.unpack_from(self._map, at + _ENTRY.size)
            if checksum != (zlib.crc32(payload, zlib.crc32(head)), 0):
                raise StoreDamaged(f"{self._path}: the store's log is damaged: checksum at {at}")
            self._count(kind, id)
            yield Entry(kind, type, id, of, payload)

    def _headers(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        at, end = self._first, self.end
        while at < end:
            size, kind, type, id, of = _ENTRY.unpack_from(self._map, at)
            if size < _PAYLOAD_AT or at + size > end:
                raise StoreDamaged(f"{self._path}: the store's log is damaged")
            yield at, size, kind, type, id, of
            at += size

    def rewrite(self) -> None:
        """Goes on in the other half, with what still counts. Raises StoreFull."""
        places: dict[tuple[int, int, int], tuple[int, int]] = {}
        for at, size, kind, _, id, of in self._headers():
            if kind == Kind.REMOVED:
                places.pop((Kind.SERIES, of, id), None)
            elif kind == Kind.SERIES:
                places.pop((kind, of, id), None)  # the order is that of the latest words
                places[kind, of, id] = at, size
            elif kind != Kind.EXPIRED:
                places[kind, at, 0] = at, size
        parts = [self._map[at : at + size] for at, size in places.values()]
        parts.append(Entry(Kind.EXPIRED, 0, self.expired, 0, b"").encode())
        text = b"".join(parts)
        old = self._first
        new = sum(self._halves) - old
        ready = -(-len(text) // GROWTH_BYTES) * GROWTH_BYTES
        ready = min(ready, self._half_bytes)
        self._allocate(new, ready)
        self._map[new : new + len(text)] = text
        self._set_end(new + len(text))  # from here on it is the log
        self._ready = new + ready
        self._series = sum(kind == Kind.SERIES for kind, _, _ in places)
        self._removed = 0
        with contextlib.suppress(OSError):  # not every file system can give a part back
            self._map.madvise(mmap.MADV_REMOVE, old, self._half_bytes)
