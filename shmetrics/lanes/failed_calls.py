# SPDX-License-Identifier: Apache-2.0
"""The latest calls that failed: with an exception, such as a timeout, or with their process.

They are detail, in memory, and gone with the collector; the counters have every one. A call whose
end found its ring full is counted only.

Calls that fail all the time must not displace a call that has failed once: while a database is
away, each statement fails, but an operator looks for the few RPCs that timed out. So the label set
with the most calls gives up its oldest one.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from shmetrics.lanes import _drain
from shmetrics.lanes.lane import Lane
from shmetrics.lanes.lane_files import Owner
from shmetrics.store.histograms import CallFamily

MOST = 200
DIED = "its process died"

#: A label set: the name of its family, and the values.
LabelSet = tuple[str, tuple[str, ...]]


class FailedCall(NamedTuple):
    """A call that failed.

    Attributes:
        family: the name of its family.
        labels: the label values, by name.
        reason: the class of its exception, or DIED.
        end: the Unix time of its end, in seconds.
        seconds: how long it took.
        trace: the id of the trace that it belongs to; None if there is none.
        lane_id: the lane that it was recorded in.
        owner: the process.
    """

    family: str
    labels: dict[str, str]
    reason: str
    end: float
    seconds: float
    trace: str | None
    lane_id: int
    owner: Owner


class FailedCalls:
    """The latest calls that failed, of all lanes.

    Attributes:
        buffer: where drains put them.
    """

    def __init__(
        self,
        lane: Callable[[int], Lane | None],
        unix_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Begin without any.

        Args:
            lane: finds a lane by its number.
            unix_ns: the wall clock.
            monotonic_ns: the monotonic clock.
        """
        self.buffer = _drain.FailureBuffer()
        self._lane = lane
        self._unix_ns = unix_ns
        self._monotonic_ns = monotonic_ns
        self._numbers = count()
        self._kept: dict[LabelSet, deque[tuple[int, FailedCall]]] = defaultdict(deque)
        self._n_kept = 0

    def __iter__(self) -> Iterator[FailedCall]:
        """Iterate over them, the latest first."""
        kept = [each for calls in self._kept.values() for each in calls]
        return (call for _, call in sorted(kept, reverse=True))

    def take(self) -> None:
        """Take what drains have met, as long as the lanes know what their ids stand for."""
        for lane_id, series, exception, stamp_ns, duration_ns, trace in self.buffer.take():
            lane = self._lane(lane_id)
            known = None if lane is None else lane.bindings.calls.get(series)
            if lane is None or known is None:  # of a family that was refused
                continue
            age_ns = max(self._monotonic_ns() - stamp_ns, 0)  # not in the future
            reason = lane.bindings.exception_name(exception)
            found = str(uuid.UUID(bytes=trace)) if any(trace) else None
            self._keep(lane, *known, reason, age_ns, duration_ns, found)

    def abandon(self, lane: Lane) -> None:
        """Take the open calls of a process that has died."""
        now_ns = self._monotonic_ns()
        for call in lane.calls():
            duration_ns = max(now_ns - call.start_ns, 0)
            self._keep(lane, call.family, call.values, DIED, 0, duration_ns, call.trace)

    def _keep(
        self,
        lane: Lane,
        family: CallFamily,
        values: tuple[str, ...],
        reason: str,
        age_ns: int,
        duration_ns: int,
        trace: str | None,
    ) -> None:
        names = family.definition.label_names
        call = FailedCall(
            family.definition.name,
            dict(zip(names, values, strict=True)),
            reason,
            max(self._unix_ns() - age_ns, 0) / 1e9,
            duration_ns / 1e9,
            trace,
            lane.lane_id,
            lane.owner,
        )
        self._kept[family.definition.name, values].append((next(self._numbers), call))
        self._n_kept += 1
        if self._n_kept > MOST:
            self._make_room()

    def _make_room(self) -> None:
        """Forget the oldest call of the label set that has the most."""
        most = max(self._kept, key=self._rank)
        self._kept[most].popleft()
        self._n_kept -= 1
        if not self._kept[most]:
            del self._kept[most]

    def _rank(self, label_set: LabelSet) -> tuple[int, int]:
        """Return what decides which label set makes room: its number of calls, then its age."""
        calls = self._kept[label_set]
        return len(calls), -calls[0][0]
