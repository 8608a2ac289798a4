# SPDX-License-Identifier: Apache-2.0
"""SQLAlchemy: statements and transactions of every engine, made before or after enable().

A statement is what goes to the database at once, as SQLAlchemy's events of a cursor tell it. A
transaction begins with its event; it ends when its `commit`, `rollback` or `close` returns, since
the events of those come before the database is asked, and a commit may take longer than all else.
One that is never ended, because its connection is forgotten, ends with that. Savepoints are
statements.

It works from SQLAlchemy 1.4 on, and for its asyncio engines, which send the same events.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from shmetrics.hooks.tracing.operations import Operation, Operations, harmless
from shmetrics.hooks.tracing.patch import Patch
from shmetrics.hooks.tracing.switch import Switch

__all__ = ["disable", "enable"]

SOURCE: Final = "sqlalchemy"

#: The first words that are told apart.
_WORDS: Final = """
ALTER ANALYZE BEGIN CALL COMMIT COPY CREATE DELETE DESCRIBE DROP EXEC EXECUTE EXPLAIN GRANT INSERT
LOCK MERGE PRAGMA PREPARE RELEASE REPLACE REVOKE ROLLBACK SAVEPOINT SELECT SET SHOW TRUNCATE UPDATE
USE VACUUM VALUES WITH XA
"""
WORDS: Final = frozenset(_WORDS.split())
# Behind spaces, parentheses and comments. A comment can be read in one way only, for speed.
_FIRST_WORD: Final = re.compile(r"(?:[\s(;]|--[^\n]*\n|/\*[^*]*(?:\*(?!/)[^*]*)*\*/)*([A-Za-z]+)")

# Where an operation under way is kept: on the context of its statement, or on its connection.
_STATEMENT: Final = "_shmetrics_statement"
_TRANSACTION: Final = "_shmetrics_transaction"


def enable(statements: bool, transactions: bool, parameters: bool) -> None:
    """Statements, transactions, or both, from now on; parameters: spans say those of statements,
    and the messages of errors. What was enabled before is so no more. Raises what makes it
    impossible, such as ImportError."""
    disable()
    if statements or transactions:
        _switch.on(statements, transactions, parameters)


def disable() -> None:
    """No more of it; a transaction that is open now ends when its connection is forgotten. Never
    raises."""
    _switch.off()


def operation_of(statement: str) -> str:
    """The first word of a statement in capitals; `other` if it is not known."""
    if statement[:7] in _PLAIN:
        return statement[:6]
    found = _FIRST_WORD.match(statement)
    word = found[1].upper() if found else ""
    return word if word in WORDS else "other"


# How SQLAlchemy writes those that it makes itself.
_PLAIN: Final = frozenset(("SELECT ", "INSERT ", "UPDATE ", "DELETE "))


class _Instrumentation:
    """What is in force."""

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
        """As it was before."""
        for undo in reversed(self._undo):
            harmless(SOURCE)(undo)()

    def _listen(self, target: Any, name: str, listener: Callable[..., None]) -> None:
        from sqlalchemy import event

        listener = harmless(SOURCE)(listener)
        event.listen(target, name, listener)
        self._undo.append(lambda: event.remove(target, name, listener))

    def _silence_osprofiler(self) -> None:
        """OSProfiler's own listeners make a second span of each statement, with its parameters.
        Those that engines have say nothing any more; and engines to which a service adds them from
        now on do not get them, which has them as they were once this is over."""
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
        """An error of anything: of a statement under way, of what follows it, of a connection."""
        context = failure.execution_context
        operation = _taken(failure.connection if context is None else context, _STATEMENT)
        if operation is not None:
            operation.end(failure.original_exception)

    def _info(self, statement: str, parameters: Any) -> dict[str, Any]:
        said = {"statement": statement}
        return {"db": said | {"params": parameters} if self._parameters else said}

    # ---- transactions -----------------------------------------------------------------------

    def _begin(self, conn: Any, xid: object = None) -> None:
        labels = (conn.dialect.name, conn.engine.url.database)
        setattr(conn, _TRANSACTION, Operation(self._transactions, labels, dict))

    def _ending(self, outcome: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Around the methods of a transaction that end it."""
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
    """The operation that a transaction is, if it still is one: the connection may have another."""
    conn = transaction.connection
    return getattr(conn, _TRANSACTION, None) if conn.get_transaction() is transaction else None


def _taken(holder: Any, name: str) -> Operation | None:
    operation: Operation | None = getattr(holder, name, None)
    if operation is not None:
        setattr(holder, name, None)
    return operation


_switch: Final = Switch(_Instrumentation)
