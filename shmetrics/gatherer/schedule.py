# SPDX-License-Identifier: Apache-2.0
"""The time when the next pass is due: at fixed times, however long a pass takes."""

from __future__ import annotations

import math


class Schedule:
    """Times that are a whole number of intervals from the first one.

    A pass that is late does not move those after it. What was missed while the machine slept or the
    process was stopped is skipped and counted, and not made up for.

    Attributes:
        skipped: passes that were due and never made.
    """

    def __init__(self, interval_seconds: float, now: float) -> None:
        """Set the times. The first one is now.

        Args:
            interval_seconds: the time from one pass to the next.
            now: a clock's seconds that only rise, as those of later calls.
        """
        self._interval_seconds = interval_seconds
        self._due = now
        self.skipped = 0

    def wait_seconds(self, now: float) -> float:
        """Return how long it is until the next pass, 0 if it is due."""
        return max(self._due - now, 0.0)

    def take(self, now: float) -> int:
        """Begin the pass that is due.

        Returns:
            How many were due before it and were not made.
        """
        late = max(now - self._due, 0.0)
        missed = math.floor(late / self._interval_seconds)
        self._due += (missed + 1) * self._interval_seconds
        self.skipped += missed
        return missed
