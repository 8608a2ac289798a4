# SPDX-License-Identifier: Apache-2.0
"""The trace store: the spans of the node in one SQLite file, and which traces they make.

One thread writes. Readers have connections of their own (`Reader`); neither waits for the other.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from shmetrics.traces import schema
from shmetrics.traces.assembly import START_NS, STOP_NS, SpanKey, rows_of
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.reader import Row

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger(__name__)

# What a span takes beside its info, about: so that many small ones are not for nothing.
SPAN_BYTES = 256

_FIND = "SELECT * FROM spans WHERE trace = ? AND id = ?"

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
INSERT INTO traces
SELECT trace,
    min(coalesce(start_ns, stop_ns)),
    max(coalesce(stop_ns, start_ns)),
    count(*),
    sum(stop_ns IS NULL AND NOT has_died),
    count(exception),
    0,
    sum({SPAN_BYTES} + coalesce(length(start_info), 0) + coalesce(length(stop_info), 0))
FROM spans WHERE trace = ? GROUP BY trace
ON CONFLICT (id) DO UPDATE SET
    start_ns = excluded.start_ns, stop_ns = excluded.stop_ns, spans = excluded.spans,
    open = excluded.open, errors = excluded.errors, info_bytes = excluded.info_bytes
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
        self.cut = 0  # starts and stops of which not all that was to be said was kept
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
        rows, n_cut = rows_of(events)
        if not rows:
            return
        with _Transaction(self._db):
            lost = self._beyond(rows)
            for key in lost:
                del rows[key]
            self._db.executemany(_PUT, rows.values())
            touched = {trace for trace, _ in rows}
            self._sum_up(touched)
            self._db.executemany(
                "INSERT OR IGNORE INTO services VALUES (?, ?)",
                {(row[4], row[0]) for row in rows.values()},
            )
            per_trace = Counter(trace for trace, _ in lost)
            self._db.executemany(
                "UPDATE traces SET lost = lost + ? WHERE id = ?",
                [(n, trace) for trace, n in per_trace.items()],
            )
        self.lost += len(lost)
        self.cut += n_cut
        if self._ended is not None:
            stopped = [(key, row) for key, row in rows.items() if row[STOP_NS] is not None]
            # What a batch says all of needs not be read again.
            self._ended(
                [self._find(key) if row[START_NS] is None else tuple(row) for key, row in stopped]
            )

    def _find(self, key: SpanKey) -> Row:
        found: Row = self._db.execute(_FIND, key).fetchone()
        return found

    def _beyond(self, rows: Collection[SpanKey]) -> list[SpanKey]:
        """Those that their traces may not have any more."""
        most = self._limits.spans_per_trace
        found: list[SpanKey] = []
        for trace, n in Counter(trace for trace, _ in rows).items():
            had = self._db.execute("SELECT spans FROM traces WHERE id = ?", (trace,)).fetchone()
            n_had = 0 if had is None else had[0]
            if n_had + n <= most:
                continue
            query = self._db.execute("SELECT id FROM spans WHERE trace = ?", (trace,))
            known = {id for (id,) in query}
            new = [key for key in rows if key[0] == trace and key[1] not in known]
            found += new[max(most - n_had, 0) :]
        return found

    def lane_ended(self, lane: int) -> None:
        """The process of this lane is gone: what of its spans is open will not stop."""
        with _Transaction(self._db):
            of_lane = "lane = ? AND stop_ns IS NULL AND NOT has_died"
            query = self._db.execute(f"SELECT trace, id FROM spans WHERE {of_lane}", (lane,))
            died: list[SpanKey] = query.fetchall()
            self._db.execute(f"UPDATE spans SET has_died = 1 WHERE {of_lane}", (lane,))
            self._sum_up({trace for trace, _ in died})
        if self._ended is not None:
            self._ended([self._find(key) for key in died])

    def _sum_up(self, traces: Iterable[bytes]) -> None:
        self._db.executemany(_SUM_UP, [(trace,) for trace in traces])

    # ---- what goes --------------------------------------------------------------------------

    def expire(self) -> None:
        """Lets the oldest traces go, as far as there is more than the limits allow."""
        limits = self._limits
        oldest_ns = self._unix_ns() - int(limits.age_seconds * 1e9)
        query = "SELECT id FROM traces WHERE stop_ns < ?"
        self._drop("age", self._db.execute(query, (oldest_ns,)).fetchall())
        (n,) = self._db.execute("SELECT count(*) FROM traces").fetchone()
        if n > limits.traces:
            query = "SELECT id FROM traces ORDER BY start_ns LIMIT ?"
            self._drop("traces", self._db.execute(query, (n - limits.traces,)).fetchall())
        (n_bytes,) = self._db.execute("SELECT coalesce(sum(info_bytes), 0) FROM traces").fetchone()
        if n_bytes > limits.bytes:
            self._drop("bytes", self._largest(n_bytes - limits.bytes))

    def _largest(self, excess_bytes: int) -> list[tuple[bytes]]:
        """So many of the oldest that at least these bytes are gone."""
        found: list[tuple[bytes]] = []
        for id, n_bytes in self._db.execute("SELECT id, info_bytes FROM traces ORDER BY start_ns"):
            if excess_bytes <= 0:
                break
            found.append((id,))
            excess_bytes -= n_bytes
        return found

    def _drop(self, limit: str, traces: list[tuple[Any]]) -> None:
        if not traces:
            return
        with _Transaction(self._db):
            self._db.executemany("DELETE FROM spans WHERE trace = ?", traces)
            self._db.executemany("DELETE FROM services WHERE trace = ?", traces)
            self._db.executemany("DELETE FROM traces WHERE id = ?", traces)
        self.expired[limit] += len(traces)


class _Transaction:
    """All of a block, or nothing of it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
