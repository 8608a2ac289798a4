# SPDX-License-Identifier: Apache-2.0
"""The store: one memory-mapped file that holds the node's totals.

         0  header   magic, version, end of the log, next lane id, boot; the undo entry
      4096  log      two halves, an eighth of the file each: families and series, see log.py
     1/4 .. cells    8-byte totals, handed out in chunks that the log names

The file is sparse. What is in use is allocated first, so that a full disk is an error here and not
a signal later. The file is made under another name, store.new, and so is one of another size. So a
file that is called store is whole.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from shmetrics.store import boot
from shmetrics.store._cells import UNDO_BYTES
from shmetrics.store.extents import Extents
from shmetrics.store.log import (
    GROWTH_BYTES,
    REMOVAL_BYTES,
    Log,
    StoreDamaged,
    StoreError,
    StoreFull,
)
from shmetrics.store.log_entry import Entry
from shmetrics.store.scrapes import Scrapes
from shmetrics.store.shares import Shares, uid_of

log = logging.getLogger(__name__)

MAGIC = b"shmstore"
VERSION = 3
HEADER_BYTES = 4096
CELL_BYTES = 8

_IDENTITY = struct.Struct("=8sIIQ")  # magic, version, zero, size of the whole file
_NUMBER = struct.Struct("Q")
_LOG_END_AT = 64
_NEXT_LANE_AT = 80
_BOOT_AT = 88
_CLOCK_AT = 96
_UNDO_AT = 1024

Result = TypeVar("Result")


class CellRun(NamedTuple):
    """Consecutive cells: the index of the first, and their number."""

    first: int
    n: int


class _Shape(NamedTuple):
    """The layout of a store file of some size.

    Attributes:
        size_bytes: the size of the file.
        half_bytes: the size of each half of the log.
        cells_at: the offset of the cells.
    """

    size_bytes: int
    half_bytes: int
    cells_at: int

    @classmethod
    def of(cls, size_bytes: int) -> _Shape:
        """Return the layout of a file of this size."""
        cells_at = _pages(size_bytes // 4)
        return cls(size_bytes, _pages((cells_at - HEADER_BYTES) // 2), cells_at)

    @property
    def n_cells(self) -> int:
        """Return the number of cells."""
        return (self.size_bytes - self.cells_at) // CELL_BYTES


def _pages(size_bytes: int) -> int:
    """Return the size, rounded down to whole pages."""
    return size_bytes - size_bytes % mmap.PAGESIZE


class Store:
    """The store's file, mapped. `cells` has all cells as uint64, whether in use or not."""

    def __init__(self, path: Path, max_bytes: int, max_bytes_per_uid: int = 0) -> None:
        """Open the store, or make it.

        Args:
            path: the store's path.
            max_bytes: the size of a new store; resize() gives it to one that has another size.
            max_bytes_per_uid: what one user's processes may fill; 0 for all of it.

        Raises:
            StoreDamaged: the file is no store of this version, or damaged.
            StoreError: the file cannot be opened or made.
        """
        self.path = path
        self.reserved_bytes = 0
        """Bytes of the log that are kept free for overflow series that are not there yet."""
        self.shares = Shares()
        self.free_room: Callable[[int | None], bool] = lambda owner: False
        """Removes something unused of this owner, or of anybody for None; returns if it did."""
        self.free_room_in: Callable[[int, int], bool] = lambda family_id, owner: False
        """Removes unused series of this owner in a family; returns if it did."""
        self.scrapes = Scrapes()
        self._extents = Extents()
        self._max_bytes_per_uid = max_bytes_per_uid
        self._new_path = path.with_name(f"{path.name}.new")
        with contextlib.suppress(OSError):  # it would only be in the way of another new file
            self._new_path.unlink()
        with contextlib.ExitStack() as opened:
            try:
                self._open(opened, _pages(max_bytes))
            except (OSError, ValueError) as error:
                raise StoreError(f"{path}: the store cannot be opened: {error}") from None
            except StoreFull as error:
                raise StoreError(f"the store cannot be opened: {error}") from None
            opened.pop_all()

    def _open(self, opened: contextlib.ExitStack, size_bytes: int) -> None:
        """Make the store if it is missing or empty, and map it."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            is_made = os.stat(self.path, follow_symlinks=False).st_size > 0
        except FileNotFoundError:
            is_made = False
        if not is_made:
            os.close(self._make(size_bytes))
        self._fd = os.open(self.path, flags)
        opened.callback(lambda: os.close(self._fd))
        self._adopt()

    def _make(
        self, size_bytes: int, fill: Callable[[int, mmap.mmap], None] = lambda fd, memory: None
    ) -> int:
        """Make an empty store of this size.

        Args:
            size_bytes: its size, whole pages.
            fill: called with the descriptor and the mapping, before the file is called store.

        Returns:
            A descriptor of the new store.

        Raises:
            OSError: the file cannot be made.
            StoreFull: the disk is full.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._new_path, flags, 0o600)
        try:
            os.ftruncate(fd, size_bytes)
            self._allocate(fd, 0, HEADER_BYTES)
            with mmap.mmap(fd, size_bytes) as memory:
                _IDENTITY.pack_into(memory, 0, MAGIC, VERSION, 0, size_bytes)
                _NUMBER.pack_into(memory, _NEXT_LANE_AT, 1)
                _NUMBER.pack_into(memory, _LOG_END_AT, HEADER_BYTES)
                fill(fd, memory)
            os.rename(self._new_path, self.path)
        except BaseException:
            os.close(fd)
            self._new_path.unlink(missing_ok=True)
            raise
        return fd

    def _adopt(self) -> None:
        """Map the file of the descriptor. Raises OSError, ValueError, StoreError or StoreFull."""
        fd = self._fd
        size_bytes = os.fstat(fd).st_size
        self._map = mmap.mmap(fd, size_bytes)
        self.size_bytes = size_bytes
        self._check()
        self._shape = shape = _Shape.of(size_bytes)
        self._cells_ready = shape.cells_at
        self.log = Log(
            *(self.path, self._map, _LOG_END_AT, HEADER_BYTES, shape.half_bytes),
            lambda offset, size: self._allocate(fd, offset, size),
        )
        self.log.open()
        share = self.max_bytes_per_uid / size_bytes
        self.shares.divide(shape.half_bytes, shape.n_cells, share)
        self.cells: npt.NDArray[np.uint64] = np.frombuffer(
            self._map, np.uint64, offset=shape.cells_at
        )
        self.undo: npt.NDArray[np.uint8] = np.frombuffer(self._map, np.uint8, UNDO_BYTES, _UNDO_AT)
        self.clock = boot.clock()
        self.boot = self._number_boot()

    def _check(self) -> None:
        """Check the file's identity and size. Raises StoreDamaged."""
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
        """Close the file. It stays mapped as long as an array of its cells is in use."""
        del self.cells, self.undo
        os.close(self._fd)
        with contextlib.suppress(BufferError):
            self._map.close()

    def resize(self, max_bytes: int) -> bool:
        """Go on in a file of another size if everything fits there; else log why not, and stay.

        Call this after all of the log was read.

        Args:
            max_bytes: the size that the configuration says.

        Returns:
            Whether the store has moved: then views of `cells` must be made again.
        """
        size_bytes, before_bytes = _pages(max_bytes), self.size_bytes
        if size_bytes == before_bytes:
            return False
        try:
            fd = self._make(size_bytes, self._copy_to)
        except (OSError, StoreFull) as error:
            log.warning(
                "%s stays at %d bytes, and store.max_bytes = %d has no effect: %s",
                *(self.path, before_bytes, max_bytes, str(error)),  # text: a log may keep it
            )
            return False
        self.close()
        self._fd = fd
        self._adopt()
        self._make_cells(self._extents.end)
        for _ in self.log:
            pass  # reading counts the entries
        log.info("%s has %d bytes from now on; it had %d", self.path, size_bytes, before_bytes)
        return True

    def _copy_to(self, fd: int, memory: mmap.mmap) -> None:
        """Copy everything that counts into a new store.

        Cells keep their numbers, so that the undo entry is right there, too. Raises StoreFull.
        """
        shape = _Shape.of(len(memory))
        text, _ = self.log.live_entries()
        end = self._extents.end
        needed_bytes = len(text) + self.reserved_bytes + REMOVAL_BYTES
        if needed_bytes >= shape.half_bytes or end > shape.n_cells:
            raise StoreFull("what it holds needs more")
        self._allocate(fd, HEADER_BYTES, min(len(text) + GROWTH_BYTES, shape.half_bytes))
        cells_bytes = end * CELL_BYTES
        room_bytes = min(cells_bytes + GROWTH_BYTES, shape.n_cells * CELL_BYTES)
        self._allocate(fd, shape.cells_at, room_bytes)
        memory[HEADER_BYTES : HEADER_BYTES + len(text)] = text
        memory[_UNDO_AT : _UNDO_AT + UNDO_BYTES] = self.undo.tobytes()
        cells = self.cells[:end].data.cast("B") if end else b""
        memory[shape.cells_at : shape.cells_at + cells_bytes] = cells
        _NUMBER.pack_into(memory, _LOG_END_AT, HEADER_BYTES + len(text))
        _NUMBER.pack_into(memory, _NEXT_LANE_AT, self._get(_NEXT_LANE_AT))
        boots = slice(_BOOT_AT, _CLOCK_AT + boot.CLOCK_BYTES)
        memory[boots] = self._map[boots]

    @property
    def used_bytes(self) -> int:
        """Return the bytes in use: the header, the log, and cells that are handed out."""
        return HEADER_BYTES + self.log.used_bytes + self._extents.used * CELL_BYTES

    @property
    def max_bytes_per_uid(self) -> int:
        """Return the bytes that one user's processes may fill."""
        return self._max_bytes_per_uid or self.size_bytes

    def most_bytes_of_a_uid(self) -> float:
        """Return the bytes of the user that has the most, by the fuller of log and cells."""
        return self.shares.largest() * self.size_bytes

    def _get(self, at: int) -> int:
        """Return the number at an offset of the header."""
        (value,) = _NUMBER.unpack_from(self._map, at)
        return int(value)

    def _put(self, at: int, value: int) -> None:
        """Write a number at an offset of the header."""
        _NUMBER.pack_into(self._map, at, value)

    def _allocate(self, fd: int, offset: int, size: int) -> None:
        """Allocate a part of the file on the disk. Raises StoreFull."""
        try:
            os.posix_fallocate(fd, offset, size)
        except OSError as error:
            raise StoreFull(f"{self.path}: {error.strerror}") from None

    def _number_boot(self) -> int:
        """Return the number of this boot: one more than the store's last one, if that was
        another.
        """
        end = _CLOCK_AT + boot.CLOCK_BYTES
        if self._map[_CLOCK_AT:end] != self.clock:
            self._put(_BOOT_AT, min(max(self._get(_BOOT_AT) + 1, boot.FIRST), boot.LAST))
            self._map[_CLOCK_AT:end] = self.clock  # last: a kill before may skip a number, no more
        return self._get(_BOOT_AT)

    def boot_of(self, clock: bytes) -> int:
        """Return the number of the boot with this clock.

        All boots but this one count as the one before it.
        """
        return self.boot - (clock != self.clock)

    def next_lane_id(self) -> int:
        """Return a number that no lane of this store has had."""
        lane_id = self._get(_NEXT_LANE_AT)
        self._put(_NEXT_LANE_AT, lane_id + 1)
        return lane_id

    def note_lane_id(self, lane_id: int) -> None:
        """Note that there is a lane with this number already."""
        self._put(_NEXT_LANE_AT, max(self._get(_NEXT_LANE_AT), lane_id + 1))

    # ---- room -------------------------------------------------------------------------------

    def attempt(self, work: Callable[[], Result]) -> Result:
        """Do work that needs room, again and again while something unused can be removed for it.

        Raises:
            StoreFull: nothing more can be removed for it.
        """
        while True:
            try:
                return work()
            except StoreFull as full:
                if not self.free_room(full.owner):
                    raise

    @property
    def n_cells(self) -> int:
        """Return the number of all cells."""
        return self._shape.n_cells

    @property
    def used_cells(self) -> int:
        """Return the number of cells that are handed out."""
        return self._extents.used

    def is_short(self, part: int) -> bool:
        """Return whether one part of so many is not free, of the log or of the cells."""
        return (self.n_cells - self.used_cells) * part < self.n_cells or self.log.is_short(part)

    def lowest(self, n: int) -> CellRun:
        """Return the lowest n free cells in a row; they may lie beyond the last cell."""
        return CellRun(self._extents.find(n), n)

    def find(self, n: int) -> CellRun:
        """Return n free cells in a row, for the next entries. Raises StoreFull."""
        run = self.lowest(n)
        if run.first + n > self.n_cells:
            raise StoreFull(f"{self.path}: no room for more series; raise store.max_bytes")
        return run

    def append(
        self,
        entries: Sequence[Entry],
        run: CellRun | None = None,
        free_bytes: int = 0,
        content: npt.NDArray[np.uint64] | None = None,
    ) -> None:
        """Add entries to the log, and take the cells that they name: all of it or nothing.

        Args:
            entries: the entries.
            run: the cells.
            free_bytes: the bytes of the log that must be free after that.
            content: what the cells have before the log names them, (cells,); None for zeros.

        Raises:
            StoreFull: the log or the disk has no room.
        """
        self.log.make_room(_size_of(entries) + max(free_bytes, 0) + REMOVAL_BYTES)
        if run is not None:
            self._make_cells(run.first + run.n)
            # Another series may have had them.
            self.cells[run.first : run.first + run.n] = 0 if content is None else content
        self.log.append(entries)
        if run is not None:
            self._extents.take(*run)

    def remove(self, entries: Sequence[Entry]) -> None:
        """Add entries about things that are gone, few enough for REMOVAL_BYTES.

        Raises:
            StoreFull: the disk is full.
        """
        self.log.make_room(_size_of(entries) + self.reserved_bytes)
        self.log.append(entries)

    def claim(self, run: CellRun) -> None:
        """Take cells that the log says are in use. Raises ValueError if they cannot be."""
        try:
            self._extents.take(*run)
            self._make_cells(run.first + run.n)
        except StoreFull as error:
            raise ValueError(str(error)) from None

    def give_back(self, run: CellRun) -> None:
        """Give cells back that the log says are free; no lane may count there any more."""
        self._extents.give_back(*run)

    def _make_cells(self, n: int) -> None:
        """Allocate the first n cells. Raises StoreFull."""
        end = self._shape.cells_at + n * CELL_BYTES
        if end > self.size_bytes:
            raise StoreFull(f"{self.path}: no room for more series; raise store.max_bytes")
        while self._cells_ready < end:
            room = min(GROWTH_BYTES, self.size_bytes - self._cells_ready)
            self._allocate(self._fd, self._cells_ready, room)
            self._cells_ready += room

    def check_share(self, owner: int, log_bytes: int, cells: int) -> None:
        """Check that an owner's share has room for so much more.

        Raises:
            StoreFull: it has not; the exception names the owner.
        """
        if not self.shares.allow(owner, log_bytes, cells):
            raise StoreFull(
                f"{self.path}: no room for more series of uid {uid_of(owner)}; "
                "see store.max_bytes_per_uid",
                owner,
            )


def _size_of(entries: Sequence[Entry]) -> int:
    """Return the bytes that entries take in the log."""
    return sum(entry.size_bytes for entry in entries)
