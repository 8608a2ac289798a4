# SPDX-License-Identifier: Apache-2.0
"""The store's log: it names the families, their series, and their cells. Later entries win.

The kinds of entries are in log_entry.py. There are two halves, and the log is in one of them. One
number, the log's end, says in which. Once half of the entries are about things that are gone, the
others are written to the other half, and then the end moves there: a kill leaves the old log or the
new one. A series moves to another row by an entry that removes the old one and an entry for the new
one, written together (see relocation.py).
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from shmetrics.errors import ShmetricsError
from shmetrics.store.log_entry import HEADER, PAYLOAD_AT, Entry, EntryKind

GROWTH_BYTES = 64 * 1024
WORTH_REMOVING = 256  # entries about things that are gone, before the log is written anew
REMOVAL_BYTES = 4096  # reserved in each half, so that series can be removed from a full log

_NUMBER = struct.Struct("Q")  # native, so it is one store that a kill cannot tear

# The number of earlier entries that an entry of this kind makes void.
_ENDS = {EntryKind.REMOVED: 1, EntryKind.VACATED: 1, EntryKind.GONE: 2}


class StoreError(ShmetricsError):
    """An error: the store's file cannot be used. The message names it."""


class StoreDamaged(StoreError):
    """An error: the file is no store of this version, or damaged. The message names it."""


class StoreFull(Exception):
    """An error: the store has no room for another entry or its cells.

    Attributes:
        owner: the owner whose share is full; None if the store or the disk is.
    """

    def __init__(self, text: str, owner: int | None = None) -> None:
        """Begin with one line of text, and the owner whose share is full."""
        super().__init__(text)
        self.owner = owner


class Log:
    """The log, in the mapped file of the store."""

    def __init__(
        self,
        path: Path,
        memory: mmap.mmap,
        end_at: int,
        first: int,
        half_bytes: int,
        allocate: Callable[[int, int], None],
    ) -> None:
        """Begin without reading anything: see open().

        Args:
            path: the store's path, for messages.
            memory: the mapped file.
            end_at: the offset of the number that is the log's end.
            first: the offset of the first half; whole pages.
            half_bytes: the size of each half; whole pages.
            allocate: called with an offset and a size; makes sure that the disk has room there, or
                raises StoreFull.
        """
        self._path = path
        self._map = memory
        self._end_at = end_at
        self._halves = first, first + half_bytes
        self.half_bytes = half_bytes
        self._allocate = allocate
        self._entries = self._ended = 0  # entries that make something; those of it that are void
        self._next_family = 0  # the number after the highest
        self.expired = 0
        """The number of emitters' series that were ever removed."""

    def open(self) -> None:
        """Find the half that the log is in.

        Raises:
            StoreDamaged: the log's end is in neither half.
        """
        if not self._halves[0] <= self.end < self._halves[1] + self.half_bytes:
            raise StoreDamaged(f"{self._path}: the store is damaged")
        self._ready = self._first
        self._ensure(self.end)

    @property
    def end(self) -> int:
        """Return the offset at which the log ends."""
        (end,) = _NUMBER.unpack_from(self._map, self._end_at)
        return int(end)

    def _set_end(self, end: int) -> None:
        """Write the end of the log."""
        _NUMBER.pack_into(self._map, self._end_at, end)

    @property
    def _first(self) -> int:
        """Return the offset of the half that the log is in."""
        low, high = self._halves
        return high if self.end >= high else low

    @property
    def used_bytes(self) -> int:
        """Return the bytes of all entries."""
        return self.end - self._first

    def _ensure(self, end: int) -> None:
        """Allocate the file up to an offset. Raises StoreFull."""
        while self._ready < end:
            room = min(GROWTH_BYTES, self._first + self.half_bytes - self._ready)
            self._allocate(self._ready, room)
            self._ready += room

    def make_room(self, size_bytes: int) -> None:
        """Make room for so many bytes, if need be by dropping what is gone.

        Raises:
            StoreFull: there is no room for them.
        """
        if self.used_bytes + size_bytes >= self.half_bytes and self._ended:
            self.rewrite()
        if self.used_bytes + size_bytes >= self.half_bytes:
            raise StoreFull(f"{self._path}: no room for more series; raise store.max_bytes")
        self._ensure(self.end + size_bytes)

    def is_short(self, part: int) -> bool:
        """Return whether one part of so many is not free, even without what is gone.

        What is gone is dropped only if it is as large a part: writing all anew takes time.
        """
        margin_bytes = self.half_bytes // part
        if self.used_bytes + margin_bytes > self.half_bytes and self._ended * part > self._entries:
            with contextlib.suppress(StoreFull):  # the disk is full: try again later
                self.rewrite()
        return self.used_bytes + margin_bytes > self.half_bytes

    def append(self, entries: Iterable[Entry]) -> None:
        """Add entries for which there is room: all of them or none."""
        end = self.end
        for entry in entries:
            raw = entry.encode()
            self._map[end : end + len(raw)] = raw
            end += len(raw)
            self._count(entry)
        self._set_end(end)  # last, because it makes them part of the log
        if self._ended > WORTH_REMOVING and 2 * self._ended > self._entries:
            with contextlib.suppress(StoreFull):  # the disk is full: try again later
                self.rewrite()

    def _count(self, entry: Entry) -> None:
        """Count an entry that is read or written."""
        ended = _ENDS.get(EntryKind(entry.kind), 0)
        self._entries += not ended
        self._ended += ended
        if entry.kind == EntryKind.FAMILY:
            self._ended += entry.id < self._next_family  # the entry before this one
            self._next_family = max(self._next_family, entry.id + 1)
        elif entry.kind == EntryKind.REMOVED:
            self.expired += entry.type == 0
        elif entry.kind == EntryKind.EXPIRED:
            self.expired += entry.id

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries from the first on. Iterate once only: they are counted on the way.

        Raises:
            StoreDamaged: an entry is damaged.
        """
        for at, size, *_ in self._headers():
            entry = self._entry(at, size)
            self._count(entry)
            yield entry

    def _entry(self, at: int, size: int) -> Entry:
        """Return the entry at an offset. Raises StoreDamaged."""
        try:
            return Entry.decode(self._map, at, size)
        except ValueError:
            raise StoreDamaged(
                f"{self._path}: the store's log is damaged: checksum at {at}"
            ) from None

    def _headers(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Yield the offset and the header of each entry. Raises StoreDamaged."""
        at, end = self._first, self.end
        while at < end:
            size, kind, type, id, of = HEADER.unpack_from(self._map, at)
            if size < PAYLOAD_AT or at + size > end:
                raise StoreDamaged(f"{self._path}: the store's log is damaged")
            yield at, size, kind, type, id, of
            at += size

    def rewrite(self) -> None:
        """Write what still counts to the other half, and go on there. Raises StoreFull."""
        text, n = self.live_entries()
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
        with contextlib.suppress(OSError):  # not every file system can free a part of a file
            self._map.madvise(mmap.MADV_REMOVE, old, self.half_bytes)

    def live_entries(self) -> tuple[bytes, int]:
        """Return the bytes of the entries that still count, and their number."""
        kept: dict[tuple[int, int, int], bytes] = {}  # by kind, family, and row
        gone: set[int] = set()  # families; no other family gets their numbers
        rows_of: dict[int, int] = {}  # the rows of a family in chunks of an older version
        for at, size, kind, _, id, of in self._headers():
            if kind == EntryKind.REMOVED:
                kept.pop((EntryKind.SERIES, of, id), None)
            elif kind == EntryKind.SERIES:
                kept.pop((kind, of, id), None)  # keep the order of the latest entries
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
