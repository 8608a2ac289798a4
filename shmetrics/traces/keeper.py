# SPDX-License-Identifier: Apache-2.0
"""Keeps a trace store there, whatever becomes of its file.

A file may be deleted, replaced, cut short or written over while somebody has it open. Then what can
still be looked at is set aside, and traces begin anew. What is damaged shows where it is read: so
whoever meets an error, here or at a reader's, has the file looked through.
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
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.reader import Row
from shmetrics.traces.room import JournalFull, NoRoom, batches
from shmetrics.traces.schema import ENDINGS, ForeignFile
from shmetrics.traces.store import Limits, LossCounts, TraceStore

log = logging.getLogger(__name__)

#: Until the next try to open a store that could not be opened.
RETRY_SECONDS: Final = 10.0
#: From one look through the whole file to the next.
LOOK_SECONDS: Final = 10.0
#: Starts and stops of one transaction, each of which is an object or ten in memory.
BATCH_EVENTS: Final = 4096

Opening = Callable[[Path, LossCounts], TraceStore]


class Unopened(Exception):
    """There is no store, and none can be made now."""


class Keeper:
    """A trace store that is opened when it is needed, and counts what it cannot take. For one
    thread; its counts are for everybody."""

    def __init__(
        self,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008
        ended: Callable[[Sequence[Row]], None] | None = None,
        opening: Opening | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """ended: see TraceStore, which opening makes."""

        def open(path: Path, counts: LossCounts) -> TraceStore:
            return TraceStore(path, limits, ended=ended, counts=counts)

        self.path = path
        self.counts = LossCounts()
        self.lost: Counter[str] = Counter()  # starts and stops that are not kept, by reason
        self.failures = 0  # batches that could not be written
        self.anew = 0  # how often a file was damaged, foreign or gone
        self._opening = open if opening is None else opening
        self._monotonic = monotonic
        self._store: TraceStore | None = None
        self._known: os.stat_result | None = None  # the file that was ours last
        self._retry_at = self._look_at = 0.0
        self._rate_limited = RateLimitedLog(log)

    @property
    def is_open(self) -> bool:
        """Whether there is a store, as far as is known."""
        return self._store is not None

    def close(self) -> None:
        """Lets go of the file, until it is needed again."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    # ---- what is done with the store --------------------------------------------------------

    def add(self, events: Iterable[SpanEvent]) -> None:
        """Has them kept, or counts them as lost."""
        for batch in batches(events, BATCH_EVENTS):
            self._add(batch)

    def _add(self, batch: list[SpanEvent]) -> None:
        """Has a batch kept: all of it or, where that has no room, one half after the other. Counts
        what is lost; raises nothing."""
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
            # A full disk: what comes later may fit again.
            self.lost["not_written"] += len(batch)
            self._fail(error)

    def lane_ended(self, lane: int) -> None:
        """The process of this lane is gone."""
        self._try(lambda store: store.lane_ended(lane))

    def expire(self) -> None:
        """Lets go what is too old or too much; sees whether the file is there."""
        self._try(lambda store: store.expire())

    def look(self) -> None:
        """Somebody has met an error: has the file looked through."""
        if self._may_look():
            self._try(lambda store: None)

    def _try(self, work: Callable[[TraceStore], None]) -> None:
        try:
            with contextlib.suppress(Unopened):
                self._do(work)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.failures += 1
        self._rate_limited.warning("write", f"{self.path}: not written: {error}")

    def _do(self, work: Callable[[TraceStore], None]) -> None:
        """Has it done, once more if the store turns out not to be whole. Raises Unopened, and what
        work raises."""
        import sqlite3

        try:
            work(self._opened())
        except (sqlite3.DatabaseError, OSError) as error:
            if "locked" in str(error) or not self._may_look():
                raise
            work(self._opened())

    # ---- the store itself -------------------------------------------------------------------

    def _may_look(self) -> bool:
        """Lets go of the store, so that it is looked through when it is opened; False if that has
        just been."""
        if self._monotonic() < self._look_at:
            return False
        self._look_at = self._monotonic() + LOOK_SECONDS
        self.close()
        return True

    def _opened(self) -> TraceStore:
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
        try:
            return self._opening(self.path, self.counts)
        except ForeignFile as error:
            aside = self._set_aside(error)
            self._begin_anew(f"{error}; kept as {aside}")
            return self._opening(self.path, self.counts)

    def _has_something(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def _begin_anew(self, why: str) -> None:
        self.anew += 1
        self._rate_limited.warning("anew", f"{why}, traces begin anew")

    def _set_aside(self, error: ForeignFile) -> Path:
        """Of ours one damaged file is kept, and no more; of others every one."""
        was_ours = self._known is not None and os.path.samestat(self.path.stat(), self._known)
        ending = "damaged" if error.is_damaged or was_ours else time.strftime("%Y%m%dT%H%M%S")
        aside = self.path.with_name(f"{self.path.name}.{ending}")
        for ending in ("", *ENDINGS):
            of_aside = aside.with_name(aside.name + ending)
            of_aside.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + ending).rename(of_aside)
        return aside
