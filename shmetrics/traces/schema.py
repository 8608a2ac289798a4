# SPDX-License-Identifier: Apache-2.0
"""The file of the trace store: what is in it, and how it is opened.

Traces are numbered as they come, and all that is of them is kept by that number: what a batch
brings then lies together, and to write it changes few pages. By their own ids, which are random, it
would change a page per trace in each table, and a span would cost half as much again.

SQLite is loaded when there is a trace: a node that has none is spared its megabyte.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

#: "shmt", in the header of the file (https://www.sqlite.org/fileformat.html, application id).
APPLICATION_ID: Final = 0x73686D74
VERSION: Final = 2
#: Two may write: the collector, and who takes notifications off the bus. Each waits for the other.
BUSY_SECONDS: Final = 30.0

_SCHEMA: Final = f"""
BEGIN;
CREATE TABLE traces (
    n INTEGER PRIMARY KEY,       -- in the order in which they were heard of
    id BLOB NOT NULL UNIQUE,
    start_ns INTEGER NOT NULL DEFAULT 0,
    stop_ns INTEGER NOT NULL DEFAULT 0,      -- of what was heard last
    spans INTEGER NOT NULL DEFAULT 0,
    open INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,         -- spans beyond the limit
    info_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX traces_by_start ON traces (start_ns);
CREATE TABLE spans (
    trace INTEGER NOT NULL,      -- its n
    id BLOB NOT NULL,
    parent BLOB NOT NULL,
    name TEXT NOT NULL,
    service TEXT NOT NULL,
    project TEXT NOT NULL,
    host TEXT NOT NULL,
    start_ns INTEGER,            -- unix; NULL: that it began was not heard
    stop_ns INTEGER,             -- NULL: nor that it ended
    start_info TEXT,             -- JSON
    stop_info TEXT,
    exception TEXT,              -- class name, of a span that failed
    is_cut INTEGER NOT NULL,     -- info is not all that was said
    has_died INTEGER NOT NULL,   -- its process is gone, and it will not stop
    lane INTEGER NOT NULL,
    PRIMARY KEY (trace, id)
) WITHOUT ROWID;
CREATE INDEX open_spans ON spans (lane) WHERE stop_ns IS NULL;
CREATE TABLE services (
    service TEXT NOT NULL,
    trace INTEGER NOT NULL,
    PRIMARY KEY (service, trace)
) WITHOUT ROWID;
CREATE INDEX services_by_trace ON services (trace);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""


class ForeignFile(Exception):
    """This is no trace store, or one that this version cannot read; the text says which and why."""


def connect_to_write(path: Path) -> sqlite3.Connection:
    """A connection that writes; makes the file if there is none. Raises ForeignFile, and
    sqlite3.Error or OSError if it cannot be opened."""
    import sqlite3

    if not path.exists() or path.stat().st_size == 0:
        _make(path)
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # Readers see the last commit, and never wait for the one at hand. What the system has not
        # written yet when the machine stops is lost, and nothing else: these are traces, no totals.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        check(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError) and "not a database" not in str(error):
            raise
        raise ForeignFile(f"{path}: no trace store ({error})") from None
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Others may read and write it as soon as it is there, so it comes whole, and once."""
    import sqlite3

    made = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    made.touch(mode=0o600)
    try:
        connection = sqlite3.connect(made, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.close()
        if path.exists() and path.stat().st_size == 0:
            made.replace(path)
        else:
            with contextlib.suppress(FileExistsError):  # another's
                path.hardlink_to(made)
    finally:
        made.unlink(missing_ok=True)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection for one reader. Raises sqlite3.Error."""
    import sqlite3

    uri = path.absolute().as_uri() + "?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raises ForeignFile if it is not one of ours, whole, and of this version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise ForeignFile(f"{path}: another program's database")
    if version != VERSION:
        raise ForeignFile(f"{path}: trace store of version {version}, this is version {VERSION}")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise ForeignFile(f"{path}: damaged ({found})")
