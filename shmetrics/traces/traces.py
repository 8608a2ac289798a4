# SPDX-License-Identifier: Apache-2.0
"""The traces of a node, for whoever brings spans and whoever asks: store, writer and readers.

There is no file and no thread before there is a span, or a store of earlier ones, in which what is
too old has to go.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from shmetrics.seldom import Seldom
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.pending import Pending
from shmetrics.traces.reader import Query, Reader, Row, Span, Trace
from shmetrics.traces.schema import ForeignFile
from shmetrics.traces.store import Limits, TraceStore
from shmetrics.traces.writer import TraceWriter

log = logging.getLogger(__name__)

#: How long a question waits for what was brought before it.
SETTLE_SECONDS: Final = 1.0
#: Until the next try to open a store that could not be opened.
RETRY_SECONDS: Final = 10.0


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
        self._ended = ended
        self._limits = limits
        self._monotonic = monotonic
        self._pending_path = pending
        self._pending: Pending | None = None
        self._writer: TraceWriter | None = None
        self._retry_at = 0.0
        self._unopened = 0
        self._seldom = Seldom(log)
        if self._is_there():
            self._opened()

    def close(self) -> None:
        """Writes what waits. What became of it can still be asked."""
        if self._writer is not None:
            self._writer.close()
        if self._pending is not None:
            self._pending.close()

    # ---- what comes in ----------------------------------------------------------------------

    def add(self, events: Callable[[], Iterable[SpanEvent]], n: int, n_bytes: int) -> None:
        """Has n events kept. n_bytes: what they take until they are made."""
        writer = self._opened()
        if writer is not None:
            writer.add(events, n, n_bytes)
        else:
            self._unopened += n

    def lane_ended(self, lane: int) -> None:
        """The process of this lane is gone."""
        if self._writer is not None or self._is_there():
            writer = self._opened()
            if writer is not None:
                writer.lane_ended(lane)

    def _is_there(self) -> bool:
        try:
            return self.path.exists()
        except OSError:  # it cannot be told; the first span will say why
            return False

    def _opened(self) -> TraceWriter | None:
        if self._writer is None and self._monotonic() >= self._retry_at:
            import sqlite3

            try:
                self._writer = self._begin()
            except (OSError, sqlite3.Error) as error:
                self._retry_at = self._monotonic() + RETRY_SECONDS
                self._seldom.warning("open", f"{self.path}: no traces are kept: {error}")
        return self._writer

    def _begin(self) -> TraceWriter:
        if self._pending_path is None:
            return TraceWriter(self._open())
        if self._pending is None:
            self._pending = Pending(self._pending_path)
        return TraceWriter(self._open(), note=self._pending.note)

    def _open(self) -> TraceStore:
        try:
            return TraceStore(self.path, self._limits, ended=self._ended)
        except ForeignFile as error:
            aside = self.path.with_name(f"{self.path.name}.{time.strftime('%Y%m%dT%H%M%S')}")
            self.path.rename(aside)
            for ending in ("-wal", "-shm"):  # of that file
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
            log.error("%s; kept as %s, traces begin anew", error, aside)
            return TraceStore(self.path, self._limits, ended=self._ended)

    # ---- what became of it ------------------------------------------------------------------

    def lost(self) -> dict[str, int]:
        """Starts and stops that could not be kept, and spans that a trace may not have, by
        reason, since the beginning."""
        writer = self._writer
        return {
            "no_store": self._unopened,
            "killed": 0 if self._pending is None else self._pending.left_behind,
            "queue": 0 if writer is None else writer.lost,
            "not_written": 0 if writer is None else writer.unwritten,
            "spans_per_trace": 0 if writer is None else writer.store.lost,
        }

    def cut(self) -> dict[str, int]:
        """Starts and stops of which not all that was to be said was kept, by reason."""
        return {} if self._writer is None else dict(self._writer.store.cut)

    def expired(self) -> dict[str, int]:
        """Traces that were let go, by the limit that they were beyond."""
        return {} if self._writer is None else dict(self._writer.store.expired)

    def failures(self) -> int:
        """Batches that could not be written."""
        return 0 if self._writer is None else self._writer.failures

    def settle(self, seconds: float) -> bool:
        """Waits until all that was brought is written; False if that took longer than this, or
        there is nothing to write to."""
        return self._writer is not None and self._writer.settle(seconds)

    # ---- what is asked ----------------------------------------------------------------------

    def find(self, query: Query) -> list[Trace]:
        """The traces that are wanted. Raises sqlite3.Error."""
        with self._reader() as reader:
            return [] if reader is None else reader.find(query)

    def spans(self, trace: bytes) -> list[Span]:
        """The spans of a trace; none if there is no such trace. Raises sqlite3.Error."""
        with self._reader() as reader:
            return [] if reader is None else reader.spans(trace)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Reader | None]:
        if self._writer is not None:
            self._writer.settle(SETTLE_SECONDS)
        if not self.path.exists():
            yield None
            return
        reader = Reader(self.path)
        try:
            yield reader
        finally:
            reader.close()
