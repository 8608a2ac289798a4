# SPDX-License-Identifier: Apache-2.0
"""Blocks of lines that wait to be searched. If there are too many, the oldest are dropped."""

from __future__ import annotations

import threading
from collections import deque

MOST_BYTES = 16 * 1024 * 1024


class Backlog:
    """A queue of blocks between threads, whose `put` never waits.

    Attributes:
        lost_bytes: the bytes of the blocks that had to go.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Begin without blocks; most_bytes: how many bytes of them are kept."""
        self.lost_bytes = 0
        self._most_bytes = most_bytes
        self._blocks: deque[bytes] = deque()
        self._n_bytes = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, block: bytes) -> None:
        """Add a block; let the oldest go where there is no room. After `close()` it goes itself."""
        with self._changed:
            if self._is_closed:
                self.lost_bytes += len(block)
                return
            self._blocks.append(block)
            self._n_bytes += len(block)
            while self._n_bytes > self._most_bytes:
                gone = len(self._blocks.popleft())
                self._n_bytes -= gone
                self.lost_bytes += gone
            self._changed.notify()

    def get(self) -> bytes | None:
        """Wait for the oldest block; None: the backlog is closed, and empty."""
        with self._changed:
            while not self._blocks:
                if self._is_closed:
                    return None
                self._changed.wait()
            block = self._blocks.popleft()
            self._n_bytes -= len(block)
            return block

    def close(self) -> None:
        """Take no more blocks; those that wait can still be got."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def give_up(self) -> None:
        """Let all blocks go that wait."""
        with self._changed:
            self.lost_bytes += self._n_bytes
            self._blocks.clear()
            self._n_bytes = 0
