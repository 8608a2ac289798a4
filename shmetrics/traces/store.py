# SPDX-License-Identifier: Apache-2.0
"""The trace store: the spans of the node in one SQLite file, and a summary of each trace.

One thread writes. Readers have connections of their own (`Reader`), and go on while a batch is
prepared; during a commit, writer and readers wait for each other.

SQLite limits the size of the file, in pages. Before a batch is written, old traces are removed to
make room for it. The room that removing takes is limited as well: no transaction here changes more
than its journal has room for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from shmetrics.traces import schema, store_clock
from shmetrics.traces.assembly import (
    HOST,
    NAME,
    SERVICE,
    START_INFO,
    START_NS,
    STOP_INFO,
    STOP_NS,
    SpanRow,
    assemble,
)
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.file_budget import FileBudget, NoRoom, count_pages
from shmetrics.traces.reader import SPANS, Row

if TYPE_CHECKING:
    import sqlite3

# An estimate of the bytes that a span takes beside its info.
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

# A trace's summary is computed anew whenever one of its spans has changed, so it is right even if
# events came twice or in another order.
_SUM_UP = """
UPDATE traces SET (start_ns, stop_ns, spans, open, errors, heard_ns) = (
    SELECT
        min(coalesce(start_ns, stop_ns)),
        max(coalesce(stop_ns, start_ns)),
        count(*),
        sum(stop_ns IS NULL AND NOT has_died),
        count(exception),
        ?
    FROM spans WHERE trace = n
) WHERE n = ?
"""

_DROP = (
    """DELETE FROM spans WHERE trace = ?
        AND id IN (SELECT id FROM spans WHERE trace = ? LIMIT ?)""",
    """DELETE FROM services WHERE trace = ?
        AND service IN (SELECT service FROM services WHERE trace = ? LIMIT ?)""",
)

# A batch of several spans may take a quarter of the pages: it can be split.
BATCH_PART = 4
# A batch that takes more pages than estimated is tried once more, with so many times the estimate
# and so many pages more.
UNFORESEEN, MORE_PAGES = 4, 64
# A sixteenth of the pages is freed with those that have to be; up to a quarter of them may be free.
SPARE_PART, FREE_PART = 16, 4
# The traces that are looked up with one statement.
AT_ONCE = 256

Traces: TypeAlias = Mapping[bytes, Mapping[bytes, SpanRow]]


class Limits(NamedTuple):
    """The limits of a trace store.

    Beyond them, the traces that were heard of first go first, as a whole.

    Attributes:
        traces: the number of traces.
        bytes: the bytes of all files, at any moment.
        age_seconds: the age of a trace since it was last heard of, while the machine runs.
        spans_per_trace: the number of spans of one trace.
    """

    traces: int = 100_000
    bytes: int = 1 << 30
    age_seconds: float = 7 * 24 * 3600.0
    spans_per_trace: int = 10_000


class LossCounts:
    """The counts of spans and traces that were not kept.

    They outlive the file: a new one goes on with the same counts.
    """

    def __init__(self) -> None:
        """Begin with zero."""
        self.lost = 0  # spans beyond what a trace may have
        self.cut: Counter[str] = Counter()  # starts and stops with incomplete info, by reason
        self.expired: Counter[str] = Counter()  # traces that were removed, by limit


class TraceStore:
    """The writer's end of a trace store, for one thread at a time."""

    def __init__(
        self,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008
        boot_ns: Callable[[], int] = store_clock.boot_ns,
        ended: Callable[[Sequence[Row]], None] | None = None,
        counts: LossCounts | None = None,
    ) -> None:
        """Open the trace store, and make it if there is none.

        Args:
            path: its file.
            limits: how much it keeps.
            boot_ns: returns the nanoseconds since the machine was started.
            ended: called with the rows of spans that will not change any more, once they are
                written: they have stopped, or their process is gone.
            counts: the counts to go on with; None begins with zero.

        Raises:
            ForeignFile: the file is no trace store of this version, or damaged.
            NoRoom: the limit of bytes is too small for anything.
            sqlite3.Error: the file cannot be opened.
            OSError: the file cannot be opened or made.
        """
        self.path = path
        self.counts = LossCounts() if counts is None else counts
        self._limits = limits
        self._boot_ns = boot_ns
        self._ended = ended
        self._budget = FileBudget(path, limits.bytes)
        self._db = schema.connect_to_write(path)
        try:
            self._file = path.stat()
            self._budget.limit(self._db)
            with _Transaction(self._db):
                self._note_age()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def is_there(self) -> bool:
        """Return whether the open file is still the one at the path."""
        try:
            return os.path.samestat(self.path.stat(), self._file)
        except OSError:
            return False

    def _note_age(self) -> None:
        """Note the store's age in the database, see store_clock.py."""
        now_ns = self._boot_ns()
        self._born_ns = now_ns - store_clock.age_ns(self._db, now_ns)

    def _age_ns(self) -> int:
        """Return the age of the store, by a clock that nobody can set."""
        return self._boot_ns() - self._born_ns

    # ---- writing ----------------------------------------------------------------------------

    def add(self, events: Iterable[SpanEvent]) -> None:
        """Write events: all of them or none. Some of them may have been written before.

        Args:
            events: starts and stops of spans.

        Raises:
            NoRoom: there is no room for so many; fewer may fit.
            JournalFull: the same, for the journal.
            sqlite3.Error: they cannot be written.
        """
        traces, n_cut = assemble(events)
        if not traces:
            return
        lost, stopped = self._make_room_and_write(traces)
        self.counts.lost += lost
        self.counts.cut += n_cut
        if self._ended is not None:
            self._ended(stopped)

    def _make_room_and_write(self, traces: Traces) -> tuple[int, list[Row]]:
        """Make room for the rows and write them; return the same as _write()."""
        import sqlite3

        n_pages = _pages_of(traces)
        is_one = sum(map(len, traces.values())) == 1
        max_pages = self._budget.max_pages if is_one else self._budget.max_pages // BATCH_PART
        for wanted in (n_pages, UNFORESEEN * n_pages + MORE_PAGES):
            if wanted > max_pages:
                raise NoRoom(f"{wanted} pages, of {self._budget.max_pages}")
            self._make_room(wanted)
            try:
                return self._write(traces)
            except sqlite3.OperationalError as error:
                if "full" not in str(error):
                    raise
                failed = error
        raise failed  # the disk is full, not the database

    def _write(self, traces: Traces) -> tuple[int, list[Row]]:
        """Write the rows in one transaction.

        Returns:
            The number of spans beyond what their traces may have, and the rows of those that have
            stopped.
        """
        rows: list[Row] = []
        lost: dict[int, int] = {}
        ids: dict[int, bytes] = {}
        with _Transaction(self._db):
            for trace, spans in traces.items():
                n, n_had = self._known(trace)
                kept = self._kept(spans, n, n_had)
                rows += [(n, *row) for row in kept]
                lost[n] = len(spans) - len(kept)
                ids[n] = trace
            self._change(_PUT, rows)
            self._sum_up(lost)
            of_service = {(row[1 + SERVICE], row[0]) for row in rows}
            self._change("INSERT OR IGNORE INTO services VALUES (?, ?)", list(of_service))
            more_lost = [(more, n) for n, more in lost.items() if more]
            self._change("UPDATE traces SET lost = lost + ? WHERE n = ?", more_lost)
            stopped = [] if self._ended is None else self._stopped(rows, ids)
        return sum(lost.values()), stopped

    def _change(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        """Execute a statement for many values. Raises JournalFull."""
        self._budget.execute_many(self._db, statement, values)

    def _stopped(self, rows: Iterable[Row], ids: Mapping[int, bytes]) -> list[Row]:
        """Return the rows of the spans that have stopped.

        A row of the batch that has start and stop is complete, and not read again.

        Args:
            rows: the rows of the batch.
            ids: the ids of the traces, by their numbers.
        """
        return [
            (ids[row[0]], *row[1:]) if row[1 + START_NS] is not None else self._find(row[0], row[1])
            for row in rows
            if row[1 + STOP_NS] is not None
        ]

    def _find(self, n: int, id: bytes) -> Row:
        """Return the row of a span, which no other process can remove during a transaction."""
        row: Row = self._db.execute(_FIND, (n, id)).fetchone()
        return row

    def _known(self, trace: bytes) -> tuple[int, int]:
        """Return the number of a trace, and how many spans it has. A new trace gets a number.

        Raises:
            sqlite3.Error: it cannot be read or written.
        """
        numbers = self._db.execute("SELECT n, spans FROM traces WHERE id = ?", (trace,)).fetchone()
        if numbers is None:
            numbers = self._db.execute("INSERT INTO traces (id) VALUES (?)", (trace,)).lastrowid, 0
        n, n_spans = numbers
        return n, n_spans

    def _kept(self, spans: Mapping[bytes, SpanRow], n: int, n_had: int) -> list[SpanRow]:
        """Return the rows that a trace may have: spans that it has, and new ones up to the
        limit.
        """
        max_spans = self._limits.spans_per_trace
        if n_had + len(spans) <= max_spans:
            return list(spans.values())
        query = self._db.execute("SELECT id FROM spans WHERE trace = ?", (n,))
        new = spans.keys() - {id for (id,) in query}
        beyond = set([id for id in spans if id in new][max(max_spans - n_had, 0) :])
        return [row for id, row in spans.items() if id not in beyond]

    def lane_ended(self, lane: int) -> None:
        """Mark the open spans of a lane as died, because its process is gone."""
        while rows := self._end_some(lane):
            if self._ended is not None:
                self._ended(rows)

    def _end_some(self, lane: int) -> list[Row]:
        """Mark some open spans of a lane as died; return their rows, or none at the end."""
        of_lane = "lane = ? AND stop_ns IS NULL AND NOT has_died"
        with _Transaction(self._db):
            query = f"SELECT trace, id FROM spans WHERE {of_lane} LIMIT ?"
            died = self._db.execute(query, (lane, self._budget.batch_statements)).fetchall()
            self._change("UPDATE spans SET has_died = 1 WHERE trace = ? AND id = ?", died)
            self._sum_up({n for n, _ in died})
            return [self._find(*key) for key in died]

    def _sum_up(self, traces: Iterable[int]) -> None:
        """Compute the summaries of these traces anew from their spans."""
        age_ns = self._age_ns()
        self._change(_SUM_UP, [(age_ns, n) for n in traces])

    # ---- removing ---------------------------------------------------------------------------

    def expire(self) -> None:
        """Remove the oldest traces beyond the limits.

        It makes the file smaller if more than a quarter of its pages are free.
        """
        with _Transaction(self._db):
            self._note_age()
        self._drop("age", self._too_old)
        self._drop("traces", self._too_many)
        self._make_room(0)
        n, n_free = count_pages(self._db)
        if n > self._budget.max_pages or FREE_PART * n_free > n:
            self._shrink(n_free)

    def _make_room(self, n_pages: int) -> None:
        """Remove the oldest traces if there is no room for so many pages more.

        It removes some more at once, so that not every batch has to.
        """
        if self._n_available() < n_pages:
            wanted = n_pages + self._budget.max_pages // SPARE_PART
            self._drop("bytes", lambda: self._too_large(wanted))

    def _n_available(self) -> int:
        """Return the number of pages that may be used, beside those in use."""
        n, n_free = count_pages(self._db)
        return self._budget.max_pages - n + n_free

    def _too_old(self) -> list[int]:
        """Return the numbers of some traces that are too old."""
        oldest_ns = self._age_ns() - int(self._limits.age_seconds * 1e9)
        return self._numbers("WHERE heard_ns < ? ORDER BY n LIMIT ?", oldest_ns, AT_ONCE)

    def _too_many(self) -> list[int]:
        """Return the numbers of some traces beyond the limit of their number."""
        (n_traces,) = self._db.execute("SELECT count(*) FROM traces").fetchone()
        excess = max(n_traces - self._limits.traces, 0)
        return self._numbers("ORDER BY n LIMIT ?", min(excess, AT_ONCE))

    def _too_large(self, n_pages: int) -> Iterator[int]:
        """Yield the numbers of the oldest traces, until so many pages are available."""
        for n in self._numbers("ORDER BY n LIMIT ?", AT_ONCE):
            if self._n_available() >= n_pages:
                return
            yield n

    def _numbers(self, which: str, *values: int) -> list[int]:
        """Return the numbers of traces, by the rest of a statement."""
        return [n for (n,) in self._db.execute(f"SELECT n FROM traces {which}", values)]

    def _drop(self, limit: str, find_some: Callable[[], Iterable[int]]) -> None:
        """Remove traces until none is left that has to go.

        A transaction removes as many as the journal has room for.

        Args:
            limit: the limit that they exceed, for the count.
            find_some: returns numbers of traces that have to go. It is called in each transaction,
                because the number of a trace that another process has removed may belong to a new
                one.
        """
        has_some = True
        while has_some:
            has_some, n_gone = False, 0
            with _Transaction(self._db):
                for n in find_some():
                    has_some = True
                    if not self._drop_one(n):
                        break
                    n_gone += 1
            if n_gone:
                self.counts.expired[limit] += n_gone

    def _drop_one(self, n: int) -> bool:
        """Remove a trace; return False if the journal is full before that is done."""
        batch = self._budget.batch_statements
        for statement in _DROP:
            n_gone = batch
            while n_gone == batch:
                if self._budget.is_journal_full():
                    return False
                n_gone = self._db.execute(statement, (n, n, batch)).rowcount
        self._db.execute("DELETE FROM traces WHERE n = ?", (n,))
        return True

    def _shrink(self, n_free: int) -> None:
        """Give free pages back to the file system.

        A transaction gives back as many as the journal has room for.
        """
        while n_free > 0:
            with _Transaction(self._db):
                while n_free > 0 and not self._budget.is_journal_full():
                    # To free more pages in one statement takes as many steps; this takes one.
                    self._db.execute("PRAGMA incremental_vacuum(1)").fetchall()
                    n_free -= 1
        self._budget.limit(self._db)


def _pages_of(traces: Traces) -> int:
    """Return an estimate of the pages that these spans take, if they are new."""
    n_bytes = 0
    for spans in traces.values():
        for row in spans.values():
            text_bytes = sum(map(len, row[NAME : HOST + 1])) + 2 * len(row[SERVICE])
            text_bytes += len(row[START_INFO] or "") + len(row[STOP_INFO] or "")
            n_bytes += SPAN_BYTES + text_bytes
            if text_bytes > schema.PAGE_BYTES // 8:  # then some of it is on overflow pages
                n_bytes += schema.PAGE_BYTES // 2
    return n_bytes // schema.PAGE_BYTES + 2


class _Transaction:
    """A block of statements of which the database has all or none."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Begin nothing yet."""
        self._db = db

    def __enter__(self) -> None:
        """Begin, as the only writer."""
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit, or roll back after an exception."""
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # some errors end the transaction themselves
                self._db.execute("ROLLBACK")
