# SPDX-License-Identifier: Apache-2.0
"""The entries of the store's log: their kinds, and the bytes of each.

family   a family: its exponential bounds and its definition; numbered in the order of their coming.
         Once more with the same number: another help text, unit or mode
chunk    more rows after a family's last one, and their first cell; written by an older version
series   a row of a family: the time since when it counts, and its label values
removed  the row has no series any more; with type 1 it is not counted as expired
expired  the number of series that had been removed before the log was written anew
placed   rows of a family: the first one, their number, and their first cell. Once more for the same
         rows: they are in other cells now
vacated  these rows are gone, and their cells are free
gone     the family is gone, with everything of it

Each entry names its owner: the user for whose process it was written (see shares.py).
"""

from __future__ import annotations

import mmap
import struct
import zlib
from enum import IntEnum
from typing import NamedTuple

from shmetrics.strings import Strings

HEADER = struct.Struct("=IHHII")  # size, kind, type, id, of: as in a lane's dictionary
_CHECKSUM = struct.Struct("=II")  # after the header: CRC-32 of owner, header, payload; the owner
PAYLOAD_AT = HEADER.size + _CHECKSUM.size
_FIRST_CELL = struct.Struct("=Q")
_PLACE = struct.Struct("=QQ")  # the first cell, the number of rows
_CREATED = struct.Struct("=d")
STRINGS = Strings("I")


class EntryKind(IntEnum):
    """The kind of an entry, as it is written in the log."""

    FAMILY = 1
    CHUNK = 2
    SERIES = 3
    REMOVED = 4
    EXPIRED = 5
    PLACED = 6
    VACATED = 7
    GONE = 8


_KINDS = frozenset(EntryKind)


class Entry(NamedTuple):
    """An entry of the log.

    Attributes:
        kind: an EntryKind.
        type: the type of a family; for a removed series, 1 if it is not counted as expired.
        id: the number of a family, or the row of a series.
        of: the family that the entry is about; for a family, the number of its bounds.
        payload: the rest, by kind.
        owner: the owner that it was written for, see shares.py.
    """

    kind: int
    type: int
    id: int
    of: int
    payload: bytes
    owner: int = 0

    # ---- bytes ------------------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        """Return the bytes that the entry takes in the log, a multiple of 8."""
        size = PAYLOAD_AT + len(self.payload)
        return size + -size % 8

    def encode(self) -> bytes:
        """Return the entry as the log has it."""
        size = self.size_bytes
        head = HEADER.pack(size, self.kind, self.type, self.id, self.of)
        payload = self.payload.ljust(size - PAYLOAD_AT, b"\0")
        checksum = _CHECKSUM.pack(_crc(self.owner, head, payload), self.owner)
        return head + checksum + payload

    @staticmethod
    def decode(memory: bytes | mmap.mmap, at: int, size_bytes: int) -> Entry:
        """Return the entry at an offset.

        Args:
            memory: the memory that has it.
            at: the offset.
            size_bytes: the size of the entry, `PAYLOAD_AT` or more.

        Raises:
            ValueError: the bytes are no entry, or damaged.
        """
        _, kind, type, id, of = HEADER.unpack_from(memory, at)
        checksum, owner = _CHECKSUM.unpack_from(memory, at + HEADER.size)
        payload = memory[at + PAYLOAD_AT : at + size_bytes]
        if checksum != _crc(owner, memory[at : at + HEADER.size], payload) or kind not in _KINDS:
            raise ValueError("checksum")
        return Entry(kind, type, id, of, payload, owner)

    # ---- kinds ------------------------------------------------------------------------------

    @staticmethod
    def placed(of: int, first_row: int, rows: int, first_cell: int, owner: int) -> Entry:
        """Return the entry for rows that a family gets.

        Args:
            of: the family's number.
            first_row: the first of the rows.
            rows: their number.
            first_cell: the index of their first cell in the store.
            owner: the owner for whom they are made, see shares.py.
        """
        return Entry(EntryKind.PLACED, 0, first_row, of, _PLACE.pack(first_cell, rows), owner)

    def place(self) -> tuple[int, int | None, int]:
        """Return where the rows of a chunk are: first cell, first row, number of rows.

        The first row is None in a chunk of an older version: it is the one after the family's last.

        Raises:
            struct.error: the payload is too short.
        """
        if self.kind == EntryKind.CHUNK:
            return _FIRST_CELL.unpack_from(self.payload)[0], None, self.id
        first_cell, rows = _PLACE.unpack_from(self.payload)
        return first_cell, self.id, rows

    @staticmethod
    def vacated(of: int, first_row: int) -> Entry:
        """Return the entry for rows that a family gives back.

        Args:
            of: the family's number.
            first_row: the first of the rows.
        """
        return Entry(EntryKind.VACATED, 0, first_row, of, b"")

    @staticmethod
    def series(of: int, row: int, values: tuple[str, ...], created: float, owner: int) -> Entry:
        """Return the entry for a series.

        Args:
            of: the family's number.
            row: the row of the series.
            values: its label values.
            created: the Unix time since when it counts, in seconds.
            owner: its owner, see shares.py.
        """
        payload = _CREATED.pack(created) + STRINGS.encode(values)
        return Entry(EntryKind.SERIES, 0, row, of, payload, owner)

    def created_and_values(self) -> tuple[float, tuple[str, ...]]:
        """Return the Unix time since when a series counts, in seconds, and its label values.

        Raises:
            struct.error: the payload is too short.
            ValueError: the label values are damaged.
        """
        (created,) = _CREATED.unpack_from(self.payload)
        return created, STRINGS.decode(self.payload[_CREATED.size :])

    @staticmethod
    def removed(of: int, row: int, is_expired: bool = False) -> Entry:
        """Return the entry for a series that is gone from its row.

        Args:
            of: the family's number.
            row: the row.
            is_expired: whether it counts as expired.
        """
        return Entry(EntryKind.REMOVED, not is_expired, row, of, b"")


def _crc(owner: int, head: bytes, payload: bytes) -> int:
    """Return the CRC-32 of an entry, seeded with its owner."""
    return zlib.crc32(payload, zlib.crc32(head, owner))
