# SPDX-License-Identifier: Apache-2.0
"""SQLAlchemy: statements and transactions as spans and as calls, on SQLite."""

from __future__ import annotations

import asyncio
import gc
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from osprofiler import notifier, profiler
from osprofiler import sqlalchemy as osprofilers
from osprofiler.drivers.base import get_driver
from sqlalchemy.engine import Engine, RootTransaction
from sqlalchemy.ext.asyncio import create_async_engine

from shmetrics.hooks import sqlalchemy
from tests.hooks.osprofiler.conftest import shm
from tests.nodes.node import Node, node

from .heard import KEY, Heard, bytes_of, compiled, counted, heard, kept, stack

__all__ = ["compiled", "heard", "node", "shm"]

SECRET = "a-very-secret-value"
BEFORE = dict(vars(RootTransaction))  # whatever other tests do


@pytest.fixture(autouse=True)
def disabled() -> Iterator[None]:
    yield
    sqlalchemy.disable()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Yield a database with a table `t` of one column, made while nothing is enabled."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.begin() as conn:
        conn.execute(sa.text("CREATE TABLE t (a INTEGER UNIQUE)"))
    yield engine
    engine.dispose()


SELECT = sa.text("SELECT a FROM t")
INSERT = sa.text("INSERT INTO t VALUES (:a)")


def test_it_is_off_until_it_is_enabled(node: Node) -> None:
    node.start()
    node.run(
        """
        import shmetrics.hooks
        shmetrics.Counter("there", "The process records").inc()
        assert "sqlalchemy" not in sys.modules
        import sqlalchemy, osprofiler.profiler, osprofiler.notifier
        from shmetrics.hooks import sqlalchemy as ours
        said = []
        osprofiler.notifier.set(said.append)
        osprofiler.profiler.init("key")
        engine = sqlalchemy.create_engine("sqlite://")
        with engine.begin() as conn:
            conn.execute(sqlalchemy.text("SELECT 1"))
        engine.dispose()
        assert not said and not sqlalchemy.engine.Engine._has_events
        """
    )
    assert not node.samples().names("sqlalchemy")


def test_statements_are_spans_and_calls(shm: Node, engine: sa.Engine, compiled: bool) -> None:
    notifier.set(get_driver("shm://", service="nova").notify)
    sqlalchemy.enable(True, True, False)
    trace: Any = profiler.init(KEY)
    with profiler.Trace("wsgi"), engine.begin() as conn:
        conn.execute(INSERT, {"a": 7})
        assert conn.execute(SELECT).scalar() == 7
    found = kept(shm, trace.get_base_id())
    by_id = {span["trace_id"]: span for span in found}
    assert [span["name"] for span in found] == ["wsgi", "db.transaction", "db", "db"]
    wsgi, transaction, insert, select = found
    assert by_id[transaction["parent_id"]] is wsgi
    assert by_id[insert["parent_id"]] is by_id[select["parent_id"]] is transaction
    assert insert["start_info"]["db"] == {"statement": "INSERT INTO t VALUES (?)"}
    assert transaction["stop_info"]["db"] == {"outcome": "commit"}
    ends = counted(shm, "sqlalchemy_invocation_end_total", "operation", "system", "database")
    database = engine.url.database
    assert ends == {("INSERT", "sqlite", database): 1, ("SELECT", "sqlite", database): 1}
    seconds = counted(shm, "sqlalchemy_transaction_processing_seconds_count", "system")
    assert seconds == {("sqlite",): 1}
    exemplars = shm.get("/metrics", "application/openmetrics-text; version=1.0.0").decode()
    # The compiled profiler tells each call where it begins, the other one is told by the span.
    span_id = (wsgi if compiled else insert)["trace_id"].replace("-", "")[16:]
    assert f'span_id="{span_id}"' in exemplars


def test_calls_need_no_trace(shm: Node, engine: sa.Engine) -> None:
    sqlalchemy.enable(True, True, False)
    with engine.connect() as conn:
        conn.execute(SELECT)
        with pytest.raises(sa.exc.OperationalError):
            conn.execute(sa.text("SELECT nothing FROM nowhere"))
    assert counted(shm, "sqlalchemy_invocation_end_total", "operation") == {("SELECT",): 2}
    thrown = counted(shm, "sqlalchemy_exception_total", "operation", "exception")
    assert thrown == {("SELECT", "OperationalError"): 1}
    assert counted(shm, "sqlalchemy_transaction_invocation_end_total", "system") == {("sqlite",): 1}
    assert not shm.samples().counted("osprofiler_source_failures_total")


def test_calls_need_no_osprofiler(node: Node) -> None:
    node.start()
    node.run(
        """
        sys.modules["osprofiler"] = None  # as where it is not installed
        import sqlalchemy
        from shmetrics.hooks import sqlalchemy as ours
        ours.enable(True, True, False)
        engine = sqlalchemy.create_engine("sqlite://")
        with engine.begin() as conn:
            conn.execute(sqlalchemy.text("SELECT 1"))
        engine.dispose()
        """
    )
    assert counted(node, "sqlalchemy_invocation_end_total", "operation") == {("SELECT",): 1}


@pytest.mark.parametrize("asked", [False, True])
def test_values_are_kept_only_if_asked_for(shm: Node, engine: sa.Engine, asked: bool) -> None:
    notifier.set(get_driver("shm://").notify)
    sqlalchemy.enable(True, True, asked)
    trace: Any = profiler.init(KEY)

    def fails(*_: object) -> None:
        raise sqlite3.IntegrityError(f"Duplicate entry '{SECRET}'")

    with profiler.Trace("wsgi"), engine.connect() as conn:
        conn.execute(INSERT, {"a": SECRET})
        sa.event.listen(engine, "do_execute", fails)
        with pytest.raises(sa.exc.IntegrityError):
            conn.execute(INSERT, {"a": SECRET})
    shm.samples()
    *_, failed = kept(shm, trace.get_base_id())
    assert failed["stop_info"]["etype"] == "sqlite3.IntegrityError"
    assert (SECRET.encode() in bytes_of(shm)) is asked


# ---- errors -------------------------------------------------------------------------------------


def test_an_error_is_of_the_statement_that_had_it(heard: Heard, engine: sa.Engine) -> None:
    sqlalchemy.enable(True, False, True)
    with engine.connect() as conn:
        with pytest.raises(sa.exc.OperationalError):
            conn.execute(sa.text("SELECT b FROM t"))
        conn.execute(SELECT)
    failed, good = heard.spans()
    assert failed.error == "sqlite3.OperationalError"
    assert (failed.stop_info or {})["message"] == "no such column: b"
    assert good.error is None


def test_what_a_listener_of_the_service_s_raises_ends_the_statement(
    heard: Heard, engine: sa.Engine
) -> None:
    sqlalchemy.enable(True, False, False)

    def refuse(*_: object) -> None:
        raise PermissionError

    sa.event.listen(engine, "before_cursor_execute", refuse)
    before = stack()
    with engine.connect() as conn, pytest.raises(PermissionError):
        conn.execute(SELECT)
    (span,) = heard.spans()
    assert span.stop_info is not None
    assert stack() == before


def test_a_statement_within_another_one_is_told_apart(heard: Heard, engine: sa.Engine) -> None:
    sqlalchemy.enable(True, False, False)

    def first(conn: Any, cursor: Any, statement: str, *_: object) -> None:
        if "INSERT" in statement:
            conn.execute(SELECT)

    sa.event.listen(engine, "before_cursor_execute", first)
    with engine.connect() as conn:
        conn.execute(INSERT, {"a": 1})
    assert heard.names() == ["db-start", "db-start", "db-stop", "db-stop"]
    assert heard[-1]["trace_id"] == heard[0]["trace_id"]


def test_our_own_errors_stay_here(shm: Node, engine: sa.Engine) -> None:
    def notify(info: dict[str, Any]) -> None:
        raise ConnectionError("no storage")

    notifier.set(notify)
    profiler.init(KEY)
    sqlalchemy.enable(True, True, False)
    with engine.begin() as conn:
        assert conn.execute(SELECT).all() == []
    failures = counted(shm, "osprofiler_source_failures_total", "source", "cause")
    assert failures == {
        ("sqlalchemy", "ConnectionError"): 1,
        ("sqlalchemy_transaction", "ConnectionError"): 1,
    }
    assert counted(shm, "sqlalchemy_invocation_end_total", "operation") == {("SELECT",): 1}


def test_a_connection_on_which_nothing_can_be_kept_works(
    shm: Node, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TypeError

    sqlalchemy.enable(True, True, False)
    monkeypatch.setattr("shmetrics.hooks.sqlalchemy._taken", refuse)
    monkeypatch.setattr("shmetrics.hooks.sqlalchemy.operation_of", refuse)
    monkeypatch.setattr(sa.Connection, "get_transaction", refuse)
    with engine.begin() as conn:
        assert conn.execute(SELECT).all() == []
    failures = counted(shm, "osprofiler_source_failures_total", "source", "cause")
    assert failures == {("sqlalchemy", "TypeError"): 3}  # before, after, and at the commit


# ---- transactions -------------------------------------------------------------------------------


def test_a_transaction_ends_when_the_database_has_committed(
    heard: Heard, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlalchemy.enable(False, True, False)
    commit = engine.dialect.do_commit
    before: list[str] = []

    def slow(connection: Any) -> None:
        before.extend(heard.names())
        commit(connection)

    monkeypatch.setattr(engine.dialect, "do_commit", slow)
    with engine.begin():
        pass
    assert before == ["db.transaction-start"]
    assert heard.names() == ["db.transaction-start", "db.transaction-stop"]


def test_an_open_transaction_is_in_flight(shm: Node, engine: sa.Engine) -> None:
    sqlalchemy.enable(False, True, False)
    with engine.begin():
        open_now = counted(shm, "shmetrics_rpc_in_flight", "side")
    assert open_now == {("transaction",): 1}
    assert not counted(shm, "shmetrics_rpc_in_flight", "side")


def test_how_a_transaction_ended(heard: Heard, engine: sa.Engine) -> None:
    sqlalchemy.enable(False, True, False)
    with engine.connect() as conn:
        conn.execute(SELECT)
        conn.commit()
        conn.execute(SELECT)
        conn.rollback()
        conn.execute(SELECT)  # and the connection goes back to its pool
    with pytest.raises(ZeroDivisionError), engine.begin():
        raise ZeroDivisionError
    outcomes = [(span.stop_info or {})["db"]["outcome"] for span in heard.spans()]
    assert outcomes == ["commit", "rollback", "rollback", "rollback"]
    assert not any(span.error for span in heard.spans())


def test_a_commit_that_fails_is_an_error(
    heard: Heard, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlalchemy.enable(False, True, False)

    def fail(_: Any) -> None:
        raise sqlite3.OperationalError("disk is full")

    monkeypatch.setattr(engine.dialect, "do_commit", fail)
    with pytest.raises(sa.exc.OperationalError), engine.begin():
        pass
    (span,) = heard.spans()
    assert span.error == "sqlalchemy.exc.OperationalError"


def test_an_old_transaction_does_not_end_a_new_one(heard: Heard, engine: sa.Engine) -> None:
    sqlalchemy.enable(False, True, False)
    with engine.connect() as conn:
        old = conn.begin()
        old.rollback()
        conn.begin()
        old.close()
        first, second = heard.spans()
        assert first.stop_info is not None
        assert second.stop_info is None


def test_a_transaction_that_is_forgotten_ends_with_its_connection(
    heard: Heard, engine: sa.Engine
) -> None:
    sqlalchemy.enable(False, True, False)
    conn: Any = engine.connect()
    conn.begin()
    assert heard.names() == ["db.transaction-start"]
    del conn
    gc.collect()
    assert heard.names() == ["db.transaction-start", "db.transaction-stop"]


def test_a_savepoint_is_a_statement_of_its_transaction(heard: Heard, engine: sa.Engine) -> None:
    sqlalchemy.enable(True, True, False)
    with engine.begin() as conn, conn.begin_nested():
        pass
    transaction, savepoint, release = heard.spans()
    assert savepoint.start_info["db"]["statement"].startswith("SAVEPOINT")
    assert release.start_info["db"]["statement"].startswith("RELEASE")
    assert savepoint.parent == release.parent == transaction.id


def test_what_a_commit_in_two_phases_says_is_a_statement_of_its_transaction(
    heard: Heard, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check a commit as MySQL's dialect does it: XA COMMIT was shown beside its transaction.
    No later statement is in it."""

    def saying(statement: str) -> Any:
        return lambda conn, *_, **__: conn.exec_driver_sql(statement)

    for name in ("do_begin_twophase", "do_prepare_twophase", "do_commit_twophase"):
        monkeypatch.setattr(engine.dialect, name, saying(f"SELECT '{name}'"))
    sqlalchemy.enable(True, True, False)
    with engine.connect() as conn:
        transaction = conn.begin_twophase()
        transaction.prepare()
        transaction.commit()
        sqlalchemy.enable(True, False, False)
        conn.execute(SELECT)
    (outer,) = heard.spans("db.transaction")
    *within, after = heard.spans("db")
    assert [span.parent for span in within] == [outer.id] * 3
    assert after.parent == outer.parent


def test_a_transaction_outlives_the_span_around_it(heard: Heard, engine: sa.Engine) -> None:
    sqlalchemy.enable(True, True, False)
    before = stack()
    with engine.connect() as conn:
        with profiler.Trace("rpc"):
            conn.execute(SELECT)
        with profiler.Trace("rpc"):
            conn.execute(SELECT)
            assert len(stack()) == len(before) + 1
        conn.execute(SELECT)
    assert stack() == before
    first, transaction, within, second, later, last = heard.spans()
    assert (transaction.parent, within.parent) == (first.id, transaction.id)
    assert later.parent == second.id  # a span has begun in between: it is below that
    assert last.parent == before[-1]


def test_a_child_says_nothing_of_its_parent_s_transaction(node: Node, compiled: bool) -> None:
    said = node.run(
        f"""
        import warnings
        import sqlalchemy
        from osprofiler import notifier, profiler
        from shmetrics import osprofiler
        from shmetrics.hooks import sqlalchemy as ours
        warnings.simplefilter("ignore")  # eventlet, which OSProfiler imports, warns of forks
        if {compiled}:
            osprofiler.install()
        heard = []
        notifier.set(heard.append)
        profiler.init("key")
        ours.enable(True, True, False)
        conn = sqlalchemy.create_engine("sqlite://").connect()
        transaction = conn.begin()
        child = os.fork()
        transaction.rollback()
        os.write(1, (" ".join(each["name"] for each in heard) + os.linesep).encode())
        if child:
            os.waitpid(child, 0)
        os._exit(0)
        """
    )
    assert sorted(said.splitlines()) == [
        "db.transaction-start",
        "db.transaction-start db.transaction-stop",
    ]


# ---- on and off ---------------------------------------------------------------------------------


def test_disable_leaves_nothing(heard: Heard, engine: sa.Engine) -> None:
    sqlalchemy.enable(True, True, True)
    assert dict(vars(RootTransaction)) != BEFORE
    sqlalchemy.enable(True, True, True)
    with engine.connect() as conn:
        conn.execute(SELECT)
        sqlalchemy.disable()
        n_heard = len(heard)
        conn.execute(SELECT)
    sqlalchemy.disable()
    assert dict(vars(RootTransaction)) == BEFORE
    assert not osprofilers._DISABLED
    for name in ("before_cursor_execute", "after_cursor_execute", "begin", "begin_twophase"):
        assert not [*getattr(Engine.dispatch, name)._clslevel[Engine]]
    assert not heard[n_heard:]
    del conn
    gc.collect()
    assert [each["name"] for each in heard[n_heard:]] == ["db.transaction-stop"]


@pytest.mark.parametrize(
    ("statements", "transactions", "names"),
    [
        (True, False, ["db"]),
        (False, True, ["db.transaction"]),
        (True, True, ["db.transaction", "db"]),
        (False, False, []),
    ],
)
def test_each_is_switched_alone(
    heard: Heard, engine: sa.Engine, statements: bool, transactions: bool, names: list[str]
) -> None:
    sqlalchemy.enable(statements, transactions, False)
    with engine.execution_options(anything=1).connect() as conn:
        conn.execute(SELECT)
    assert [span.name for span in heard.spans()] == names


def test_osprofiler_s_own_listeners_do_not_double_it(heard: Heard, engine: sa.Engine) -> None:
    sqlalchemy.enable(True, False, False)
    osprofilers.add_tracing(sa, engine, "db")
    with engine.connect() as conn:
        conn.execute(INSERT, {"a": SECRET})
    assert len(heard.spans()) == 1
    assert SECRET not in str(heard)
    sqlalchemy.disable()
    osprofilers.add_tracing(sa, engine, "db")
    with engine.connect() as conn:
        conn.execute(SELECT)
    assert len(heard.spans()) == 2


# ---- in any order -------------------------------------------------------------------------------

ACTIONS = ("begin", "commit", "rollback", "execute", "fail", "close", "forget", "push", "pop")
STEPS = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2), st.integers(0, 1)), max_size=40
)


class Thread:
    """A thread with a trace of its own, and the stack that it has to have."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.do(profiler.init, KEY)
        self.wanted: list[str] = self.do(stack)

    def do(self, function: Any, *args: Any) -> Any:
        return self.pool.submit(function, *args).result()

    def push(self) -> None:
        self.do(profiler.start, "around")
        self.wanted = self.do(stack)

    def pop(self) -> None:
        if len(self.wanted) > 2:
            self.do(profiler.stop)
            self.wanted.pop()


def one_step(action: str, conns: list[Any], which: int, engine: sa.Engine) -> None:
    conn = conns[which]
    try:
        if action == "execute":
            conn.execute(SELECT)
        elif action == "fail":
            conn.execute(sa.text("SELECT b FROM t"))
        elif action == "close":
            conn.close()
            conns[which] = engine.connect()
        elif action == "forget":
            conns[which] = None
            del conn
            conns[which] = engine.connect()
        else:
            getattr(conn, action)()
    except sa.exc.SQLAlchemyError:
        pass  # a transaction is begun already, or a column is not there


@given(steps=STEPS)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_the_order_osprofiler_s_stack_is_as_it_was(compiled: bool, steps: Any) -> None:
    heard = Heard()
    notifier.set(heard.append)
    engine = sa.create_engine(
        "sqlite://", poolclass=sa.pool.NullPool, connect_args={"check_same_thread": False}
    )

    @sa.event.listens_for(engine, "connect")
    def table(connection: Any, _: object) -> None:
        connection.execute("CREATE TABLE t (a)")

    sqlalchemy.enable(True, True, False)
    threads = [Thread(), Thread()]
    conns: list[Any] = [engine.connect() for _ in range(3)]
    try:
        for action, which, number in steps:
            thread = threads[number]
            if action in ("push", "pop"):
                getattr(thread, action)()
            else:
                thread.do(one_step, action, conns, which, engine)
            assert [each.do(stack) for each in threads] == [each.wanted for each in threads]
        for thread in threads:
            while len(thread.wanted) > 2:
                thread.pop()
        for conn in conns:
            conn.close()
        gc.collect()  # a connection and its transaction know each other
        traces = {thread.wanted[0]: {thread.wanted[0]} for thread in threads}
        for span in heard.spans():  # which sees to it that a stop is of a start
            assert span.stop_info is not None
            assert span.parent in traces[span.base], "below a span of its own trace"
            traces[span.base].add(span.id)
    finally:
        sqlalchemy.disable()
        notifier.set(notifier._noop_notifier)
        gc.collect()
        for thread in threads:
            thread.pool.shutdown()
        engine.dispose()


def test_tasks_that_take_turns_in_one_thread(heard: Heard, tmp_path: Path) -> None:
    sqlalchemy.enable(True, True, False)
    before = stack()

    async def task(engine: Any, number: int) -> None:
        async with engine.begin() as conn:
            await conn.execute(sa.text(f"SELECT {number}"))
            await asyncio.sleep(0)
            await conn.execute(sa.text(f"SELECT {number}"))

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
        await asyncio.gather(*(task(engine, number) for number in range(5)))
        await engine.dispose()

    asyncio.run(main())
    assert stack() == before
    for transaction in heard.spans("db.transaction"):
        assert transaction.stop_info is not None
        below = [span for span in heard.spans("db") if span.parent == transaction.id]
        assert len(below) == 2
        assert len({span.start_info["db"]["statement"] for span in below}) == 1


# ---- words --------------------------------------------------------------------------------------


def first_word(statement: str) -> str:
    """Return the first word, the slow way: cut off comments, spaces and parentheses one by one."""
    while True:
        rest = statement.lstrip(" \t\r\n\f\v(;")
        if rest.startswith("--") and "\n" in rest:
            rest = rest.partition("\n")[2]
        elif rest.startswith("/*") and "*/" in rest[2:]:
            rest = rest[2:].partition("*/")[2]
        if rest == statement:
            break
        statement = rest
    found = re.match("[A-Za-z]+", statement)
    word = found[0].upper() if found else ""
    return word if word in sqlalchemy.WORDS else "other"


PARTS = st.sampled_from(
    [
        *("SELECT", "select ", "INSERT", "WITH", "nonsense ", "x", "1", " ", "\n", "(", ";"),
        *("-- x\n", "--", "/* SELECT */", "/*", "*/", "*"),
    ]
)


@given(statement=st.lists(PARTS, max_size=8).map("".join))
def test_the_operation_is_the_first_word(statement: str) -> None:
    assert sqlalchemy.operation_of(statement) == first_word(statement)


def test_no_statement_takes_long_to_be_named() -> None:
    assert sqlalchemy.operation_of("/**/" * 100_000 + "1") == "other"
    assert sqlalchemy.operation_of("/*" * 100_000) == "other"
