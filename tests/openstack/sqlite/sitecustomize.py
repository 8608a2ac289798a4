# SPDX-License-Identifier: Apache-2.0
"""Make SQLite behave as the servers for which OpenStack is written: imported as Python starts.

A transaction begins with its first write, and waits for its turn then. What it has only read is not
locked, and may change meanwhile, which servers call READ COMMITTED. SQLite by itself fails where a
transaction has read and then writes, if anybody else has written in between.
"""

import sqlite3
import sqlite3.dbapi2
from typing import Any

WAIT_SECONDS = 60
_connect = sqlite3.connect


class _Connection(sqlite3.Connection):
    wants_transaction = False

    def cursor(self, *arguments: Any) -> Any:
        return super().cursor(*(arguments or (_Cursor,)))

    def commit(self) -> None:
        self.wants_transaction = False
        super().commit()

    def rollback(self) -> None:
        self.wants_transaction = False
        super().rollback()


class _Cursor(sqlite3.Cursor):
    def execute(self, statement: str, *parameters: Any) -> Any:
        if statement == "BEGIN":
            self._of.wants_transaction = True
            return self
        self._begin(statement)
        return super().execute(statement, *parameters)

    def executemany(self, statement: str, *parameters: Any) -> Any:
        self._begin(statement)
        return super().executemany(statement, *parameters)

    def _begin(self, statement: str) -> None:
        reads = statement.lstrip().upper().startswith(("SELECT", "PRAGMA"))
        if self._of.wants_transaction and not reads:
            self._of.wants_transaction = False
            super().execute("BEGIN IMMEDIATE")

    @property
    def _of(self) -> _Connection:
        assert isinstance(self.connection, _Connection)
        return self.connection


def _patient_connect(*arguments: Any, **options: Any) -> Any:
    options = {"factory": _Connection, **options, "timeout": WAIT_SECONDS}
    connection = _connect(*arguments, **options)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


for module in (sqlite3, sqlite3.dbapi2):
    module.connect = _patient_connect  # type: ignore[attr-defined]
