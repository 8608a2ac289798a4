# SPDX-License-Identifier: Apache-2.0
"""The thread that writes the trace store: whoever brings spans never waits for a disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from shmetrics.seldom import Seldom
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.store import TraceStore

log = logging.getLogger(__name__)

#: Of what waits to be written. Beyond it what comes is lost, and counted.
MOST_BYTES: Final = 64 * 1024 * 1024
EXPIRE_SECONDS: Final = 10.0


class Work(NamedTuple):
    """Something to be done with the store."""

    do: Callable[[TraceStore], None]
    n: int = 0  # events that it keeps
    n_bytes: int = 0  # that they take meanwhile


EXPIRE: Final = Work(TraceStore.expire)


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
        self._waiting: deque[Work] = deque()
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
        if not self._put(Work(lambda store: store.add(events()), n, n_bytes)):
            self.lost += n

    def lane_ended(self, lane: int) -> None:
        """The process of this lane is gone."""
        self._put(Work(lambda store: store.lane_ended(lane)))

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

    def _put(self, work: Work) -> bool:
        with self._changed:
            if self._waiting_bytes + work.n_bytes > self._most_bytes:
                return False
            self._waiting.append(work)
            self._waiting_bytes += work.n_bytes
            self._count_pending(work.n)
            self._changed.notify_all()
            return True

    def _count_pending(self, more: int) -> None:
        if more:
            self._pending += more
            self._note(self._pending)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            self._do(work)
            with self._changed:
                self._count_pending(-work.n)
        self.store.close()

    def _next(self) -> Work | None:
        """What is to be done now; None: nothing any more."""
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            while not self._waiting:
                if self._is_closing:
                    return None
                left = self._expire_at - time.monotonic()
                if left <= 0:
                    self._expire_at = time.monotonic() + EXPIRE_SECONDS
                    return EXPIRE
                self._changed.wait(left)
            work = self._waiting.popleft()
            self._waiting_bytes -= work.n_bytes
            self._is_busy = True
            return work

    def _do(self, work: Work) -> None:
        try:
            work.do(self.store)
        except Exception as error:
            # A full disk: what comes later may fit again. Or an info that cannot be kept; its batch
            # is of one lane, and those of others go on.
            self.failures += 1
            self.unwritten += work.n
            self._seldom.warning("trace store", f"{self.store.path}: not written: {error}")
