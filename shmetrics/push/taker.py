# SPDX-License-Identifier: Apache-2.0
"""A thread that takes the lines that may be metric lines out of blocks of output."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator

from shmetrics.push.backlog import Backlog

# A metric line begins with a word that has a "=". The pattern begins with one certain byte, which
# is what the engine is fastest at looking for.
_CANDIDATE = re.compile(rb"\n[ \t]*([^\s=]+=[^\n]*)")


def candidates(block: bytes) -> Iterator[bytes]:
    """Yield the lines of a block that may be metric lines, without their ends."""
    for match in _CANDIDATE.finditer(b"\n" + block):
        yield match[1]


class Taker:
    """The thread, which ends after its backlog is closed and empty."""

    def __init__(self, backlog: Backlog, take: Callable[[bytes], None]) -> None:
        """Start; take: called in the thread with each line that may be a metric line."""
        self._backlog = backlog
        self._take = take
        self._thread = threading.Thread(target=self._run, name="shmetrics-lines", daemon=True)
        self._thread.start()

    def finish(self, seconds: float) -> bool:
        """Wait until all lines are taken; after so many seconds let the rest go.

        Returns:
            Whether the thread has ended; if not, it is in the middle of a line.
        """
        self._backlog.close()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._backlog.give_up()
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (block := self._backlog.get()) is not None:
            for line in candidates(block):
                self._take(line)
