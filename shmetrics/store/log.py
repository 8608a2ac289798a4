# SPDX-License-Identifier: Apache-2.0
"""The store's log: what its cells mean. Entries are appended; the latest word counts.

    family   its exponential bounds, and a definition; families are numbered as they come
    chunk    so many more rows behind a family's last, and the cell at which they begin; of an older
             version
    series   a row of a family: since when, and its label values
    removed  the row has no series any more; type 1: which nobody counts as expired
    expired  how many series had been removed before the log was written anew
    placed   rows of a family: from which one on, how many, and the cell at which they begin
    vacated  these rows are no more, and others may have their cells
    gone     the family is no more, and nothing of it

Each names its owner: the user for whose process it was written (see shares.py).

There are two halves, and the log is in one of them; one number, its end, says in which. Once half
of it is about what is gone, what still counts is written to the other half, and then the
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
WORTH_REMOVING = 256  # entries that may count no more before the log is written anew
REMOVAL_BYTES = 4096  # of each half: so that what is there can go, however full it is

_NUMBER = struct.Struct("Q")  # native: one store, so that a kill cannot tear it
_ENTRY = struct.Struct("=IHHII")  # size, kind, type, id, of: as in a lane's dictionary
_CHECKSUM = struct.Struct("=II")  # CRC-32 of owner, header and payload; owner. Between the two
_PAYLOAD_AT = _ENTRY.size + _CHECKSUM.size


class EntryKind(IntEnum):
    FAMILY = 1
    CHUNK = 2
    SERIES = 3
    REMOVED = 4
    EXPIRED = 5
    PLACED = 6
    VACATED = 7
    GONE = 8


_KINDS = frozenset(EntryKind)
# How many entries count no more because of one of these.
_ENDS = {EntryKind.REMOVED: 1, EntryKind.VACATED: 1, EntryKind.GONE: 2}
_FIRST_CELL = struct.Struct("=Q")
_PLACE = struct.Struct("=QQ")  # its first cell, how many rows


class StoreError(ShmetricsError):
    """The store's file cannot be used; the message names it."""


class StoreDamaged(StoreError):
    """What the file holds is no store of this version, or no longer one; the message names it."""


class StoreFull(Exception):
    """No room for another definition or its cells. owner: whose share is full, if not the store."""

    def __init__(self, text: str, owner: int | None = None) -> None:
        super().__init__(text)
        self.owner = owner


class Entry(NamedTuple):
    """One definition. of: the family that it is about; for a family, how many bounds it has. owner:
    see shares.py."""

    kind: int
    type: int
    id: int
    of: int
    payload: bytes
    owner: int = 0

    @property
    def size_bytes(self) -> int:
        size = _PAYLOAD_AT + len(self.payload)
        return size + -size % 8

    def encode(self) -> bytes:
        size = self.size_bytes
        head = _ENTRY.pack(size, self.kind, self.type, self.id, self.of)
        payload = self.payload.ljust(size - _PAYLOAD_AT, b"\0")
        checksum = _CHECKSUM.pack(_crc(self.owner, head, payload), self.owner)
        return head + checksum + payload

    @staticmethod
    def placed(of: int, first_row: int, rows: int, first_cell: int, owner: int) -> Entry:
        """Return the entry of rows that a family gets."""
        return Entry(EntryKind.PLACED, 0, first_row, of, _PLACE.pack(first_cell, rows), owner)

    def place(self) -> tuple[int, int | None, int]:
        """Return the first cell, the first row (None: that behind the last) and how many rows; of a
        chunk or what is placed. Raises struct.error."""
        if self.kind == EntryKind.CHUNK:
            return _FIRST_CELL.unpack_from(self.payload)[0], None, self.id
        first_cell, rows = _PLACE.unpack_from(self.payload)
        return first_cell, self.id, rows


def _crc(owner: int, head: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(head, owner))


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
        self.half_bytes = half_bytes
        self._allocate = allocate
        self._entries = self._ended = 0  # there are so many, of which so many count no more
        self.expired = 0
        """How many series were ever removed."""

    def open(self) -> None:
        """Raises StoreDamaged if its end is nowhere."""
        if not self._halves[0] <= self.end < self._halves[1] + self.half_bytes:
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
            room = min(GROWTH_BYTES, self._first + self.half_bytes - self._ready)
            self._allocate(self._ready, room)
            self._ready += room

    def make_room(self, size_bytes: int) -> None:
        """Raises StoreFull if so much cannot be appended, even if what is gone makes room."""
        if self.used_bytes + size_bytes >= self.half_bytes and self._ended:
            self.rewrite()
        if self.used_bytes + size_bytes >= self.half_bytes:
            raise StoreFull(f"{self._path}: no room for more series; raise store.max_bytes")
        self._ensure(self.end + size_bytes)

    def append(self, entries: Iterable[Entry]) -> None:
        """Adds entries for which there is room: all of them, or none."""
        end = self.end
        for entry in entries:
            raw = entry.encode()
            self._map[end : end + len(raw)] = raw
            end += len(raw)
            self._count(entry)
        self._set_end(end)  # last: it makes them exist
        if self._ended > WORTH_REMOVING and 2 * self._ended > self._entries:
            with contextlib.suppress(StoreFull):  # on the disk: then later
                self.rewrite()

    def _count(self, entry: Entry) -> None:
        ended = _ENDS.get(EntryKind(entry.kind), 0)
        self._entries += not ended
        self._ended += ended
        if entry.kind == EntryKind.REMOVED:
            self.expired += entry.type == 0
        elif entry.kind == EntryKind.EXPIRED:
            self.expired += entry.id

    def __iter__(self) -> Iterator[Entry]:
        """The entries from the first, once: they are counted on the way. Raises StoreDamaged."""
        for at, size, *_ in self._headers():
            entry = self._entry(at, size)
            self._count(entry)
            yield entry

    def _entry(self, at: int, size: int) -> Entry:
        _, kind, type, id, of = _ENTRY.unpack_from(self._map, at)
        head = self._map[at : at + _ENTRY.size]
        payload = self._map[at + _PAYLOAD_AT : at + size]
        checksum, owner = _CHECKSUM.unpack_from(self._map, at + _ENTRY.size)
        if checksum != _crc(owner, head, payload) or kind not in _KINDS:
            raise StoreDamaged(f"{self._path}: the store's log is damaged: checksum at {at}")
        return Entry(kind, type, id, of, payload, owner)

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
        text, n = self.what_counts()
        if len(text) >= self.half_bytes:
            raise StoreFull(f"{self._path}: no room for more series; raise store.max_bytes")
        old = self._first
        new = sum(self._halves) - old
        ready = -(-len(text) // GROWTH_BYTES) * GROWTH_BYTES
        ready = min(ready, self.half_bytes)
        self._allocate(new, ready)
        self._map[new : new + len(text)] = text
        self._set_end(new + len(text))  # from here on it is the log
        self._ready = new + ready
        self._entries, self._ended = n, 0
        with contextlib.suppress(OSError):  # not every file system can give a part back
            self._map.madvise(mmap.MADV_REMOVE, old, self.half_bytes)

    def what_counts(self) -> tuple[bytes, int]:
        """Return the entries that a log written anew has, and how many they are."""
        kept: dict[tuple[int, int, int], bytes] = {}  # by kind, family, and row
        gone: set[int] = set()  # families; their numbers are not given again
        rows_of: dict[int, int] = {}  # that a family has in chunks of an older version
        for at, size, kind, _, id, of in self._headers():
            if kind == EntryKind.REMOVED:
                kept.pop((EntryKind.SERIES, of, id), None)
            elif kind == EntryKind.SERIES:
                kept.pop((kind, of, id), None)  # the order is that of the latest words
                kept[kind, of, id] = self._map[at : at + size]
            elif kind == EntryKind.CHUNK:
                entry = self._entry(at, size)
                first_row = rows_of.get(of, 0)
                rows_of[of] = first_row + id
                placed = Entry.placed(of, first_row, id, entry.place()[0], entry.owner)
                kept[EntryKind.PLACED, of, first_row] = placed.encode()
            elif kind == EntryKind.PLACED:
                kept[kind, of, id] = self._map[at : at + size]
            elif kind == EntryKind.VACATED:
                kept.pop((EntryKind.PLACED, of, id), None)
            elif kind == EntryKind.GONE:
                gone.add(id)
            elif kind == EntryKind.FAMILY:
                kept[kind, id, 0] = self._map[at : at + size]
        parts = [raw for (_, family, _), raw in kept.items() if family not in gone]
        parts.append(Entry(EntryKind.EXPIRED, 0, self.expired, 0, b"").encode())
        return b"".join(parts), len(parts)
