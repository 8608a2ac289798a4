# SPDX-License-Identifier: Apache-2.0
"""A thread that takes the lines that may be metric lines out of blocks of output."""

from __future__ import annotations

import threading
from collections.abc import Callable

from shmetrics.push.backlog import Backlog
from shmetrics.push.candidates import candidates


class Taker:
    """The thread, which ends after its backlog is closed and empty."""

    def __init__(
        self, backlog: Backlog, take: Callable[[bytes], None], is_typed: bool = False
    ) -> None:
        """Start.

        Args:
            backlog: where blocks come from.
            take: called in the thread with each line that may be a metric line.
            is_typed: whether only lines with `type=metric` may be.
        """
        self._backlog = backlog
        self._is_typed = is_typed
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
            for line in candidates(block, self._is_typed):
                self._take(line)
