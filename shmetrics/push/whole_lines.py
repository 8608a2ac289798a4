# SPDX-License-Identifier: Apache-2.0
"""The whole lines in a stream that comes in pieces, of which most have nothing to look for."""

from __future__ import annotations

from collections.abc import Callable


class WholeLines:
    """A stream as blocks of whole lines. Blocks without the mark are left out."""

    def __init__(self, take: Callable[[bytes], None], mark: bytes, most_bytes: int) -> None:
        """Begin at the begin of a line.

        Args:
            take: called with a block: lines with their ends, some of which have the mark in them.
            mark: what is looked for.
            most_bytes: the length of a line. A longer one may come as its begin, which is one byte
                longer than this.
        """
        self._take = take
        self._mark = mark
        self._most_bytes = most_bytes
        self._begun = bytearray()  # the line whose end has not come yet
        self._is_cut = False  # it is too long, and its begin was taken

    def look(self, buffer: bytearray, n_bytes: int) -> None:
        """Look at the next piece: the first bytes of a buffer, which is not kept."""
        at = 0
        if self._begun or self._is_cut:
            at = buffer.find(b"\n", 0, n_bytes) + 1
            self._go_on(buffer, at or n_bytes)
            if not at:
                return
            self._give(self._begun)
            self._begun, self._is_cut = bytearray(), False
        end = buffer.rfind(b"\n", at, n_bytes) + 1 or at
        if buffer.find(self._mark, at, end) >= 0:
            self._take(bytes(memoryview(buffer)[at:end]))
        if end < n_bytes:
            self._go_on(memoryview(buffer)[end:n_bytes], n_bytes - end)

    def end(self) -> None:
        """Take the last line, if the stream ends without an end of it."""
        if self._begun:
            self._give(self._begun + b"\n")

    def _go_on(self, piece: bytearray | memoryview, n_bytes: int) -> None:
        """Add the first bytes of a piece to the line that has begun."""
        if self._is_cut:
            return
        room = self._most_bytes + 1 - len(self._begun)
        self._begun += memoryview(piece)[: min(n_bytes, room + 1)]
        if len(self._begun) > self._most_bytes + 1:
            self._give(self._begun[: self._most_bytes + 1] + b"\n")
            self._begun, self._is_cut = bytearray(), True

    def _give(self, line: bytearray) -> None:
        if self._mark in line:
            self._take(bytes(line))
