# SPDX-License-Identifier: Apache-2.0
"""Strings as bytes: their count, then for each its length and as many bytes of UTF-8.

At most seven zero bytes follow the last string: what has strings is padded to a multiple of 8.
"""

from __future__ import annotations

import struct
from typing import Literal

_PADDING = 7


class Strings:
    """Writes and reads strings, whose count and lengths are numbers of one size."""

    def __init__(self, number: Literal["H", "I"]) -> None:
        """Take the format of a number, as the module struct has it."""
        self._number = struct.Struct(f"={number}")
        self._most = (1 << 8 * self._number.size) - 1

    def encode(self, strings: tuple[str, ...]) -> bytes:
        """Return strings as bytes. Characters that UTF-8 cannot encode are replaced.

        Where a number cannot hold the count or a length, the result is longer than the largest
        number: whoever bounds the result by less need not look at the strings.
        """
        parts = [self._number.pack(min(len(strings), self._most))]
        for string in strings:
            raw = string.encode("utf-8", "replace")
            parts.append(self._number.pack(min(len(raw), self._most)))
            parts.append(raw)
        return b"".join(parts)

    def decode(self, payload: bytes) -> tuple[str, ...]:
        """Return the strings that bytes hold. Raises ValueError if they are malformed."""
        strings = []
        unpack, size = self._number.unpack_from, self._number.size
        at = size
        try:
            (count,) = unpack(payload)
            for _ in range(count):
                (length,) = unpack(payload, at)
                at += size + length
                strings.append(payload[at - length : at].decode("utf-8") if length else "")
        except struct.error:
            raise ValueError("a number is cut short") from None
        if at > len(payload):
            raise ValueError("a string is longer than its entry")
        if len(payload) - at > _PADDING or any(payload[at:]):
            raise ValueError("something follows the last string")
        return tuple(strings)
