# SPDX-License-Identifier: Apache-2.0
"""Keep a small trace store of this version as SQL.

    python -m tests.compatibility.traces

writes data/traces-<version>.sql, once per version: whoever raises the trace store's version runs
this before, if there is no file for the version that is left, and after.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from shmetrics.traces import schema
from shmetrics.traces.event import SpanEvent
from shmetrics.traces.store import Limits, TraceStore

DATA: Final = Path(__file__).with_name("data")

# Of the file itself: a dump has none of these.
_SETTINGS: Final = ("page_size", "auto_vacuum", "application_id", "user_version")

LIMITS: Final = Limits(spans_per_trace=4)
#: The lane of the process that is gone.
DEAD_LANE: Final = 2


def id_of(number: int) -> bytes:
    """Return an id of 16 bytes."""
    return number.to_bytes(16, "big")


def event(is_start: bool, trace: int, id: int, at: int, **more: Any) -> SpanEvent:
    """Return the start or stop of a span, at so many nanoseconds."""
    said: dict[str, Any] = {"parent": trace, "name": "wsgi", "service": "nova", "lane": 1, **more}
    return SpanEvent(
        is_start=is_start,
        trace=id_of(trace),
        id=id_of(id),
        parent=id_of(said.pop("parent")),
        unix_ns=at,
        **{"project": "compute", "host": "node-1", "info": {}, "cut": "", **said},
    )


def events() -> list[SpanEvent]:
    """Return two traces: one with a failed span, one with a span that never ends and one too many
    spans."""
    db = {"name": "db", "parent": 11, "service": "cinder"}
    asked = {"request": {"path": "/servers", "method": "POST"}}
    failed = {"etype": "DBError", "message": "gone"}
    found = [
        event(True, 1, 11, 1_000, info=asked),
        event(True, 1, 12, 1_100, info={"db": {"statement": "SELECT 'é'"}}, **db),
        event(False, 1, 12, 1_900, info=failed, **db),
        event(False, 1, 11, 2_000),
        event(True, 2, 21, 5_000, lane=DEAD_LANE, cut="too_long"),
    ]
    for n in range(4):
        found += [event(True, 2, 22 + n, 5_100 + n), event(False, 2, 22 + n, 5_200 + n)]
    return found


def make() -> str:
    """Return a trace store of this version, as SQL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "traces.db")
        store = TraceStore(path, LIMITS, boot_ns=lambda: 10**12)
        store.add(events())
        store.lane_ended(DEAD_LANE)
        store.close()
        with contextlib.closing(sqlite3.connect(path)) as db:
            said = [(name, *db.execute(f"PRAGMA {name}").fetchone()) for name in _SETTINGS]
            settings = [f"PRAGMA {name} = {value};" for name, value in said]
            return "\n".join([*settings, *db.iterdump()]) + "\n"


def load(file: Path, path: Path) -> None:
    """Make the trace store that is kept in a file."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(file.read_text())


def kept() -> list[Path]:
    """Return the files of all versions that are kept."""
    return sorted(DATA.glob("traces-*.sql"))


def main() -> int:
    """Write the file of this version, if there is none."""
    file = DATA / f"traces-{schema.VERSION}.sql"
    if file.exists():
        print(f"{file}: is there, and shows what this version has to read", file=sys.stderr)
        return 1
    file.write_text(make())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
