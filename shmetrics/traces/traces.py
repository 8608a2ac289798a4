# SPDX-License-Identifier: Apache-2.0
"""The traces of a node, for whoever brings spans and whoever asks: store, writer and readers.

There is no file and no thread before there is a span, or a store of earlier ones, in which what is
too old has to go.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from shmetrics.rate_limited_log import RateLimitedLog
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.keeper import RETRY_SECONDS, Keeper
from shmetrics.traces.pending import Pending
from shmetrics.traces.reader import Query, Reader, Row, StoredSpan, Trace
from shmetrics.traces.store import Limits
from shmetrics.traces.writer import TraceWriter

log = logging.getLogger(__name__)

#: How long a question waits for what was brought before it.
SETTLE_SECONDS: Final = 1.0
#: Errors of SQLite's about whoever else is at work, or has worked for too long.
PATIENCE: Final = ("database is locked", "interrupted")

Answer = TypeVar("Answer")


class Traces:
    """add() and lane_ended() never wait; find() and spans() are for other threads."""

    def __init__(
        self,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008
        monotonic: Callable[[], float] = time.monotonic,
        ended: Callable[[Sequence[Row]], None] | None = None,
        pending: Path | None = None,
    ) -> None:
        """ended: is told of spans that have, by the thread that writes; see TraceStore. pending:
        where to note what a kill would lose; what an earlier one has lost is counted."""
        self.path = path
        self._keeper = Keeper(path, limits, ended)
        self._monotonic = monotonic
        self._pending_path = pending
        self._pending: Pending | None = None
        self._writer: TraceWriter | None = None
        self._retry_at = 0.0
        self._unopened = 0
        self._rate_limited = RateLimitedLog(log)
        if self._is_there():
            self._begun()

    def close(self) -> None:
        """Writes what waits. What became of it can still be asked."""
        if self._writer is not None:
            self._writer.close()
        if self._pending is not None:
            self._pending.close()

    # ---- what comes in ----------------------------------------------------------------------

    def add(self, events: Callable[[], Iterable[SpanEvent]], n: int, n_bytes: int) -> None:
        """Has n events kept. n_bytes: what they take until they are made."""
        writer = self._begun()
        if writer is not None:
            writer.add(events, n, n_bytes)
        else:
            self._unopened += n

    def lane_ended(self, lane: int) -> None:
        """The process of this lane is gone."""
        if self._writer is not None or self._is_there():
            writer = self._begun()
            if writer is not None:
                writer.lane_ended(lane)

    def _is_there(self) -> bool:
        try:
            return self.path.exists()
        except OSError:  # it cannot be told; the first span will say why
            return False

    def _begun(self) -> TraceWriter | None:
        if self._writer is None and self._monotonic() >= self._retry_at:
            try:
                self._writer = self._begin()
            except OSError as error:
                self._retry_at = self._monotonic() + RETRY_SECONDS
                self._rate_limited.warning("open", f"{self.path}: no traces are kept: {error}")
        return self._writer

    def _begin(self) -> TraceWriter:
        if self._pending_path is None:
            return TraceWriter(self._keeper)
        self._pending = Pending(self._pending_path)
        return TraceWriter(self._keeper, note=self._pending.note)

    # ---- what became of it ------------------------------------------------------------------

    def lost(self) -> dict[str, int]:
        """Starts and stops that could not be kept, and spans that a trace may not have, by
        reason, since the beginning."""
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
        """Starts and stops of which not all that was to be said was kept, by reason."""
        return dict(self._keeper.counts.cut)

    def expired(self) -> dict[str, int]:
        """Traces that were let go, by the limit that they were beyond."""
        return dict(self._keeper.counts.expired)

    def failures(self) -> int:
        """Batches that could not be written."""
        return self._keeper.failures + (0 if self._writer is None else self._writer.failures)

    def anew(self) -> int:
        """How often the file was damaged, another program's or gone, and traces began anew."""
        return self._keeper.anew

    def settle(self, seconds: float) -> bool:
        """Waits until all that was brought is written; False if that took longer than this, or
        there is nothing to write to."""
        if self._writer is None:
            return False
        return self._writer.settle(seconds) and self._keeper.is_open

    # ---- what is asked ----------------------------------------------------------------------

    def find(self, query: Query) -> list[Trace]:
        """The traces that are wanted. Raises sqlite3.Error."""
        return self._ask(lambda reader: reader.find(query))

    def spans(self, trace: bytes) -> list[StoredSpan]:
        """The spans of a trace; none if there is no such trace. Raises sqlite3.Error."""
        return self._ask(lambda reader: reader.spans(trace))

    def _ask(self, question: Callable[[Reader], list[Answer]]) -> list[Answer]:
        """Asks once more where the store turns out to be damaged, and had to begin anew."""
        import sqlite3

        if self._writer is None:
            return self._asked(question)
        self._writer.settle(SETTLE_SECONDS)
        try:
            return self._asked(question)
        except sqlite3.DatabaseError as error:
            if str(error) in PATIENCE:
                raise
            self._writer.look()
            self._writer.settle(SETTLE_SECONDS)
            return self._asked(question)

    def _asked(self, question: Callable[[Reader], list[Answer]]) -> list[Answer]:
        if not self.path.exists():
            return []
        reader = Reader(self.path)
        try:
            return question(reader)
        finally:
            reader.close()
