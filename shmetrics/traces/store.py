# SPDX-License-Identifier: Apache-2.0
"""The trace store: the spans of the node in one SQLite file, and which traces they make.

One thread writes. Readers have connections of their own (`Reader`), and go on while a batch is
made; while it is committed one waits for the other.

How large the file is says SQLite, in pages; before a batch is written there is room for it, because
others have been let go. What that takes is bounded as well, so nothing here changes more in one
transaction than its journal has room for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from shmetrics.traces import age, schema
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
from shmetrics.traces.reader import SPANS, Row
from shmetrics.traces.room import FileBudget, NoRoom, count_pages

if TYPE_CHECKING:
    import sqlite3

# What a span takes beside its info, about.
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
    """DELETE FROM spans WHERE trace = ?1
        AND id IN (SELECT id FROM spans WHERE trace = ?1 LIMIT ?2)""",
    """DELETE FROM services WHERE trace = ?1
        AND service IN (SELECT service FROM services WHERE trace = ?1 LIMIT ?2)""",
)

# What many spans may take at a time; they can be fewer.
BATCH_PART = 4
# Where a batch takes more pages than was foreseen, so much more is tried, and no more.
UNFORESEEN, MORE_PAGES = 4, 64
# Of the pages: what is let go with what has to be, and how many may be free in the end.
SPARE_PART, FREE_PART = 16, 4
# Traces that are looked for at a time.
AT_ONCE = 256

Traces: TypeAlias = Mapping[bytes, Mapping[bytes, SpanRow]]


class Limits(NamedTuple):
    """How much is kept. Of traces those go first that were heard of first, and whole."""

    traces: int = 100_000
    bytes: int = 1 << 30  # of all files, at any moment
    age_seconds: float = 7 * 24 * 3600.0  # after the last that was heard, while the machine runs
    spans_per_trace: int = 10_000


class LossCounts:
    """Counts what was not kept. A store that begins a new file goes on with the counts it had."""

    def __init__(self) -> None:
        self.lost = 0  # spans beyond what a trace may have
        # Starts and stops of which not all that was to be said was kept, by reason.
        self.cut: Counter[str] = Counter()
        self.expired: Counter[str] = Counter()  # traces that were let go, by limit


class TraceStore:
    """The writer's end. Not for several threads at once."""

    def __init__(
        self,
        path: Path,
        limits: Limits = Limits(),  # noqa: B008
        boot_ns: Callable[[], int] = age.boot_ns,
        ended: Callable[[Sequence[Row]], None] | None = None,
        counts: LossCounts | None = None,
    ) -> None:
        """ended: is given the rows of spans that will not change any more, once they are written:
        they have stopped, or their process is gone. boot_ns: what time is measured by, since the
        machine was started. counts: to go on with. Raises ForeignFile, NoRoom, sqlite3.Error or
        OSError."""
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
        """Lets go of the file."""
        self._db.close()

    def is_there(self) -> bool:
        """Whether its file is still the one that others find by its path."""
        try:
            return os.path.samestat(self.path.stat(), self._file)
        except OSError:
            return False

    def _note_age(self) -> None:
        now_ns = self._boot_ns()
        self._born_ns = now_ns - age.age_ns(self._db, now_ns)

    def _age_ns(self) -> int:
        """How old the store is, by a clock that nobody sets."""
        return self._boot_ns() - self._born_ns

    # ---- what comes in ----------------------------------------------------------------------

    def add(self, events: Iterable[SpanEvent]) -> None:
        """Takes them all, or none. It may have had some of them before. Raises sqlite3.Error; and
        NoRoom or JournalFull, where fewer may have the room that these have not."""
        traces, n_cut = assemble(events)
        if not traces:
            return
        lost, stopped = self._written(traces)
        self.counts.lost += lost
        self.counts.cut += n_cut
        if self._ended is not None:
            self._ended(stopped)

    def _written(self, traces: Traces) -> tuple[int, list[Row]]:
        import sqlite3

        n_pages = _pages_of(traces)
        is_one = sum(map(len, traces.values())) == 1
        most = self._budget.max_pages if is_one else self._budget.max_pages // BATCH_PART
        for wanted in (n_pages, UNFORESEEN * n_pages + MORE_PAGES):
            if wanted > most:
                raise NoRoom(f"{wanted} pages, of {self._budget.max_pages}")
            self._make_room(wanted)
            try:
                return self._write(traces)
            except sqlite3.OperationalError as error:
                if "full" not in str(error):
                    raise
                failed = error
        raise failed  # then it is the disk

    def _write(self, traces: Traces) -> tuple[int, list[Row]]:
        """How many spans their traces may not have, and the rows of those that have stopped."""
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
        self._budget.execute_many(self._db, statement, values)

    def _stopped(self, rows: Iterable[Row], ids: Mapping[int, bytes]) -> list[Row]:
        """Of these spans those that have stopped. What a batch says all of needs not be read
        again. ids: of the traces, by their numbers."""
        return [
            (ids[row[0]], *row[1:]) if row[1 + START_NS] is not None else self._find(row[0], row[1])
            for row in rows
            if row[1 + STOP_NS] is not None
        ]

    def _find(self, n: int, id: bytes) -> Row:
        """A span that is there: for the rest of a transaction nobody else can let it go."""
        found: Row = self._db.execute(_FIND, (n, id)).fetchone()
        return found

    def _known(self, trace: bytes) -> tuple[int, int]:
        """Returns the number of a trace, and how many spans it has. One that is new gets a number.
        Raises sqlite3.Error."""
        found = self._db.execute("SELECT n, spans FROM traces WHERE id = ?", (trace,)).fetchone()
        if found is None:
            found = self._db.execute("INSERT INTO traces (id) VALUES (?)", (trace,)).lastrowid, 0
        n, n_spans = found
        return n, n_spans

    def _kept(self, spans: Mapping[bytes, SpanRow], n: int, n_had: int) -> list[SpanRow]:
        """Those of them that their trace may have."""
        most = self._limits.spans_per_trace
        if n_had + len(spans) <= most:
            return list(spans.values())
        query = self._db.execute("SELECT id FROM spans WHERE trace = ?", (n,))
        new = spans.keys() - {id for (id,) in query}
        beyond = set([id for id in spans if id in new][max(most - n_had, 0) :])
        return [row for id, row in spans.items() if id not in beyond]

    def lane_ended(self, lane: int) -> None:
        """The process of this lane is gone: what of its spans is open will not stop."""
        while rows := self._end_some(lane):
            if self._ended is not None:
                self._ended(rows)

    def _end_some(self, lane: int) -> list[Row]:
        """The rows of some of its spans, which have died now; none: there is no other."""
        of_lane = "lane = ? AND stop_ns IS NULL AND NOT has_died"
        with _Transaction(self._db):
            query = f"SELECT trace, id FROM spans WHERE {of_lane} LIMIT ?"
            died = self._db.execute(query, (lane, self._budget.batch_statements)).fetchall()
            self._change("UPDATE spans SET has_died = 1 WHERE trace = ? AND id = ?", died)
            self._sum_up({n for n, _ in died})
            return [self._find(*key) for key in died]

    def _sum_up(self, traces: Iterable[int]) -> None:
        age_ns = self._age_ns()
        self._change(_SUM_UP, [(age_ns, n) for n in traces])

    # ---- what goes --------------------------------------------------------------------------

    def expire(self) -> None:
        """Lets the oldest traces go, as far as there is more than the limits allow, and makes the
        file smaller where much of it is free."""
        with _Transaction(self._db):
            self._note_age()
        self._drop("age", self._too_old)
        self._drop("traces", self._too_many)
        self._make_room(0)
        n, n_free = count_pages(self._db)
        if n > self._budget.max_pages or FREE_PART * n_free > n:
            self._shrink(n_free)

    def _make_room(self, n_pages: int) -> None:
        """Lets the oldest go where there is no room for so many pages more, and some others with
        them, so that it is not for each batch."""
        if self._n_available() < n_pages:
            wanted = n_pages + self._budget.max_pages // SPARE_PART
            self._drop("bytes", lambda: self._too_large(wanted))

    def _n_available(self) -> int:
        """Pages that there may be, beside those in use."""
        n, n_free = count_pages(self._db)
        return self._budget.max_pages - n + n_free

    def _too_old(self) -> list[int]:
        oldest_ns = self._age_ns() - int(self._limits.age_seconds * 1e9)
        return self._numbers("WHERE heard_ns < ? ORDER BY n LIMIT ?", oldest_ns, AT_ONCE)

    def _too_many(self) -> list[int]:
        (n_traces,) = self._db.execute("SELECT count(*) FROM traces").fetchone()
        excess = max(n_traces - self._limits.traces, 0)
        return self._numbers("ORDER BY n LIMIT ?", min(excess, AT_ONCE))

    def _too_large(self, n_pages: int) -> Iterator[int]:
        """One after the other, until so many pages are available."""
        for n in self._numbers("ORDER BY n LIMIT ?", AT_ONCE):
            if self._n_available() >= n_pages:
                return
            yield n

    def _numbers(self, which: str, *values: int) -> list[int]:
        return [n for (n,) in self._db.execute(f"SELECT n FROM traces {which}", values)]

    def _drop(self, limit: str, some: Callable[[], Iterable[int]]) -> None:
        """Lets traces go, as many at a time as the journal has room for, until there are none to
        be. some: numbers of such, found anew for each transaction: that of a trace that another
        process has let go may be a new one's."""
        begun = True
        while begun:
            begun, n_gone = False, 0
            with _Transaction(self._db):
                for n in some():
                    begun = True
                    if not self._drop_one(n):
                        break
                    n_gone += 1
            if n_gone:
                self.counts.expired[limit] += n_gone

    def _drop_one(self, n: int) -> bool:
        """Lets a trace go; False if the journal is full before that is done."""
        batch = self._budget.batch_statements
        for statement in _DROP:
            n_gone = batch
            while n_gone == batch:
                if self._budget.is_journal_full():
                    return False
                n_gone = self._db.execute(statement, (n, batch)).rowcount
        self._db.execute("DELETE FROM traces WHERE n = ?", (n,))
        return True

    def _shrink(self, n_free: int) -> None:
        """Gives free pages back, as many at a time as the journal has room for."""
        while n_free > 0:
            with _Transaction(self._db):
                while n_free > 0 and not self._budget.is_journal_full():
                    # More of them would take as many steps, and this takes only one.
                    self._db.execute("PRAGMA incremental_vacuum(1)").fetchall()
                    n_free -= 1
        self._budget.limit(self._db)


def _pages_of(traces: Traces) -> int:
    """What these spans take in the database, about, if they are new."""
    n_bytes = 0
    for spans in traces.values():
        for row in spans.values():
            text_bytes = sum(map(len, row[NAME : HOST + 1])) + 2 * len(row[SERVICE])
            text_bytes += len(row[START_INFO] or "") + len(row[STOP_INFO] or "")
            n_bytes += SPAN_BYTES + text_bytes
            if text_bytes > schema.PAGE_BYTES // 8:  # then some of it has pages of its own
                n_bytes += schema.PAGE_BYTES // 2
    return n_bytes // schema.PAGE_BYTES + 2


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
