# SPDX-License-Identifier: Apache-2.0
"""The reader of a trace store: the list of traces, and the spans of one trace."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from shmetrics.traces import info, schema

if TYPE_CHECKING:
    import sqlite3

# Steps of SQLite's virtual machine between two looks at the clock: some 0.1 ms.
_STEPS: Final = 10_000

Row: TypeAlias = tuple[Any, ...]  # a span, in the columns of SPANS


class Query(NamedTuple):
    """A question for traces; None leaves a condition out.

    Attributes:
        since_ns: the earliest start of a trace, Unix time.
        until_ns: the time before which a trace starts, Unix time.
        service: a service that has a span in the trace.
        least_duration_ns: the shortest duration.
        failed: whether a span of the trace must have failed.
        limit: the most traces to return.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    service: str | None = None
    least_duration_ns: int | None = None
    failed: bool = False
    limit: int = 100


class Trace(NamedTuple):
    """The summary of a trace.

    Attributes:
        id: its id, 16 bytes.
        start_ns: the start of its first span, Unix time.
        stop_ns: the last time that was heard of, Unix time.
        spans: the number of its spans.
        open: the number of spans that have begun and not ended.
        errors: the number of spans that failed.
        lost: the number of spans beyond those that a trace may have.
        name: the name of the span that began first.
        service: the service of that span.
    """

    id: bytes
    start_ns: int
    stop_ns: int
    spans: int
    open: int
    errors: int
    lost: int
    name: str
    service: str

    @property
    def duration_ns(self) -> int:
        """Return the duration; at least 0, even if the wall clock was set meanwhile."""
        return max(self.stop_ns - self.start_ns, 0)


class StoredSpan(NamedTuple):
    """One span of the trace store.

    If its start or stop was not heard of, that is None and its info {}.

    Attributes:
        trace: the trace's id, 16 bytes.
        id: the span's id, 16 bytes.
        parent: the id of the span around it, 16 bytes; the trace's id if there is none.
        name: the kind of span, as "rpc" or "db".
        service: the service's name.
        project: the project's name.
        host: the host's name.
        start_ns: the start, Unix time.
        stop_ns: the stop, Unix time.
        start_info: the info of the start.
        stop_info: the info of the stop.
        exception: the class name of the exception that ended it.
        is_cut: whether an info is not complete.
        has_died: whether its process died before it ended.
        lane: the id of its lane; 0 if it did not come through a lane.
    """

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    service: str
    project: str
    host: str
    start_ns: int | None
    stop_ns: int | None
    start_info: dict[str, Any]
    stop_info: dict[str, Any]
    exception: str | None
    is_cut: bool
    has_died: bool
    lane: int

    @property
    def duration_ns(self) -> int | None:
        """Return the duration, at least 0; None if start or stop was not heard of."""
        if self.start_ns is None or self.stop_ns is None:
            return None
        return max(self.stop_ns - self.start_ns, 0)


_FIRST = """
FROM spans WHERE trace = n ORDER BY coalesce(spans.start_ns, spans.stop_ns), spans.id LIMIT 1
"""
_TRACES = f"""
SELECT id, start_ns, stop_ns, spans, open, errors, lost,
    (SELECT name {_FIRST}), (SELECT service {_FIRST})
FROM traces
"""
#: All rows of the table of spans, with the id of their trace instead of its number.
SPANS = """
SELECT traces.id, spans.id, parent, name, service, project, host, spans.start_ns, spans.stop_ns,
    start_info, stop_info, exception, is_cut, has_died, lane
FROM spans JOIN traces ON n = trace
"""


class Reader:
    """One reader's view of the store: everything that is committed.

    While it reads, nothing can be committed. So a question that takes longer than READ_SECONDS is
    ended.
    """

    def __init__(self, path: Path) -> None:
        """Open the store for reading. Raises sqlite3.Error."""
        self._db: sqlite3.Connection = schema.connect_to_read(path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _ask(self, query: str, values: Sequence[object]) -> list[Row]:
        """Return all rows at once, so that the database is not locked while they are used."""
        end = time.monotonic() + schema.READ_SECONDS
        self._db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        return self._db.execute(query, values).fetchall()

    def find(self, query: Query = Query()) -> list[Trace]:  # noqa: B008
        """Return the traces that a query asks for, the one that was heard of last first.

        They are not sorted by their times, which come from other clocks. Raises sqlite3.Error.
        """
        wanted: list[tuple[str, object]] = []
        if query.since_ns is not None:
            wanted.append(("start_ns >= ?", query.since_ns))
        if query.until_ns is not None:
            wanted.append(("start_ns < ?", query.until_ns))
        if query.least_duration_ns is not None:
            wanted.append(("stop_ns - start_ns >= ?", query.least_duration_ns))
        if query.failed:
            wanted.append(("errors > ?", 0))
        if query.service is not None:
            of_service = "n IN (SELECT trace FROM services WHERE service = ?)"
            wanted.append((of_service, query.service))
        where = " WHERE " + " AND ".join(part for part, _ in wanted) if wanted else ""
        values = [value for _, value in wanted]
        rows = self._ask(f"{_TRACES}{where} ORDER BY n DESC LIMIT ?", (*values, query.limit))
        return [Trace(*row) for row in rows]

    def trace(self, id: bytes) -> Trace | None:
        """Return the trace with this id, or None. Raises sqlite3.Error."""
        rows = self._ask(f"{_TRACES} WHERE id = ?", (id,))
        return Trace(*rows[0]) if rows else None

    def spans(self, trace: bytes) -> list[StoredSpan]:
        """Return the spans of a trace, in the order of their beginning. Raises sqlite3.Error."""
        order = "coalesce(spans.start_ns, spans.stop_ns), spans.id"
        rows = self._ask(f"{SPANS} WHERE traces.id = ? ORDER BY {order}", (trace,))
        return [span_of(row) for row in rows]


def span_of(row: Row) -> StoredSpan:
    """Return the span of a row, with its infos decoded."""
    span = StoredSpan(*row)
    start_info, is_start_whole = _info(row[9])
    stop_info, is_stop_whole = _info(row[10])
    return span._replace(
        start_info=start_info,
        stop_info=stop_info,
        is_cut=bool(span.is_cut) or not (is_start_whole and is_stop_whole),
        has_died=bool(span.has_died),
    )


def _info(text: str | None) -> tuple[dict[str, Any], bool]:
    """Decode an info; return it, and whether it is complete."""
    return ({}, True) if text is None else info.decode(text)
