# SPDX-License-Identifier: Apache-2.0
"""The hook of SQLAlchemy: statements and transactions of every engine, old or new.

A statement is what SQLAlchemy sends to the database at once, by the events of its cursors. A
transaction begins with its event. It ends when its `commit`, `rollback` or `close` returns: the
events of these come before the database is asked, and a commit may take longer than all else. If a
connection is dropped with an open transaction, the transaction ends with it. Savepoints are
statements.

The hook works with SQLAlchemy 1.4 and later, and with its asyncio engines, which send the same
events.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from shmetrics.hooks.sql_text import without_values
from shmetrics.hooks.tracing.operations import Operation, Operations, harmless
from shmetrics.hooks.tracing.patch import Patch
from shmetrics.hooks.tracing.switch import Switch

__all__ = ["disable", "enable"]

SOURCE: Final = "sqlalchemy"

#: The first words of statements that have a label value of their own.
_WORDS: Final = """
ALTER ANALYZE BEGIN CALL COMMIT COPY CREATE DELETE DESCRIBE DROP EXEC EXECUTE EXPLAIN GRANT INSERT
LOCK MERGE PRAGMA PREPARE RELEASE REPLACE REVOKE ROLLBACK SAVEPOINT SELECT SET SHOW TRUNCATE UPDATE
USE VACUUM VALUES WITH XA
"""
WORDS: Final = frozenset(_WORDS.split())
# After spaces, parentheses and comments. The pattern matches a comment in one way only, so that it
# cannot backtrack.
_FIRST_WORD: Final = re.compile(r"(?:[\s(;]|--[^\n]*\n|/\*[^*]*(?:\*(?!/)[^*]*)*\*/)*([A-Za-z]+)")

# Attributes that hold the operation under way, on the context of a statement or on a connection.
_STATEMENT: Final = "_shmetrics_statement"
_TRANSACTION: Final = "_shmetrics_transaction"


def enable(statements: bool, transactions: bool, parameters: bool) -> None:
    """Measure and trace statements, transactions, or both, instead of what was enabled before.

    Args:
        statements: measure and trace statements.
        transactions: measure and trace transactions.
        parameters: put the values of statements, be they parameters or in their text, and the
            messages of errors into spans.

    Raises:
        Exception: whatever makes it impossible, such as ImportError.
    """
    disable()
    if statements or transactions:
        _switch.on(statements, transactions, parameters)


def disable() -> None:
    """Stop measuring and tracing. Never raises.

    A transaction that is open now ends for the figures when its connection is dropped.
    """
    _switch.off()


def operation_of(statement: str) -> str:
    """Return the first word of a statement in capitals, or `other` if it is not known."""
    if statement[:7] in _PLAIN:
        return statement[:6]
    found = _FIRST_WORD.match(statement)
    word = found[1].upper() if found else ""
    return word if word in WORDS else "other"


# The beginnings of the statements that SQLAlchemy itself makes, for a fast look-up.
_PLAIN: Final = frozenset(("SELECT ", "INSERT ", "UPDATE ", "DELETE "))


class _Instrumentation:
    """The listeners and patches that are in force."""

    def __init__(self, statements: bool, transactions: bool, parameters: bool) -> None:
        from sqlalchemy.engine import Engine, RootTransaction

        self._parameters = parameters
        self._undo: list[Callable[[], None]] = []
        labels = ("operation", "system", "database")
        self._statements = Operations(SOURCE, "Statements of SQLAlchemy", labels, "db", parameters)
        self._transactions = Operations(
            "sqlalchemy_transaction",
            "Transactions of SQLAlchemy",
            labels[1:],
            "db.transaction",
            parameters,
        )
        if statements:
            self._silence_osprofiler()
            self._listen(Engine, "before_cursor_execute", self._before)
            self._listen(Engine, "after_cursor_execute", self._after)
            self._listen(Engine, "handle_error", self._failed)
        if transactions:
            self._listen(Engine, "begin", self._begin)
            self._listen(Engine, "begin_twophase", self._begin)
            for name, outcome in (
                ("commit", "commit"),
                ("rollback", "rollback"),
                ("close", "rollback"),
            ):
                patch = Patch(RootTransaction, name, self._ending(outcome))
                self._undo.append(patch.undo)

    def undo(self) -> None:
        """Remove the listeners and patches."""
        for undo in reversed(self._undo):
            harmless(SOURCE)(undo)()

    def _listen(self, target: Any, name: str, listener: Callable[..., None]) -> None:
        from sqlalchemy import event

        listener = harmless(SOURCE)(listener)
        event.listen(target, name, listener)
        self._undo.append(lambda: event.remove(target, name, listener))

    def _silence_osprofiler(self) -> None:
        """Silence OSProfiler's listeners, which make a second span of each statement.

        Their spans contain the parameters. Listeners that engines have already become silent, and
        new ones are not added. undo() restores both.
        """
        try:
            from osprofiler import sqlalchemy as theirs

            from shmetrics.hooks.tracing.profiler_patch import ProfilerPatch, SilentProfiler
        except ImportError:
            return
        self._undo.append(ProfilerPatch(theirs, SilentProfiler()).undo)
        if not theirs._DISABLED:
            theirs.disable()
            self._undo.append(theirs.enable)

    # ---- statements -------------------------------------------------------------------------

    def _before(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        operation = Operation(
            self._statements,
            (operation_of(statement), conn.dialect.name, conn.engine.url.database),
            self._info,
            statement,
            parameters,
            conn.dialect.name,
            within=getattr(conn, _TRANSACTION, None),
        )
        setattr(conn if context is None else context, _STATEMENT, operation)

    def _after(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        operation = _taken(conn if context is None else context, _STATEMENT)
        if operation is not None:
            operation.end()

    def _failed(self, failure: Any) -> None:
        """End the statement of an error.

        SQLAlchemy reports all errors here: those of a statement, of what follows it, and of a
        connection.
        """
        context = failure.execution_context
        operation = _taken(failure.connection if context is None else context, _STATEMENT)
        if operation is not None:
            operation.end(failure.original_exception)

    def _info(self, statement: str, parameters: Any, system: str) -> dict[str, Any]:
        if self._parameters:
            return {"db": {"statement": statement, "params": parameters}}
        return {"db": {"statement": without_values(statement, system)}}

    # ---- transactions -----------------------------------------------------------------------

    def _begin(self, conn: Any, xid: object = None) -> None:
        labels = (conn.dialect.name, conn.engine.url.database)
        setattr(conn, _TRANSACTION, Operation(self._transactions, labels, dict))

    def _ending(self, outcome: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator for a method of a transaction that ends it with this outcome."""
        info = {"db": {"outcome": outcome}}

        def around(method: Callable[..., Any]) -> Callable[..., Any]:
            def ending(transaction: Any, *args: Any, **kwargs: Any) -> Any:
                operation = _of(transaction)  # until it has ended: XA COMMIT is a statement in it
                if operation is None:
                    return method(transaction, *args, **kwargs)
                try:
                    result = method(transaction, *args, **kwargs)
                except BaseException as error:
                    operation.end(error, info)
                    raise
                operation.end(info=info)
                return result

            return ending

        return around


@harmless(SOURCE)
def _of(transaction: Any) -> Operation | None:
    """Return the operation of a transaction, or None if its connection is in another by now."""
    conn = transaction.connection
    return getattr(conn, _TRANSACTION, None) if conn.get_transaction() is transaction else None


def _taken(holder: Any, name: str) -> Operation | None:
    operation: Operation | None = getattr(holder, name, None)
    if operation is not None:
        setattr(holder, name, None)
    return operation


_switch: Final = Switch(_Instrumentation)
