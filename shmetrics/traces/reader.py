# SPDX-License-Identifier: Apache-2.0
"""Reading the trace store: which traces there are, and the spans of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from shmetrics.traces import info, schema

if TYPE_CHECKING:
    import sqlite3

# Of SQLite's machine, between two looks at the clock: some 0.1 ms.
_STEPS: Final = 10_000

Row: TypeAlias = tuple[Any, ...]  # a span, in the columns of SPANS


class Query(NamedTuple):
    """Which traces are wanted; None: whatever it is. Times are of their beginning."""

    since_ns: int | None = None
    until_ns: int | None = None
    service: str | None = None
    least_duration_ns: int | None = None
    failed: bool = False
    limit: int = 100


class Trace(NamedTuple):
    """A trace, in one line. name and service: of the span that began first."""

    id: bytes
    start_ns: int
    stop_ns: int  # what was heard of it last
    spans: int
    open: int  # of them, begun and not ended
    errors: int
    lost: int  # spans beyond what a trace may have
    name: str
    service: str

    @property
    def duration_ns(self) -> int:
        """Never less than nothing, though somebody may have set the clock meanwhile."""
        return max(self.stop_ns - self.start_ns, 0)


class StoredSpan(NamedTuple):
    """One span as it was heard of: start or stop may be missing, their infos are {} then."""

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
        """None: it has not begun or not ended, as far as was heard. Never less than nothing."""
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
#: Every row of the table of spans, with the id of its trace for its number.
SPANS = """
SELECT traces.id, spans.id, parent, name, service, project, host, spans.start_ns, spans.stop_ns,
    start_info, stop_info, exception, is_cut, has_died, lane
FROM spans JOIN traces ON n = trace
"""


class Reader:
    """One reader's view of the store: what was committed last. As long as it reads, nothing can be
    committed; so a question that takes longer than READ_SECONDS is ended."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self._db: sqlite3.Connection = schema.connect_to_read(path)

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()

    def _ask(self, query: str, values: Sequence[object]) -> list[Row]:
        """All at once, so that nothing is held while somebody looks at it."""
        end = time.monotonic() + schema.READ_SECONDS
        self._db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        return self._db.execute(query, values).fetchall()

    def find(self, query: Query = Query()) -> list[Trace]:  # noqa: B008
        """The traces that are wanted, those first that were heard of last: what they say of their
        times are other clocks."""
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
        """The trace with this id."""
        rows = self._ask(f"{_TRACES} WHERE id = ?", (id,))
        return Trace(*rows[0]) if rows else None

    def spans(self, trace: bytes) -> list[StoredSpan]:
        """The spans of a trace, in the order of their beginning."""
        order = "coalesce(spans.start_ns, spans.stop_ns), spans.id"
        rows = self._ask(f"{SPANS} WHERE traces.id = ? ORDER BY {order}", (trace,))
        return [span_of(row) for row in rows]


def span_of(row: Row) -> StoredSpan:
    """The span of a row, with its infos read."""
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
    return ({}, True) if text is None else info.decode(text)
