# SPDX-License-Identifier: Apache-2.0
"""The wall clock beside the clock that does not jump."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

#: What the two may drift apart between two readings without anybody having set one of them.
STEP_NS: Final = 100_000_000


class Now(NamedTuple):
    """The same moment by both."""

    monotonic_ns: int
    unix_ns: int


class WallClock:
    """Reads both, and notices when the wall clock was set."""

    def __init__(self) -> None:
        self.steps = 0
        self._ahead_ns: int | None = None

    def now(self) -> Now:
        before_ns = time.monotonic_ns()
        unix_ns = time.time_ns()
        monotonic_ns = time.monotonic_ns()
        ahead_ns = unix_ns - monotonic_ns
        if self._ahead_ns is not None:
            took_ns = monotonic_ns - before_ns  # they were read this far apart, at most
            self.steps += abs(ahead_ns - self._ahead_ns) > STEP_NS + took_ns
        self._ahead_ns = ahead_ns
        return Now(monotonic_ns, unix_ns)
