# SPDX-License-Identifier: Apache-2.0
"""The file of the trace store: what is in it, and how it is opened.

Traces are numbered as they come, and all that is of them is kept by that number: what a batch
brings then lies together, and to write it changes few pages. By their own ids, which are random, it
would change a page per trace in each table, and a span would cost half as much again.

It has a rollback journal, and no write-ahead log: that grows as long as somebody reads, and is
mapped, so that who cuts it short ends whoever looks. A journal takes what a transaction changes of
what was there, of each page once, and is gone with it.

SQLite is loaded when there is a trace: a node that has none is spared its megabyte.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

#: "shmt", in the header of the file (https://www.sqlite.org/fileformat.html, application id).
APPLICATION_ID: Final = 0x73686D74
VERSION: Final = 3
PAGE_BYTES: Final = 4096
#: Of files that belong to a database.
ENDINGS: Final = ("-journal", "-wal", "-shm")
#: Two may write: the collector, and who takes notifications off the bus. Each waits for the other,
#: and for who reads.
BUSY_SECONDS: Final = 30.0
#: How long who reads waits for a batch to be committed, and how long a question may take, as
#: meanwhile nothing can be.
READ_SECONDS: Final = 10.0

_TABLES: Final = """
CREATE TABLE traces (
    n INTEGER PRIMARY KEY,       -- in the order in which they were heard of
    id BLOB NOT NULL UNIQUE,
    start_ns INTEGER NOT NULL DEFAULT 0,
    stop_ns INTEGER NOT NULL DEFAULT 0,      -- of what was heard last
    spans INTEGER NOT NULL DEFAULT 0,
    open INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,         -- spans beyond the limit
    heard_ns INTEGER NOT NULL DEFAULT 0      -- when that was, by the store's age
);
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
CREATE INDEX open_spans ON spans (lane) WHERE stop_ns IS NULL AND NOT has_died;
CREATE TABLE services (
    service TEXT NOT NULL,
    trace INTEGER NOT NULL,
    PRIMARY KEY (service, trace)
) WITHOUT ROWID;
CREATE INDEX services_by_trace ON services (trace);
CREATE TABLE age (
    boot_ns INTEGER NOT NULL,    -- since the machine was started
    age_ns INTEGER NOT NULL      -- of the store, then
);
INSERT INTO age VALUES (0, 0);
"""

# What makes the file small again has to be said before there is anything in it.
_SCHEMA: Final = f"""
PRAGMA page_size = {PAGE_BYTES};
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN;
{_TABLES}
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""


class ForeignFile(Exception):
    """This is no trace store, or one that this version cannot read; the text says which and why.

    is_damaged: it was one of ours.
    """

    def __init__(self, text: str, is_damaged: bool = False) -> None:
        super().__init__(text)
        self.is_damaged = is_damaged


#: What damage has made of a text is no error: there is no more to be had.
_text: Final = functools.partial(str, encoding="utf-8", errors="replace")


def connect_to_write(path: Path) -> sqlite3.Connection:
    """A connection that writes; makes the file if there is none. Raises ForeignFile, and
    sqlite3.Error or OSError if it cannot be opened."""
    import sqlite3

    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "there is something that is no file", str(path))
    beside = [path.with_name(path.name + ending) for ending in ENDINGS]
    left_behind = [file for file in beside if file.exists()]
    if not path.exists() or path.stat().st_size == 0:
        for file in left_behind:  # by one that is gone: it would be written into the new one
            file.unlink(missing_ok=True)
        _make(path)
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        check(connection, path)
        # What is not written when the machine stops is lost, and nothing else.
        connection.execute("PRAGMA synchronous = NORMAL")
        # A journal that is read back, and what a statement changes, need no other files; and what
        # was let go need not be written over.
        for setting in (
            *("journal_mode = DELETE", "temp_store = MEMORY"),
            *("cache_spill = OFF", "secure_delete = OFF"),
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
        connection.text_factory = _text
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
        connection.execute("PRAGMA synchronous = OFF")  # nobody has anything to lose yet
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
    """A connection for one reader, who waits as long as a batch is committed. Raises
    sqlite3.Error."""
    import sqlite3

    uri = path.absolute().as_uri() + "?mode=ro"
    connection = sqlite3.connect(
        uri, uri=True, timeout=READ_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.text_factory = _text
    return connection


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raises ForeignFile if it is not one of ours, whole, and of this version."""
    import sqlite3

    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise ForeignFile(f"{path}: another program's database")
    if version != VERSION:
        raise ForeignFile(f"{path}: trace store of version {version}, this is version {VERSION}")
    try:
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        is_ours = _said(connection) == _said_at_first()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise
        found, is_ours = str(error), False
    if found != "ok":
        raise ForeignFile(f"{path}: damaged ({found})", is_damaged=True)
    if not is_ours:
        raise ForeignFile(f"{path}: damaged (not its tables)", is_damaged=True)


def _said(connection: sqlite3.Connection) -> list[tuple[str | None, ...]]:
    """What the database says of its tables."""
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@functools.cache
def _said_at_first() -> list[tuple[str | None, ...]]:
    import sqlite3

    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_TABLES)
        return _said(connection)
