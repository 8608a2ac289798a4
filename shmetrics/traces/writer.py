# SPDX-License-Identifier: Apache-2.0
"""The thread that writes the trace store: whoever brings spans never waits for a disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.keeper import Keeper

log = logging.getLogger(__name__)

#: Of what waits to be written. Beyond it what comes is lost, and counted.
MOST_BYTES: Final = 64 * 1024 * 1024
#: What each thing that waits takes beside what was brought: many lanes bring a few spans each.
WAITING_BYTES: Final = 512
LANE_BYTES: Final = 64
EXPIRE_SECONDS: Final = 10.0

#: Of what is taken at a time, and is in memory meanwhile beside what waits. A commit costs as much
#: as ten spans.
BATCH_BYTES: Final = 1024 * 1024

Work: TypeAlias = Callable[[Keeper], None]


class _WaitingEvents(NamedTuple):
    """What is to be written: made when it comes to it."""

    make: Callable[[], Iterable[SpanEvent]]
    n: int
    n_bytes: int  # that they take until then


class _EndedLanes(NamedTuple):
    """Those whose processes are gone, one after the other."""

    lanes: list[int]


class TraceWriter:
    """Writes what it is given, in that order."""

    def __init__(
        self,
        keeper: Keeper,
        most_bytes: int = MOST_BYTES,
        note: Callable[[int], None] = lambda n: None,
    ) -> None:
        """Takes the keeper over, and begins. note is told how many events are pending, given and
        not written, whenever that changes."""
        self.lost = 0  # what was given and could not wait: starts and stops, and ends of lanes
        self.failures = 0  # what was brought and is wrong in itself
        self.unwritten = 0  # events in that
        self.keeper = keeper  # its counts are for everybody, its methods for the thread
        self._most_bytes = most_bytes
        self._waiting: deque[_WaitingEvents | _EndedLanes] = deque()
        self._waiting_bytes = 0
        self._pending = 0
        self._note = note
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_busy = False
        self._is_doubted = False
        self._expire_at = 0.0
        self._rate_limited = RateLimitedLog(log)
        self._thread = threading.Thread(target=self._run, name="shmetrics-traces", daemon=True)
        self._thread.start()

    def add(self, events: Callable[[], Iterable[SpanEvent]], n: int, n_bytes: int) -> None:
        """Has n events written, which are made when it comes to it. Does not wait."""
        n_bytes += WAITING_BYTES
        with self._changed:
            if self._has_room(n_bytes, n):
                self._waiting.append(_WaitingEvents(events, n, n_bytes))
                self._count_pending(n)
                self._changed.notify_all()

    def lane_ended(self, lane: int) -> None:
        """The process of this lane is gone."""
        with self._changed:
            last = self._waiting[-1] if self._waiting else None
            lanes = last if isinstance(last, _EndedLanes) else _EndedLanes([])
            if self._has_room(LANE_BYTES if lanes is last else WAITING_BYTES, 1):
                if lanes is not last:
                    self._waiting.append(lanes)
                lanes.lanes.append(lane)
                self._changed.notify_all()

    def _has_room(self, n_bytes: int, n: int) -> bool:
        """Takes the room; or counts so many as lost, if there is not so much."""
        if self._waiting_bytes + n_bytes > self._most_bytes:
            self.lost += n
            return False
        self._waiting_bytes += n_bytes
        return True

    def look(self) -> None:
        """Somebody has met an error in the store: has it looked through, before all that waits."""
        with self._changed:
            self._is_doubted = True
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Waits until all that was given is written; False if that took longer than this."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._waiting or self._is_busy or self._is_doubted), timeout=seconds
            )

    def close(self) -> None:
        """Writes what waits, and lets go of the store."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    # ---- in the thread ----------------------------------------------------------------------

    def _count_pending(self, more: int) -> None:
        if more:
            self._pending += more
            self._note(self._pending)

    def _run(self) -> None:
        while (found := self._next()) is not None:
            work, n = found
            self._do(work, n)
            with self._changed:
                self._count_pending(-n)
        self.keeper.close()

    def _next(self) -> tuple[Work, int] | None:
        """What is to be done now, and how many events it keeps; None: nothing any more."""
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            while (left := self._expire_at - time.monotonic()) > 0 and not (
                self._waiting or self._is_doubted
            ):
                if self._is_closing:
                    return None
                self._changed.wait(left)
            if left <= 0:  # however much waits: or under load nothing would ever go
                return self._expire, 0
            self._is_busy = True
            if self._is_doubted:
                self._is_doubted = False
                return Keeper.look, 0
            first = self._waiting.popleft()
            return (
                self._batch(first) if isinstance(first, _WaitingEvents) else (self._lanes(first), 0)
            )

    def _expire(self, keeper: Keeper) -> None:
        try:
            keeper.expire()
        finally:
            self._expire_at = time.monotonic() + EXPIRE_SECONDS

    def _lanes(self, ended: _EndedLanes) -> Work:
        self._waiting_bytes -= WAITING_BYTES + LANE_BYTES * (len(ended.lanes) - 1)

        def end(keeper: Keeper) -> None:
            for lane in ended.lanes:
                keeper.lane_ended(lane)

        return end

    def _batch(self, first: _WaitingEvents) -> tuple[Work, int]:
        """The first, and with it what waits behind it, up to something else that is to be done."""
        batch, n_bytes = [first], first.n_bytes
        while self._waiting and isinstance(more := self._waiting[0], _WaitingEvents):
            n_bytes += more.n_bytes
            if n_bytes > BATCH_BYTES:
                break
            self._waiting.popleft()
            batch.append(more)
        self._waiting_bytes -= sum(events.n_bytes for events in batch)
        n = sum(events.n for events in batch)
        return lambda keeper: keeper.add(chain.from_iterable(each.make() for each in batch)), n

    def _do(self, work: Work, n: int) -> None:
        try:
            work(self.keeper)
        except Exception as error:  # the keeper has none: what was brought is wrong in itself
            self.failures += 1
            self.unwritten += n
            self._rate_limited.warning("trace store", f"{self.keeper.path}: not written: {error}")
