# SPDX-License-Identifier: Apache-2.0
"""The trace store: the spans of the node in one SQLite file, and which traces they make.

One thread writes. Readers have connections of their own (`Reader`); neither waits for the other.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shmetrics.traces import schema
from shmetrics.traces.assembly import SERVICE, START_NS, STOP_NS, SpanRow, assemble
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.reader import SPANS, Row

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger(__name__)

# What a span takes beside its info, about: so that many small ones are not for nothing.
SPAN_BYTES = 256

_FIND = f"{SPANS} WHERE n = ? AND spans.id = ?"

_PUT = """
INSERT INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (trace, id) DO UPDATE SET
    start_ns = coalesce(start_ns, excluded.start_ns),
    stop_ns = coalesce(stop_ns, excluded.stop_ns),
    start_info = coalesce(start_info, excluded.start_info),
    stop_info = coalesce(stop_info, excluded.stop_info),
    exception = coalesce(exception, excluded.exception),
    is_cut = max(is_cut, excluded.is_cut)
"""

# Made anew from its spans whenever one has changed: right whatever came twice, or in what order.
_SUM_UP = f"""
UPDATE traces SET (start_ns, stop_ns, spans, open, errors, info_bytes) = (
    SELECT
        min(coalesce(start_ns, stop_ns)),
        max(coalesce(stop_ns, start_ns)),
        count(*),
        sum(stop_ns IS NULL AND NOT has_died),
        count(exception),
        sum({SPAN_BYTES} + coalesce(length(start_info), 0) + coalesce(length(stop_info), 0))
    FROM spans WHERE trace = n
) WHERE n = ?
"""


class Limits(NamedTuple):
    """How much is kept. Of traces the oldest go first, and whole."""

    traces: int = 100_000
    bytes: int = 1 << 30  # of what was said, and SPAN_BYTES for each span
    age_seconds: float = 7 * 24 * 3600.0
    spans_per_trace: int = 10_000


class TraceStore:
    """The writer's end. Not for several threads at once."""

    def __init__(
        self,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008
        unix_ns: Callable[[], int] = time.time_ns,
        ended: Callable[[Sequence[Row]], None] | None = None,
    ) -> None:
        """ended: is given the rows of spans that will not change any more, once they are written:
        they have stopped, or their process is gone. Raises ForeignFile, sqlite3.Error or
        OSError."""
        self.path = path
        self.lost = 0  # spans beyond what a trace may have
        # Starts and stops of which not all that was to be said was kept, by reason.
        self.cut: Counter[str] = Counter()
        self.expired: Counter[str] = Counter()  # traces that were let go, by limit
        self._limits = limits
        self._unix_ns = unix_ns
        self._ended = ended
        self._db = schema.connect_to_write(path)

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()

    # ---- what comes in ----------------------------------------------------------------------

    def add(self, events: Iterable[SpanEvent]) -> None:
        """Takes them all, or none. It may have had some of them before."""
        traces, n_cut = assemble(events)
        if not traces:
            return
        lost: Counter[int] = Counter()
        with _Transaction(self._db):
            numbers = {}
            for trace, spans in traces.items():
                n, n_had = self._known(trace)
                numbers[trace] = n
                lost[n] = self._let_go(spans, n, n_had)
            rows = [
                (numbers[trace], *row) for trace, spans in traces.items() for row in spans.values()
            ]
            self._db.executemany(_PUT, rows)
            self._sum_up(numbers.values())
            of_service = {(row[1 + SERVICE], row[0]) for row in rows}
            self._db.executemany("INSERT OR IGNORE INTO services VALUES (?, ?)", of_service)
            more_lost = [(more, n) for n, more in lost.items() if more]
            self._db.executemany("UPDATE traces SET lost = lost + ? WHERE n = ?", more_lost)
            stopped = [] if self._ended is None else self._stopped(traces, numbers)
        self.lost += lost.total()
        self.cut += n_cut
        if self._ended is not None:
            self._ended(stopped)

    def _stopped(
        self, traces: Mapping[bytes, Mapping[bytes, SpanRow]], numbers: Mapping[bytes, int]
    ) -> list[Row]:
        """Of these spans those that have stopped. What a batch says all of needs not be read
        again."""
        return [
            (trace, *row) if row[START_NS] is not None else self._find(numbers[trace], id)
            for trace, spans in traces.items()
            for id, row in spans.items()
            if row[STOP_NS] is not None
        ]

    def _find(self, n: int, id: bytes) -> Row:
        """A span that is there: for the rest of a transaction nobody else can let it go."""
        found: Row = self._db.execute(_FIND, (n, id)).fetchone()
        return found

    def _known(self, trace: bytes) -> tuple[int, int]:
        """The number of a trace, which it has from now on, and how many spans there are of it."""
        found = self._db.execute("SELECT n, spans FROM traces WHERE id = ?", (trace,)).fetchone()
        if found is None:
            found = self._db.execute("INSERT INTO traces (id) VALUES (?)", (trace,)).lastrowid, 0
        n, n_spans = found
        return n, n_spans

    def _let_go(self, spans: dict[bytes, SpanRow], n: int, n_had: int) -> int:
        """Takes out those that their trace may not have any more, and says how many."""
        most = self._limits.spans_per_trace
        if n_had + len(spans) <= most:
            return 0
        query = self._db.execute("SELECT id FROM spans WHERE trace = ?", (n,))
        new = spans.keys() - {id for (id,) in query}
        beyond = [id for id in spans if id in new][max(most - n_had, 0) :]
        for id in beyond:
            del spans[id]
        return len(beyond)

    def lane_ended(self, lane: int) -> None:
        """The process of this lane is gone: what of its spans is open will not stop."""
        with _Transaction(self._db):
            of_lane = "lane = ? AND stop_ns IS NULL AND NOT has_died"
            query = self._db.execute(f"SELECT trace, id FROM spans WHERE {of_lane}", (lane,))
            died: list[tuple[int, bytes]] = query.fetchall()
            self._db.execute(f"UPDATE spans SET has_died = 1 WHERE {of_lane}", (lane,))
            self._sum_up({n for n, _ in died})
            rows = [] if self._ended is None else [self._find(*key) for key in died]
        if self._ended is not None:
            self._ended(rows)

    def _sum_up(self, traces: Iterable[int]) -> None:
        self._db.executemany(_SUM_UP, [(n,) for n in traces])

    # ---- what goes --------------------------------------------------------------------------

    def expire(self) -> None:
        """Lets the oldest traces go, as far as there is more than the limits allow."""
        gone: Counter[str] = Counter()
        # All at once: the number of a trace that another process has let go may be a new one's.
        with _Transaction(self._db):
            gone["age"] = self._drop(self._too_old())
            gone["traces"] = self._drop(self._too_many())
            gone["bytes"] = self._drop(self._too_large())
        self.expired += gone

    def _too_old(self) -> list[int]:
        oldest_ns = self._unix_ns() - int(self._limits.age_seconds * 1e9)
        return self._numbers("SELECT n FROM traces WHERE stop_ns < ?", oldest_ns)

    def _too_many(self) -> list[int]:
        (n_traces,) = self._db.execute("SELECT count(*) FROM traces").fetchone()
        excess = max(n_traces - self._limits.traces, 0)
        return self._numbers("SELECT n FROM traces ORDER BY start_ns LIMIT ?", excess)

    def _too_large(self) -> list[int]:
        """So many of the oldest that the bytes beyond the limit are gone with them."""
        (n_bytes,) = self._db.execute("SELECT coalesce(sum(info_bytes), 0) FROM traces").fetchone()
        found: list[int] = []
        for n, info_bytes in self._db.execute("SELECT n, info_bytes FROM traces ORDER BY start_ns"):
            if n_bytes <= self._limits.bytes:
                break
            found.append(n)
            n_bytes -= info_bytes
        return found

    def _numbers(self, query: str, value: int) -> list[int]:
        return [n for (n,) in self._db.execute(query, (value,))]

    def _drop(self, traces: list[int]) -> int:
        """Lets these go, and says how many they are."""
        for table, column in (("spans", "trace"), ("services", "trace"), ("traces", "n")):
            self._db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(n,) for n in traces])
        return len(traces)


class _Transaction:
    """All of a block, or nothing of it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # some errors have ended it already
                self._db.execute("ROLLBACK")
