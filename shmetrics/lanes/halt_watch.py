# SPDX-License-Identifier: Apache-2.0
"""A look at the process of each lane now and then, which remembers those that do not run.

The kernel does not say when a process was stopped. Only when it was first seen so is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from shmetrics.lanes.halts import STATES, Halt, Halts
from shmetrics.lanes.lane import Lane

#: The time in which each process is looked at once.
ROUND_SECONDS: Final = 60.0
#: The least number of processes that are looked at in one tick, if there are so many: a look that
#: follows another one at once costs half as much.
TOGETHER: Final = 50


class Seen(NamedTuple):
    """A process that does not run.

    Attributes:
        halt: the reason.
        since: the monotonic time in seconds when it was first seen so.
    """

    halt: Halt
    since: float


class HaltWatch:
    """Knows which processes do not run."""

    def __init__(self, halts: Halts, monotonic: Callable[[], float]) -> None:
        """Begin to watch.

        Args:
            halts: looks at a process.
            monotonic: returns the monotonic clock in seconds.
        """
        self._halts = halts
        self._monotonic = monotonic
        self._seen: dict[Lane, Seen] = {}
        self._looked_at = monotonic()
        self._due = 0.0  # processes to look at, which may be a part of one
        self._next = 0

    def look(self, lanes: Iterable[Lane]) -> None:
        """Look at some of the processes, if they are due, and forget lanes that left."""
        all_lanes = list(lanes)
        for lane in self._seen.keys() - set(all_lanes):
            del self._seen[lane]
        now = self._monotonic()
        self._due += len(all_lanes) * (now - self._looked_at) / ROUND_SECONDS
        self._looked_at = now
        if self._due < min(len(all_lanes), TOGETHER):
            return
        for _ in range(min(len(all_lanes), int(self._due))):
            self._next = (self._next + 1) % len(all_lanes)
            self.of(all_lanes[self._next])
        self._due %= 1

    def of(self, lane: Lane) -> Seen | None:
        """Look at the process of a lane now; return None if it runs."""
        halt = self._halts.of(lane.owner.pid)
        if halt is None:
            self._seen.pop(lane, None)
            return None
        before = self._seen.get(lane)
        is_same = before is not None and before.halt.state == halt.state
        found = Seen(halt, before.since if before and is_same else self._monotonic())
        self._seen[lane] = found
        return found

    def stopped_parent(self, lane: Lane) -> int:
        """Return the parent of a lane's process, if a signal has stopped it; else 0."""
        return self._halts.stopped_parent(lane.owner.pid)

    def counts(self) -> Mapping[str, int]:
        """Return the number of processes that do not run, by state."""
        processes = {lane.owner.pid: seen.halt.state for lane, seen in self._seen.items()}
        counts = Counter(processes.values())
        return {state: counts[state] for state in STATES}
