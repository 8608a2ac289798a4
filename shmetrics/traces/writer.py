# SPDX-License-Identifier: Apache-2.0
"""The thread that writes the trace store, so that those who bring spans never wait for a disk."""

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
from shmetrics.traces.recovering_store import RecoveringStore

log = logging.getLogger(__name__)

#: The most memory of what waits to be written. Beyond it, new events are lost, and counted.
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
#: The memory of an item that waits, beside its events: many lanes bring only a few spans each.
WAITING_BYTES: Final = 512
LANE_BYTES: Final = 64
EXPIRE_SECONDS: Final = 10.0

#: The size of a batch, which is in memory beside what waits. A commit costs as much as ten spans.
BATCH_BYTES: Final = 1024 * 1024

Work: TypeAlias = Callable[[RecoveringStore], None]


class _WaitingEvents(NamedTuple):
    """Events that wait to be written.

    Attributes:
        make: makes the events, when they are written.
        n: their number.
        n_bytes: the memory that they take until then.
    """

    make: Callable[[], Iterable[SpanEvent]]
    n: int
    n_bytes: int


class _EndedLanes(NamedTuple):
    """Lanes whose processes are gone, and that wait to be marked, one after the other."""

    lanes: list[int]


class TraceWriter:
    """A thread that writes events and ends of lanes, in the order in which it gets them."""

    def __init__(
        self,
        store: RecoveringStore,
        max_bytes: int = MAX_WAITING_BYTES,
        note: Callable[[int], None] = lambda n: None,
    ) -> None:
        """Begin the thread.

        Args:
            store: the store, which the thread takes over.
            max_bytes: the most bytes that may wait; more is lost, and counted.
            note: called with the number of events that are queued and not written, whenever it
                changes.
        """
        self.lost = 0  # starts, stops and ends of lanes for which there was no room to wait
        self.failures = 0  # batches that were wrong in themselves
        self.unwritten = 0  # events in these batches
        self.store = store  # any thread may read its counts, only this thread may call it
        self._max_bytes = max_bytes
        self._waiting: deque[_WaitingEvents | _EndedLanes] = deque()
        self._waiting_bytes = 0
        self._pending = 0
        self._note = note
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_busy = False
        self._must_check = False
        self._expire_at = 0.0
        self._rate_limited = RateLimitedLog(log)
        self._thread = threading.Thread(target=self._run, name="shmetrics-traces", daemon=True)
        self._thread.start()

    def add(self, events: Callable[[], Iterable[SpanEvent]], n: int, n_bytes: int) -> None:
        """Queue events to be written. Does not wait.

        Args:
            events: makes the events; called by the thread.
            n: their number.
            n_bytes: the memory that they take until they are made.
        """
        n_bytes += WAITING_BYTES
        with self._changed:
            if self._has_room(n_bytes, n):
                self._waiting.append(_WaitingEvents(events, n, n_bytes))
                self._count_pending(n)
                self._changed.notify_all()

    def lane_ended(self, lane: int) -> None:
        """Queue the end of a lane whose process is gone. Does not wait."""
        with self._changed:
            last = self._waiting[-1] if self._waiting else None
            lanes = last if isinstance(last, _EndedLanes) else _EndedLanes([])
            if self._has_room(LANE_BYTES if lanes is last else WAITING_BYTES, 1):
                if lanes is not last:
                    self._waiting.append(lanes)
                lanes.lanes.append(lane)
                self._changed.notify_all()

    def _has_room(self, n_bytes: int, n: int) -> bool:
        """Take room for something that waits; or count n events as lost, and return False."""
        if self._waiting_bytes + n_bytes > self._max_bytes:
            self.lost += n
            return False
        self._waiting_bytes += n_bytes
        return True

    def check(self) -> None:
        """Let the store be checked before anything else, because a reader has met an error."""
        with self._changed:
            self._must_check = True
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until everything that was queued is written; return False if that took longer."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._waiting or self._is_busy or self._must_check), timeout=seconds
            )

    def close(self) -> None:
        """Write what waits, close the store, and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    # ---- in the thread ----------------------------------------------------------------------

    def _count_pending(self, growth: int) -> None:
        """Change the number of pending events, and note it."""
        if growth:
            self._pending += growth
            self._note(self._pending)

    def _run(self) -> None:
        """Do everything that is queued, until close()."""
        while (task := self._next()) is not None:
            work, n = task
            self._do(work, n)
            with self._changed:
                self._count_pending(-n)
        self.store.close()

    def _next(self) -> tuple[Work, int] | None:
        """Return the next work and the number of events that it writes; None at the end."""
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            while (wait_seconds := self._expire_at - time.monotonic()) > 0 and not (
                self._waiting or self._must_check
            ):
                if self._is_closing:
                    return None
                self._changed.wait(wait_seconds)
            if wait_seconds <= 0:  # even if much waits: else nothing would expire under load
                return self._expire, 0
            self._is_busy = True
            if self._must_check:
                self._must_check = False
                return RecoveringStore.check, 0
            first = self._waiting.popleft()
            return (
                self._batch(first) if isinstance(first, _WaitingEvents) else (self._lanes(first), 0)
            )

    def _expire(self, store: RecoveringStore) -> None:
        """Remove what is too old or too much, and set the time of the next time."""
        try:
            store.expire()
        finally:
            self._expire_at = time.monotonic() + EXPIRE_SECONDS

    def _lanes(self, ended: _EndedLanes) -> Work:
        """Return the work of marking ended lanes."""
        self._waiting_bytes -= WAITING_BYTES + LANE_BYTES * (len(ended.lanes) - 1)

        def end(store: RecoveringStore) -> None:
            for lane in ended.lanes:
                store.lane_ended(lane)

        return end

    def _batch(self, first: _WaitingEvents) -> tuple[Work, int]:
        """Return the work of writing the first events and those behind, and their number.

        A batch has at most BATCH_BYTES, but always the first events.
        """
        batch, n_bytes = [first], first.n_bytes
        while self._waiting and isinstance(following := self._waiting[0], _WaitingEvents):
            n_bytes += following.n_bytes
            if n_bytes > BATCH_BYTES:
                break
            self._waiting.popleft()
            batch.append(following)
        self._waiting_bytes -= sum(events.n_bytes for events in batch)
        n = sum(events.n for events in batch)
        return lambda store: store.add(chain.from_iterable(each.make() for each in batch)), n

    def _do(self, work: Work, n: int) -> None:
        """Do some work; log and count if it fails."""
        try:
            work(self.store)
        except Exception as error:  # the store raises nothing: the events are wrong in themselves
            self.failures += 1
            self.unwritten += n
            self._rate_limited.warning("trace store", f"{self.store.path}: not written: {error}")
