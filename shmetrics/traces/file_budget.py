# SPDX-License-Identifier: Apache-2.0
"""The budget of a trace store's files: the bytes of the database, and of a transaction's journal.

SQLite itself limits the database, in pages. The journal grows while a transaction changes what was
there before. So a transaction checks the journal after every few statements, and ends before it is
too large.
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

# The least room for the journal.
LEAST_JOURNAL_BYTES: Final = 384 * 1024
# The most pages that one statement about a span may change, with the longest info allowed.
STATEMENT_PAGES: Final = 40
MOST_STATEMENTS: Final = 64


class NoRoom(Exception):
    """An error: there would be no room even if all else were gone. The text has the limit."""


class JournalFull(Exception):
    """An error: the transaction changes more than its journal has room for."""


class FileBudget:
    """The limits of a trace store's files.

    Attributes:
        max_pages: the most pages that the database may have.
        batch_statements: the most statements about a span between two checks of the journal.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Divide the room between database and journal.

        Args:
            path: the trace store's file.
            limit_bytes: the most bytes of all its files together.

        Raises:
            NoRoom: that is not enough for anything.
        """
        journal_bytes = max(limit_bytes // 8, LEAST_JOURNAL_BYTES)
        self.max_pages = (limit_bytes - journal_bytes) // PAGE_BYTES
        if self.max_pages < STATEMENT_PAGES:
            raise NoRoom(f"{path}: {limit_bytes} bytes are not enough for any trace")
        # The other half is for the statements between two checks.
        self._journal_bytes = journal_bytes // 2
        statements = self._journal_bytes // (STATEMENT_PAGES * PAGE_BYTES)
        self.batch_statements = min(max(statements, 1), MOST_STATEMENTS)
        self._journal = path.with_name(f"{path.name}-journal")

    def is_journal_full(self) -> bool:
        """Return whether the transaction has to end now."""
        try:
            return self._journal.stat().st_size > self._journal_bytes
        except FileNotFoundError:
            return False

    def execute_many(
        self, db: sqlite3.Connection, statement: str, values: Sequence[Sequence[Any]]
    ) -> None:
        """Execute a statement for many values, and check the journal meanwhile.

        Raises:
            JournalFull: the transaction has to end.
            sqlite3.Error: the statement fails.
        """
        for batch in batches(values, self.batch_statements):
            db.executemany(statement, batch)
            if self.is_journal_full():
                raise JournalFull

    def limit(self, db: sqlite3.Connection) -> None:
        """Limit the pages of the database for this connection.

        While the database is larger than the limit, it can still not grow.
        """
        db.execute(f"PRAGMA max_page_count = {self.max_pages}").fetchone()


def batches(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Yield the values in their order, as lists of this size; the last one may be shorter."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


def count_pages(db: sqlite3.Connection) -> tuple[int, int]:
    """Return how many pages the database has, and how many of them are free."""
    (n,) = db.execute("PRAGMA page_count").fetchone()
    (n_free,) = db.execute("PRAGMA freelist_count").fetchone()
    return n, n_free
