# SPDX-License-Identifier: Apache-2.0
"""The file of the trace store: its tables, and its opening.

Traces are numbered as they come, and everything about them is stored by that number. So what a
batch brings lies together, and writing it changes few pages. By the traces' own ids, which are
random, it would change one page per trace in each table, and a span would cost half as much again.

The database has a rollback journal and no write-ahead log. A write-ahead log grows as long as a
reader reads; and it is mapped, so that a program which cuts it short kills every process that reads
it. A journal has each page once that a transaction changes, and is gone with it.

SQLite is loaded with the first trace: a node without traces saves its megabyte.
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
#: The endings of files that belong to a database.
ENDINGS: Final = ("-journal", "-wal", "-shm")
#: The time that a writer waits for the other one and for readers. Two processes may write: the
#: collector, and the listener for notifications.
BUSY_SECONDS: Final = 30.0
#: The time that a reader waits for a commit, and the longest time of a question, during which
#: nothing can be committed.
READ_SECONDS: Final = 10.0

# Every character of this text, comments too, is in the file, and check() compares it: a store whose
# tables were made with another text counts as damaged.
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

# auto_vacuum, which lets the file become smaller, has to be set before the first table is made.
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
    """An error: the file is no trace store that this version can read. The text says which and why.

    Attributes:
        is_damaged: whether it was a trace store of this version.
    """

    def __init__(self, text: str, is_damaged: bool = False) -> None:
        """Begin with one line of text, and whether the file was a trace store of this version."""
        super().__init__(text)
        self.is_damaged = is_damaged


#: Decodes text that damage may have changed: an error would not bring it back.
_text: Final = functools.partial(str, encoding="utf-8", errors="replace")


def connect_to_write(path: Path) -> sqlite3.Connection:
    """Return a connection that writes, and make the file if there is none.

    Args:
        path: the trace store's file.

    Raises:
        ForeignFile: the file is no trace store of this version, or damaged.
        sqlite3.Error: the file cannot be opened.
        OSError: the file cannot be opened or made.
    """
    import sqlite3

    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "there is something that is no file", str(path))
    beside = [path.with_name(path.name + ending) for ending in ENDINGS]
    left_behind = [file for file in beside if file.exists()]
    if not path.exists() or path.stat().st_size == 0:
        for file in left_behind:  # SQLite would apply a lost file's journal to the new one
            file.unlink(missing_ok=True)
        _make(path)
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        check(connection, path)
        # If the machine stops, only what is not written yet is lost.
        connection.execute("PRAGMA synchronous = NORMAL")
        # No temporary files, no early writes of changed pages, and no zeroing of deleted rows.
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
    """Make an empty store under another name, and give it its name if it is still free.

    Other processes may open the file as soon as it has its name, so it must be whole by then.
    """
    import sqlite3

    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    temporary.touch(mode=0o600)
    try:
        connection = sqlite3.connect(temporary, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")  # there is nothing to lose yet
        connection.executescript(_SCHEMA)
        connection.close()
        if path.exists() and path.stat().st_size == 0:
            temporary.replace(path)
        else:
            with contextlib.suppress(FileExistsError):  # another process was faster
                path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection for one reader, which waits while a batch is committed.

    Raises sqlite3.Error.
    """
    import sqlite3

    uri = path.absolute().as_uri() + "?mode=ro"
    connection = sqlite3.connect(
        uri, uri=True, timeout=READ_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.text_factory = _text
    return connection


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the database is a whole trace store of this version.

    Raises:
        ForeignFile: it is not.
        sqlite3.DatabaseError: it is locked.
    """
    import sqlite3

    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise ForeignFile(f"{path}: another program's database")
    if version != VERSION:
        raise ForeignFile(f"{path}: trace store of version {version}, this is version {VERSION}")
    try:
        (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        is_ours = _definitions(connection) == _definitions_of_new_store()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise
        result, is_ours = str(error), False
    if result != "ok":
        raise ForeignFile(f"{path}: damaged ({result})", is_damaged=True)
    if not is_ours:
        raise ForeignFile(f"{path}: damaged (not its tables)", is_damaged=True)


def _definitions(connection: sqlite3.Connection) -> list[tuple[str | None, ...]]:
    """Return the definitions of the database's tables."""
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@functools.cache
def _definitions_of_new_store() -> list[tuple[str | None, ...]]:
    """Return the definitions that the tables of a new store have."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_TABLES)
        return _definitions(connection)
