# SPDX-License-Identifier: Apache-2.0
"""The store: one memory-mapped file that holds the node's totals.

         0  header   magic, version, end of the log, next lane id; the undo entry
      4096  log      two halves, an eighth of the file each: families and series, see log.py
     1/4 .. cells    8-byte totals, handed out in chunks that the log names

The file is sparse; what is in use is allocated first, so that a full disk is an error here and not
a signal later.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shmetrics import _drain
from shmetrics.collector.log import (
    GROWTH_BYTES,
    Entry,
    Log,
    StoreDamaged,
    StoreError,
    StoreFull,
)

MAGIC = b"shmstore"
VERSION = 3
HEADER_BYTES = 4096
CELL_BYTES = 8

_IDENTITY = struct.Struct("=8sIIQ")  # magic, version, zero, size of the whole file
_NUMBER = struct.Struct("Q")
_LOG_END_AT = 64
_NEXT_LANE_AT = 80
_UNDO_AT = 1024


class Store:
    """The file, mapped. cells: all of them, as uint64, whether in use or not."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Opens path, or makes it with room for max_bytes. Raises StoreError."""
        self.path = path
        self._cells_used = 0  # as the log says while it is read: see claim
        self.reserved_bytes = 0
        """Of the log: kept for the overflow series that are not there yet."""
        with contextlib.ExitStack() as opened:
            try:
                self._open(opened, max_bytes)
            except (OSError, ValueError) as error:
                raise StoreError(f"{path}: the store cannot be opened: {error}") from None
            except StoreFull as error:
                raise StoreError(f"the store cannot be opened: {error}") from None
            opened.pop_all()

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
        self._cells_ready = self._cells_at
        half_bytes = (self._cells_at - HEADER_BYTES) // 2
        self.log = Log(
            *(self.path, self._map, _LOG_END_AT, HEADER_BYTES),
            half_bytes - half_bytes % mmap.PAGESIZE,
            self._allocate,
        )
        if self.is_new:
            self.log.begin()
            self._put(_NEXT_LANE_AT, 1)
            _IDENTITY.pack_into(self._map, 0, MAGIC, VERSION, 0, size)
        self._check()
        self.log.open()
        self.cells: npt.NDArray[np.uint64] = np.frombuffer(
            self._map, np.uint64, offset=self._cells_at
        )
        self.undo: npt.NDArray[np.uint8] = np.frombuffer(
            self._map, np.uint8, _drain.UNDO_BYTES, _UNDO_AT
        )

    def _check(self) -> None:
        if self.size_bytes < HEADER_BYTES:
            raise StoreDamaged(f"{self.path}: the store is damaged: {self.size_bytes} bytes")
        magic, version, _, size = _IDENTITY.unpack_from(self._map, 0)
        if magic != MAGIC:
            raise StoreDamaged(f"{self.path}: not a store")
        if version != VERSION:
            raise StoreDamaged(f"{self.path}: store version {version}, this is {VERSION}")
        if size != self.size_bytes:
            raise StoreDamaged(f"{self.path}: the store is damaged: {self.size_bytes} bytes")

    def close(self) -> None:
        """Lets go of the file. It stays mapped as long as an array of its cells is in use."""
        del self.cells, self.undo
        os.close(self._fd)
        with contextlib.suppress(BufferError):
            self._map.close()

    @property
    def used_bytes(self) -> int:
        return HEADER_BYTES + self.log.used_bytes + self._cells_used * CELL_BYTES

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

    def next_lane_id(self) -> int:
        """A number that no lane of this store has had."""
        lane_id = self._get(_NEXT_LANE_AT)
        self._put(_NEXT_LANE_AT, lane_id + 1)
        return lane_id

    def note_lane_id(self, lane_id: int) -> None:
        """There is a lane with this number already."""
        self._put(_NEXT_LANE_AT, max(self._get(_NEXT_LANE_AT), lane_id + 1))

    # ---- room -------------------------------------------------------------------------------

    @property
    def next_cell(self) -> int:
        """The first cell that the next entries may hand out."""
        return self._cells_used

    def append(self, entries: Sequence[Entry], cells: int = 0, kept_bytes: int = 0) -> None:
        """Adds entries to the log, and hands out as many cells with them: all, or nothing.

        kept_bytes: how much of the log must be free after that. Raises StoreFull.
        """
        self.log.make_room(sum(entry.size_bytes for entry in entries) + max(kept_bytes, 0))
        self._make_cells(self._cells_used + cells)
        self.log.append(entries)
        self._cells_used += cells

    def claim(self, first: int, n: int) -> None:
        """The log says that these cells are in use. Raises ValueError if there are none such."""
        if first < self._cells_used or n > (self.size_bytes - self._cells_at) // CELL_BYTES:
            raise ValueError(f"cells {first} to {first + n}")
        try:
            self._make_cells(first + n)
        except StoreFull as error:
            raise ValueError(str(error)) from None
        self._cells_used = first + n

    def _make_cells(self, n: int) -> None:
        end = self._cells_at + n * CELL_BYTES
        if end > self.size_bytes:
            raise StoreFull(f"{self.path}: no room for more series; raise store.max_bytes")
        while self._cells_ready < end:
            room = min(GROWTH_BYTES, self.size_bytes - self._cells_ready)
            self._allocate(self._cells_ready, room)
            self._cells_ready += room
