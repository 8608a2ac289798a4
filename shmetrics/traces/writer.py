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

from shmetrics.seldom import Seldom
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.store import TraceStore

log = logging.getLogger(__name__)

#: Of what waits to be written. Beyond it what comes is lost, and counted.
MOST_BYTES: Final = 64 * 1024 * 1024
EXPIRE_SECONDS: Final = 10.0


#: Of what is written in one transaction, and is in memory meanwhile beside what waits. Many lanes
#: bring a few spans each, and a commit costs as much as ten.
BATCH_BYTES: Final = 1024 * 1024

Work: TypeAlias = Callable[[TraceStore], None]


class Events(NamedTuple):
    """What is to be written: made when it comes to it."""

    make: Callable[[], Iterable[SpanEvent]]
    n: int
    n_bytes: int  # that they take until then


class TraceWriter:
    """Writes what it is given, in that order."""

    def __init__(
        self,
        store: TraceStore,
        most_bytes: int = MOST_BYTES,
        note: Callable[[int], None] = lambda n: None,
    ) -> None:
        """Takes the store over, and begins. note is told how many events are pending, given and not
        written, whenever that changes."""
        self.lost = 0  # events that were given and could not wait
        self.failures = 0  # batches that could not be written
        self.unwritten = 0  # events in them
        self.store = store  # its counts are for everybody, its methods for the thread
        self._most_bytes = most_bytes
        self._waiting: deque[Events | Work] = deque()
        self._waiting_bytes = 0
        self._pending = 0
        self._note = note
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_busy = False
        self._expire_at = 0.0
        self._seldom = Seldom(log)
        self._thread = threading.Thread(target=self._run, name="shmetrics-traces", daemon=True)
        self._thread.start()

    def add(self, events: Callable[[], Iterable[SpanEvent]], n: int, n_bytes: int) -> None:
        """Has n events written, which are made when it comes to it. Does not wait."""
        with self._changed:
            if self._waiting_bytes + n_bytes > self._most_bytes:
                self.lost += n
                return
            self._waiting.append(Events(events, n, n_bytes))
            self._waiting_bytes += n_bytes
            self._count_pending(n)
            self._changed.notify_all()

    def lane_ended(self, lane: int) -> None:
        """The process of this lane is gone."""
        with self._changed:
            self._waiting.append(lambda store: store.lane_ended(lane))
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Waits until all that was given is written; False if that took longer than this."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._is_busy, timeout=seconds
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
        self.store.close()

    def _next(self) -> tuple[Work, int] | None:
        """What is to be done now, and how many events it keeps; None: nothing any more."""
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            while (left := self._expire_at - time.monotonic()) > 0 and not self._waiting:
                if self._is_closing:
                    return None
                self._changed.wait(left)
            if left <= 0:  # however much waits: or under load nothing would ever go
                return self._expire, 0
            self._is_busy = True
            first = self._waiting.popleft()
            return self._batch(first) if isinstance(first, Events) else (first, 0)

    def _expire(self, store: TraceStore) -> None:
        try:
            store.expire()
        finally:
            self._expire_at = time.monotonic() + EXPIRE_SECONDS

    def _batch(self, first: Events) -> tuple[Work, int]:
        """The first, and with it what waits behind it, up to something else that is to be done."""
        batch, n_bytes = [first], first.n_bytes
        while self._waiting and isinstance(more := self._waiting[0], Events):
            n_bytes += more.n_bytes
            if n_bytes > BATCH_BYTES:
                break
            self._waiting.popleft()
            batch.append(more)
        self._waiting_bytes -= sum(events.n_bytes for events in batch)
        n = sum(events.n for events in batch)
        return lambda store: store.add(chain.from_iterable(each.make() for each in batch)), n

    def _do(self, work: Work, n: int) -> None:
        try:
            work(self.store)
        except Exception as error:
            # A full disk: what comes later may fit again.
            self.failures += 1
            self.unwritten += n
            self._seldom.warning("trace store", f"{self.store.path}: not written: {error}")
