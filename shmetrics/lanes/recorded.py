# SPDX-License-Identifier: Apache-2.0
"""The families that a process records in its lanes: known while it lives, and for a moment after.

A source beside the lanes asks this, so that an event that comes both ways is counted once. The
moment is for what a process had sent before its end, and is read after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from shmetrics.lanes.lane import Lane, LaneState

AFTER_END_SECONDS = 10.0
MOST_ENDED = 1000


class Ended(NamedTuple):
    """The families of a process that has ended, and when it ended."""

    families: frozenset[str]
    seconds: float


class Recorded:
    """The lanes by the pid of their process, as the collector sees it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin without any lane."""
        self._monotonic = monotonic
        self._lanes: dict[int, list[Lane]] = {}
        self._ended: dict[int, Ended] = {}  # in the order of their ends

    def add(self, lane: Lane) -> None:
        """Note a lane."""
        self._lanes.setdefault(lane.owner.pid, []).append(lane)
        self._ended.pop(lane.owner.pid, None)

    def remove(self, lane: Lane) -> None:
        """Note that a lane is about to be closed."""
        pid = lane.owner.pid
        left = [each for each in self._lanes.pop(pid, ()) if each is not lane]
        if left:
            self._lanes[pid] = left
            return
        now = self._monotonic()
        self._ended.pop(pid, None)
        self._ended[pid] = Ended(lane.bindings.lane_families.names(), now)
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def take(self, pid: int, family: str) -> bool:
        """Return whether a process records a family in a lane, and count the question if it does.

        Args:
            pid: the process; 0: one that the collector cannot see, of which nothing is known.
            family: the name of the family.
        """
        if not pid:
            return False
        for lane in self._lanes.get(pid, ()):
            if lane.state is LaneState.OPEN and family in lane.bindings.lane_families.names():
                lane.sent_twice += 1
                return True
        ended = self._ended.get(pid)
        if ended is None:
            return False
        if self._monotonic() - ended.seconds > AFTER_END_SECONDS:
            del self._ended[pid]
            return False
        return family in ended.families
