# SPDX-License-Identifier: Apache-2.0
"""The store: one memory-mapped file that holds the node's totals.

         0  header   magic, version, bytes of log in use, next lane id; the undo entry
      4096  log      definitions of families and series, append-only, in order
     1/4 .. cells    8-byte totals, handed out in the order of the log

Which cells belong to a series is not written down: reading the log again hands the same cells out
again. The file is sparse; what is in use is allocated first, so that a full disk is an error here
and not a signal later.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shmetrics import _ring
from shmetrics.errors import ShmetricsError

MAGIC = b"shmstore"
VERSION = 1
HEADER_BYTES = 4096
CELL_BYTES = 8
GROWTH_BYTES = 64 * 1024

_IDENTITY = struct.Struct("=8sIIQ")  # magic, version, zero, size of the whole file
_NUMBER = struct.Struct("Q")  # native: one store, so that a kill cannot tear it
_LOG_END_AT = 64
_CELLS_USED_AT = 72
_NEXT_LANE_AT = 80
_UNDO_AT = 1024
_ENTRY = struct.Struct("=IHHII")  # size, kind, type, id, of: as in a lane's dictionary
_CHECKSUM = struct.Struct("=II")  # CRC-32 of header and payload; zero. Between the two


_PAYLOAD_AT = _ENTRY.size + _CHECKSUM.size


def _crc(head: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(head))


class StoreError(ShmetricsError):
    """The store's file cannot be used; the message names it."""


class StoreDamaged(StoreError):
    """What the file holds is no store of this version, or no longer one; the message names it."""


class StoreFull(Exception):
    """No room for another definition or its cells."""


class Entry(NamedTuple):
    """One definition of the log."""

    kind: int
    type: int
    id: int
    of: int
    payload: bytes


class Store:
    """The file, mapped. cells: all of them, as uint64, whether in use or not."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Opens path, or makes it with room for max_bytes. Raises StoreError."""
        self.path = path
        with contextlib.ExitStack() as opened:
            try:
                self._open(opened, max_bytes)
            except (OSError, ValueError) as error:
                raise StoreError(f"{path}: the store cannot be opened: {error}") from None
            except StoreFull as error:
                raise StoreError(f"the store cannot be opened: {error}") from None
            opened.pop_all()
        # Handed out again while the log is read: see replay in families.
        self._cells_used = 0

    def _open(self, opened: contextlib.ExitStack, max_bytes: int) -> None:
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        opened.callback(os.close, self._fd)
        size = os.fstat(self._fd).st_size
        self.is_new = size == 0
        if self.is_new:
            # A store without an identity would be in the way of the next collector.
            opened.callback(os.unlink, self.path)
            size = max_bytes - max_bytes % mmap.PAGESIZE
            os.ftruncate(self._fd, size)
            self._allocate(0, HEADER_BYTES)
        self._map = mmap.mmap(self._fd, size)
        opened.callback(self._map.close)
        self.size_bytes = size
        self._cells_at = size // 4 - size // 4 % mmap.PAGESIZE
        self._log_limit = self._cells_at
        self._log_ready = HEADER_BYTES
        self._cells_ready = self._cells_at
        if self.is_new:
            self._put(_LOG_END_AT, HEADER_BYTES)
            self._put(_NEXT_LANE_AT, 1)
            _IDENTITY.pack_into(self._map, 0, MAGIC, VERSION, 0, size)
        self._check()
        self._ensure_log(self._get(_LOG_END_AT))
        self.cells: npt.NDArray[np.uint64] = np.frombuffer(
            self._map, np.uint64, offset=self._cells_at
        )
        self.undo: npt.NDArray[np.uint8] = np.frombuffer(
            self._map, np.uint8, _ring.UNDO_BYTES, _UNDO_AT
        )

    def _check(self) -> None:
        magic, version, _, size = _IDENTITY.unpack_from(self._map, 0)
        if magic != MAGIC:
            raise StoreDamaged(f"{self.path}: not a store")
        if version != VERSION:
            raise StoreDamaged(f"{self.path}: store version {version}, this is {VERSION}")
        if size != self.size_bytes or not HEADER_BYTES <= self._get(_LOG_END_AT) <= size // 4:
            raise StoreDamaged(f"{self.path}: the store is damaged")

    def close(self) -> None:
        """Lets go of the file. It stays mapped as long as an array of its cells is in use."""
        del self.cells, self.undo
        os.close(self._fd)
        with contextlib.suppress(BufferError):
            self._map.close()

    @property
    def used_bytes(self) -> int:
        return self._get(_LOG_END_AT) + self._cells_used * CELL_BYTES

    def _get(self, at: int) -> int:
        (value,) = _NUMBER.unpack_from(self._map, at)
        return int(value)

    def _put(self, at: int, value: int) -> None:
        _NUMBER.pack_into(self._map, at, value)

    def _allocate(self, offset: int, size: int) -> None:
        try:
            os.posix_fallocate(self._fd, offset, size)
        except OSError as error:
            raise StoreFull(f"{self.path}: {error.strerror}") from None

    def _ensure_log(self, end: int) -> None:
        while self._log_ready < end:
            room = min(GROWTH_BYTES, self._log_limit - self._log_ready)
            self._allocate(self._log_ready, room)
            self._log_ready += room

    def next_lane_id(self) -> int:
        """A number that no lane of this store has had."""
        lane_id = self._get(_NEXT_LANE_AT)
        self._put(_NEXT_LANE_AT, lane_id + 1)
        return lane_id

    def note_lane_id(self, lane_id: int) -> None:
        """There is a lane with this number already."""
        self._put(_NEXT_LANE_AT, max(self._get(_NEXT_LANE_AT), lane_id + 1))

    def append(self, entry: Entry, cells: int = 0, spare: bool = False) -> int:
        """Adds a definition to the log and hands out cells with it: both, or neither.

        Returns the index of the first cell; new cells are zero. spare: the entry may use the room
        that is kept for overflow series. Raises StoreFull.
        """
        end = self._get(_LOG_END_AT)
        size = _PAYLOAD_AT + len(entry.payload)
        size += -size % 8
        kept = 0 if spare else GROWTH_BYTES
        if end + size + kept > self._log_limit:
            raise StoreFull(f"{self.path}: no room for more series; raise store.max_bytes")
        self._ensure_log(end + size + kept)  # kept also where the disk is full
        first = self.take_cells(cells)
        head = _ENTRY.pack(size, entry.kind, entry.type, entry.id, entry.of)
        payload = entry.payload.ljust(size - _PAYLOAD_AT, b"\0")
        self._map[end : end + size] = head + _CHECKSUM.pack(_crc(head, payload), 0) + payload
        self._put(_LOG_END_AT, end + size)  # last: it makes the entry exist
        return first

    def entries(self) -> Iterator[Entry]:
        """The log from its beginning."""
        at = HEADER_BYTES
        end = self._get(_LOG_END_AT)
        while at < end:
            size, kind, type, id, of = _ENTRY.unpack_from(self._map, at)
            if size < _PAYLOAD_AT or at + size > end:
                raise StoreDamaged(f"{self.path}: the store's log is damaged")
            head = self._map[at : at + _ENTRY.size]
            payload = self._map[at + _PAYLOAD_AT : at + size]
            if _CHECKSUM.unpack_from(self._map, at + _ENTRY.size) != (_crc(head, payload), 0):
                raise StoreDamaged(f"{self.path}: the store's log is damaged: checksum at {at}")
            yield Entry(kind, type, id, of, payload)
            at += size

    def take_cells(self, n: int) -> int:
        """The same without an entry: what reading the log again calls for. Raises StoreFull."""
        first = self._cells_used
        end = self._cells_at + (first + n) * CELL_BYTES
        if end > self.size_bytes:
            raise StoreFull(f"{self.path}: no room for more series; raise store.max_bytes")
        while self._cells_ready < end:
            room = min(GROWTH_BYTES, self.size_bytes - self._cells_ready)
            self._allocate(self._cells_ready, room)
            self._cells_ready += room
        self._cells_used = first + n
        return first
