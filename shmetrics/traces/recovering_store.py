# SPDX-License-Identifier: Apache-2.0
"""A trace store that recovers: it is opened again, or made anew, whatever becomes of its file.

A file may be deleted, replaced, cut short or overwritten while it is open. Then the file is set
aside, if it is still there, and traces begin anew. Damage shows where it is read. So an error,
here or in a reader, is followed by a check of the whole file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.set_aside import set_aside
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.file_budget import JournalFull, NoRoom, batches
from shmetrics.traces.reader import Row
from shmetrics.traces.schema import ENDINGS, ForeignFile
from shmetrics.traces.store import Limits, LossCounts, TraceStore

log = logging.getLogger(__name__)

#: The pause before the next try to open a store that could not be opened.
RETRY_SECONDS: Final = 10.0
#: The shortest time between two checks of the whole file.
CHECK_SECONDS: Final = 10.0
#: Starts and stops in one transaction; each takes one to ten objects in memory.
BATCH_EVENTS: Final = 4096

Opening = Callable[[Path, LossCounts], TraceStore]


class Unopened(Exception):
    """An error: there is no trace store, and none can be made now."""


class RecoveringStore:
    """A trace store that is opened when it is needed, and counts what it cannot take.

    All methods are for one thread; the counts may be read by any.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008
        ended: Callable[[Sequence[Row]], None] | None = None,
        opening: Opening | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without opening the store.

        Args:
            path: the trace store's file.
            limits: how much it keeps.
            ended: called with the rows of spans that will not change any more, see TraceStore.
            opening: opens the store; None opens a TraceStore.
            monotonic: returns the monotonic clock in seconds.
        """

        def open(path: Path, counts: LossCounts) -> TraceStore:
            return TraceStore(path, limits, ended=ended, counts=counts)

        self.path = path
        self.counts = LossCounts()
        self.lost: Counter[str] = Counter()  # starts and stops that were not kept, by reason
        self.failures = 0  # batches that could not be written
        self.anew = 0  # how often a file was damaged, foreign or gone
        self._opening = open if opening is None else opening
        self._monotonic = monotonic
        self._store: TraceStore | None = None
        self._known: os.stat_result | None = None  # the last file that was a store of ours
        self._retry_at = self._check_at = 0.0
        self._rate_limited = RateLimitedLog(log)

    @property
    def is_open(self) -> bool:
        """Return whether there is a store, as far as is known."""
        return self._store is not None

    def close(self) -> None:
        """Close the file, until it is needed again."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    # ---- using the store --------------------------------------------------------------------

    def add(self, events: Iterable[SpanEvent]) -> None:
        """Write events to the store, or count them as lost."""
        for batch in batches(events, BATCH_EVENTS):
            self._add(batch)

    def _add(self, batch: list[SpanEvent]) -> None:
        """Write a batch; if there is no room for all of it, write its halves one after the other.

        It counts what is lost, and raises nothing.
        """
        try:
            self._do(lambda store: store.add(batch))
        except Unopened:
            self.lost["no_store"] += len(batch)
        except (NoRoom, JournalFull) as error:
            half = len(batch) // 2
            if half:
                self._add(batch[:half])
                self._add(batch[half:])
            else:
                self.lost["no_room"] += 1
                self._rate_limited.warning("room", f"{self.path}: no room for a span: {error}")
        except Exception as error:
            # As a full disk: later events may fit again.
            self.lost["not_written"] += len(batch)
            self._fail(error)

    def lane_ended(self, lane: int) -> None:
        """Mark the open spans of a lane whose process is gone."""
        self._try(lambda store: store.lane_ended(lane))

    def expire(self) -> None:
        """Remove what is too old or too much, and notice if the file is gone."""
        self._try(lambda store: store.expire())

    def check(self) -> None:
        """Check the whole file, because a reader has met an error."""
        if self._close_to_check():
            self._try(lambda store: None)

    def _try(self, work: Callable[[TraceStore], None]) -> None:
        """Do some work with the store, and count a failure."""
        try:
            with contextlib.suppress(Unopened):
                self._do(work)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Count and log a failure."""
        self.failures += 1
        self._rate_limited.warning("write", f"{self.path}: not written: {error}")

    def _do(self, work: Callable[[TraceStore], None]) -> None:
        """Do some work with the store; do it again if the file turns out to be damaged.

        Raises:
            Unopened: there is no store.
            Exception: whatever the work raises.
        """
        import sqlite3

        try:
            work(self._opened())
        except (sqlite3.DatabaseError, OSError) as error:
            if "locked" in str(error) or not self._close_to_check():
                raise
            work(self._opened())

    # ---- opening the store ------------------------------------------------------------------

    def _close_to_check(self) -> bool:
        """Close the store, so that it is checked when it is opened.

        Returns:
            False if the last check was less than `CHECK_SECONDS` ago; then nothing is done.
        """
        if self._monotonic() < self._check_at:
            return False
        self._check_at = self._monotonic() + CHECK_SECONDS
        self.close()
        return True

    def _opened(self) -> TraceStore:
        """Return the store, opened if need be. Raises Unopened."""
        import sqlite3

        if self._store is not None and not self._store.is_there():
            self.close()
        if self._store is None:
            if self._monotonic() < self._retry_at:
                raise Unopened
            try:
                is_gone = self._known is not None and not self._has_something()
                self._store = self._open()
                self._known = self.path.stat()
                if is_gone:
                    self._begin_anew(f"{self.path}: deleted, or emptied")
            except (OSError, sqlite3.Error, ForeignFile, NoRoom) as error:
                self._retry_at = self._monotonic() + RETRY_SECONDS
                self._rate_limited.warning("open", f"{self.path}: no traces are kept: {error}")
                raise Unopened from None
        return self._store

    def _open(self) -> TraceStore:
        """Open the store; set another file in its place aside, and begin anew."""
        try:
            return self._opening(self.path, self.counts)
        except ForeignFile as error:
            aside = self._set_aside(error)
            self._begin_anew(f"{error}; kept as {aside}")
            return self._opening(self.path, self.counts)

    def _has_something(self) -> bool:
        """Return whether there is a file that is not empty. Raises OSError."""
        return self.path.exists() and self.path.stat().st_size > 0

    def _begin_anew(self, why: str) -> None:
        """Count and log that traces begin anew."""
        self.anew += 1
        self._rate_limited.warning("anew", f"{why}, traces begin anew")

    def _set_aside(self, error: ForeignFile) -> Path:
        """Rename a file that is no store of ours, and the files beside it; return its new path.

        Only one damaged file of ours is kept, but every file of another program.
        """
        was_ours = self._known is not None and os.path.samestat(self.path.stat(), self._known)
        ending = "damaged" if error.is_damaged or was_ours else ""
        return set_aside(self.path, ending, ENDINGS)
