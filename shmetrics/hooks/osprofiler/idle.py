# SPDX-License-Identifier: Apache-2.0
"""The time for which a trace was idle in a thread before a span of it begins there.

Some services take up a trace for a piece of work, and never forget it. Their thread goes on with
other work later, and OSProfiler puts the spans of that into the old trace. Nothing tells such a
span from a late one of the same work. So it is kept, and marked: its start says under `KEY` for how
long its trace was idle, which means that it had no open span in this thread, if that is longer than
`LONGEST_SECONDS`. The time after a marked span is idle as well: what follows is of the same work.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

__all__ = ["KEY", "LONGEST_SECONDS", "IdleTime"]

#: The key of a span's info with the seconds.
KEY: Final = "idle_seconds"

#: The longest time that is not marked: work between two spans of one request.
LONGEST_SECONDS: Final = 5.0


class IdleTime(threading.local):
    """The last trace of each thread, as known from starts and stops of OSProfiler's own.

    The compiled profiler has the same in its traces.
    """

    def __init__(self) -> None:
        self._base_id = ""
        self._n_open = 0
        self._is_late = False
        self._ended_seconds = 0.0

    def start(self, base_id: str, info: dict[str, Any] | None) -> dict[str, Any] | None:
        """Note a start of a span, and return its info, with the mark if it has to have one."""
        if base_id != self._base_id:
            self._base_id = base_id
            self._n_open = 1
            self._is_late = False
            return info
        self._n_open += 1
        if self._n_open > 1:
            return info
        idle_seconds = time.monotonic() - self._ended_seconds
        if idle_seconds <= LONGEST_SECONDS:
            return info
        self._is_late = True
        return marked(info, idle_seconds)

    def stop(self, base_id: str) -> None:
        """Note a stop of a span."""
        if base_id == self._base_id and self._n_open > 0:
            self._n_open -= 1
            if self._n_open == 0 and not self._is_late:
                self._ended_seconds = time.monotonic()


def marked(info: dict[str, Any] | None, idle_seconds: float) -> dict[str, Any]:
    """Return the info of a span with the mark."""
    return {**(info or {}), KEY: round(idle_seconds, 1)}
