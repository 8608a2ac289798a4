# SPDX-License-Identifier: Apache-2.0
"""How much room the files of a store have: the database, and the journal of a transaction.

The database is bounded by SQLite itself, in pages. The journal grows while a transaction changes
what was there: whoever does that looks after every few statements, and is told when it has to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from shmetrics.traces.schema import PAGE_BYTES

if TYPE_CHECKING:
    import sqlite3

Value = TypeVar("Value")

# Of the room, at least, what is the journal's.
LEAST_JOURNAL_BYTES: Final = 384 * 1024
# What one statement about a span may change of what was there, at most, with the longest info that
# a span can have.
STATEMENT_PAGES: Final = 40
MOST_STATEMENTS: Final = 64


class NoRoom(Exception):
    """There is not even room for this when all else is gone; the text says how much there is."""


class JournalFull(Exception):
    """The transaction changes more than its journal has room for."""


class FileBudget:
    """The limits of a store.

    max_pages: the most that its database may have. batch_statements: how many statements about a
    span there may be until somebody looks.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """limit_bytes: for all files of this store. Raises NoRoom if that is not enough for
        anything."""
        journal_bytes = max(limit_bytes // 8, LEAST_JOURNAL_BYTES)
        self.max_pages = (limit_bytes - journal_bytes) // PAGE_BYTES
        if self.max_pages < STATEMENT_PAGES:
            raise NoRoom(f"{path}: {limit_bytes} bytes are not enough for any trace")
        # The other half is for the statements between two looks.
        self._journal_bytes = journal_bytes // 2
        statements = self._journal_bytes // (STATEMENT_PAGES * PAGE_BYTES)
        self.batch_statements = min(max(statements, 1), MOST_STATEMENTS)
        self._journal = path.with_name(f"{path.name}-journal")

    def is_journal_full(self) -> bool:
        """Whether the transaction has to end now."""
        try:
            return self._journal.stat().st_size > self._journal_bytes
        except FileNotFoundError:
            return False

    def execute_many(
        self, db: sqlite3.Connection, statement: str, values: Sequence[Sequence[Any]]
    ) -> None:
        """Does it for all of these, and looks meanwhile. Raises JournalFull."""
        for batch in batches(values, self.batch_statements):
            db.executemany(statement, batch)
            if self.is_journal_full():
                raise JournalFull

    def limit(self, db: sqlite3.Connection) -> None:
        """From now on this connection makes no larger file than this; or, while it is larger, no
        larger one than it is."""
        db.execute(f"PRAGMA max_page_count = {self.max_pages}").fetchone()


def batches(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """All of them in their order, so many at a time."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


def count_pages(db: sqlite3.Connection) -> tuple[int, int]:
    """How many the database has, and how many of them are free."""
    (n,) = db.execute("PRAGMA page_count").fetchone()
    (n_free,) = db.execute("PRAGMA freelist_count").fetchone()
    return n, n_free
