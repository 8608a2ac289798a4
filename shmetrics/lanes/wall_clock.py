# SPDX-License-Identifier: Apache-2.0
"""The wall clock beside the monotonic clock, which cannot be set.

A lane's stamps are of the monotonic clock, and the times of spans are of the wall clock.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

#: The most that the clocks may drift apart between two readings without counting as a step.
STEP_NS: Final = 100_000_000


class Now(NamedTuple):
    """One moment by both clocks."""

    monotonic_ns: int
    unix_ns: int


class WallClock:
    """Reads both clocks, and notices when the wall clock was set."""

    def __init__(self) -> None:
        """Begin without a reading."""
        self.steps = 0
        self._ahead_ns: int | None = None

    def now(self) -> Now:
        """Return the moment by both clocks.

        It counts a step if the wall clock was set since the last call.
        """
        before_ns = time.monotonic_ns()
        unix_ns = time.time_ns()
        monotonic_ns = time.monotonic_ns()
        ahead_ns = unix_ns - monotonic_ns
        if self._ahead_ns is not None:
            took_ns = monotonic_ns - before_ns  # the clocks were read at most this far apart
            self.steps += abs(ahead_ns - self._ahead_ns) > STEP_NS + took_ns
        self._ahead_ns = ahead_ns
        return Now(monotonic_ns, unix_ns)
