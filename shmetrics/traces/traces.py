# SPDX-License-Identifier: Apache-2.0
"""The traces of a node, for those that bring spans and those that ask: store, writer and readers.

There is no file and no thread before the first span. An exception is the store of an earlier
collector, from which old traces have to be removed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.pending_count import PendingCount
from shmetrics.traces.reader import Query, Reader, Row, StoredSpan, Trace
from shmetrics.traces.recovering_store import RETRY_SECONDS, RecoveringStore
from shmetrics.traces.store import Limits
from shmetrics.traces.writer import TraceWriter

log = logging.getLogger(__name__)

#: The longest time that a question waits for events that were queued before it.
SETTLE_SECONDS: Final = 1.0
#: SQLite's errors about a lock or a question that took too long: they say nothing about damage.
PATIENCE: Final = ("database is locked", "interrupted")

Answer = TypeVar("Answer")


class Traces:
    """The traces of a node.

    add() and lane_ended() never wait; find() and spans() do, and are for other threads.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008
        monotonic: Callable[[], float] = time.monotonic,
        ended: Callable[[Sequence[Row]], None] | None = None,
        pending: Path | None = None,
    ) -> None:
        """Begin, with a writer only if there is a store already.

        Args:
            path: the trace store's file.
            limits: how much it keeps.
            monotonic: returns the monotonic clock in seconds.
            ended: called with the rows of spans that have ended, by the thread that writes; see
                TraceStore.
            pending: the file that notes what a kill would lose; what an earlier kill has lost is
                counted.
        """
        self.path = path
        self._keeper = RecoveringStore(path, limits, ended)
        self._monotonic = monotonic
        self._pending_path = pending
        self._pending: PendingCount | None = None
        self._writer: TraceWriter | None = None
        self._retry_at = 0.0
        self._unopened = 0
        self._rate_limited = RateLimitedLog(log)
        if self._is_there():
            self._begun()

    def close(self) -> None:
        """Write what waits. The counts can still be read."""
        if self._writer is not None:
            self._writer.close()
        if self._pending is not None:
            self._pending.close()

    # ---- writing ----------------------------------------------------------------------------

    def add(self, events: Callable[[], Iterable[SpanEvent]], n: int, n_bytes: int) -> None:
        """Queue events to be written.

        Args:
            events: makes the events; called by the thread that writes.
            n: their number.
            n_bytes: the memory that they take until they are made.
        """
        writer = self._begun()
        if writer is not None:
            writer.add(events, n, n_bytes)
        else:
            self._unopened += n

    def lane_ended(self, lane: int) -> None:
        """Queue the end of a lane whose process is gone."""
        if self._writer is not None or self._is_there():
            writer = self._begun()
            if writer is not None:
                writer.lane_ended(lane)

    def _is_there(self) -> bool:
        """Return whether there is a store; False if that cannot be told."""
        try:
            return self.path.exists()
        except OSError:  # unknown; the first span will show why
            return False

    def _begun(self) -> TraceWriter | None:
        """Return the writer, begun if need be; None while it cannot begin."""
        if self._writer is None and self._monotonic() >= self._retry_at:
            try:
                self._writer = self._begin()
            except OSError as error:
                self._retry_at = self._monotonic() + RETRY_SECONDS
                self._rate_limited.warning("open", f"{self.path}: no traces are kept: {error}")
        return self._writer

    def _begin(self) -> TraceWriter:
        """Begin a writer. Raises OSError if the file of pending events cannot be made."""
        if self._pending_path is None:
            return TraceWriter(self._keeper)
        self._pending = PendingCount(self._pending_path)
        return TraceWriter(self._keeper, note=self._pending.note)

    # ---- counts -----------------------------------------------------------------------------

    def lost(self) -> dict[str, int]:
        """Return the number of starts and stops that were not kept, and of spans beyond a limit.

        They are counted by reason, since the collector's start.
        """
        writer, lost = self._writer, self._keeper.lost
        return {
            "no_store": self._unopened + lost["no_store"],
            "no_room": lost["no_room"],
            "killed": 0 if self._pending is None else self._pending.left_behind,
            "queue": 0 if writer is None else writer.lost,
            "not_written": lost["not_written"] + (0 if writer is None else writer.unwritten),
            "spans_per_trace": self._keeper.counts.lost,
        }

    def cut(self) -> dict[str, int]:
        """Return the number of starts and stops whose info is not complete, by reason."""
        return dict(self._keeper.counts.cut)

    def expired(self) -> dict[str, int]:
        """Return the number of traces that were removed, by the limit that they exceeded."""
        return dict(self._keeper.counts.expired)

    def failures(self) -> int:
        """Return the number of batches that could not be written."""
        return self._keeper.failures + (0 if self._writer is None else self._writer.failures)

    def anew(self) -> int:
        """Return how often traces began anew: the file was damaged, another program's or gone."""
        return self._keeper.anew

    def settle(self, seconds: float) -> bool:
        """Wait until everything that was queued is written.

        Args:
            seconds: the longest wait.

        Returns:
            False if that was not enough, or there is no store to write to.
        """
        if self._writer is None:
            return False
        return self._writer.settle(seconds) and self._keeper.is_open

    # ---- questions --------------------------------------------------------------------------

    def find(self, query: Query) -> list[Trace]:
        """Return the traces that a query asks for. Raises sqlite3.Error."""
        return self._ask(lambda reader: reader.find(query))

    def spans(self, trace: bytes) -> list[StoredSpan]:
        """Return the spans of a trace; none if there is no such trace. Raises sqlite3.Error."""
        return self._ask(lambda reader: reader.spans(trace))

    def _ask(self, question: Callable[[Reader], list[Answer]]) -> list[Answer]:
        """Answer a question after what was queued before it is written.

        If the store turns out to be damaged, let the writer check it, and ask once more. Raises
        sqlite3.Error.
        """
        import sqlite3

        if self._writer is None:
            return self._asked(question)
        self._writer.settle(SETTLE_SECONDS)
        try:
            return self._asked(question)
        except sqlite3.DatabaseError as error:
            if str(error) in PATIENCE:
                raise
            self._writer.check()
            self._writer.settle(SETTLE_SECONDS)
            return self._asked(question)

    def _asked(self, question: Callable[[Reader], list[Answer]]) -> list[Answer]:
        """Answer a question with a new reader; without a store the answer is empty.

        Raises sqlite3.Error.
        """
        if not self.path.exists():
            return []
        reader = Reader(self.path)
        try:
            return question(reader)
        finally:
            reader.close()
