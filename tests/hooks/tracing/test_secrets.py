# SPDX-License-Identifier: Apache-2.0
"""Promise: what may be secret is kept only where it is asked for, in whatever order a service, its
libraries, OSProfiler's own sources and ours are set up."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
import requests
import sqlalchemy as sa
import webob  # type: ignore[import-untyped]
from osprofiler import notifier, profiler, web
from osprofiler import requests as their_requests
from osprofiler import sqlalchemy as their_sqlalchemy
from pymongo import monitoring
from requests.adapters import BaseAdapter, HTTPAdapter
from sqlalchemy.orm import Session

import shmetrics.osprofiler
from shmetrics.hooks import mongodb, wsgi
from shmetrics.hooks.tracing import switches
from tests.hooks.osprofiler.conftest import leave_as_found

from .conftest import KEY, TRACED, Configured, configured, new_id, signed
from .heard import Heard

__all__ = ["configured"]

SECRET = "a-very-secret-value"

Step: TypeAlias = Callable[[], None]


@pytest.fixture
def heard(configured: Configured) -> Iterator[Heard]:
    """Return the payloads of all profilers. No trace is active."""
    heard = Heard()
    notifier.set(heard.append)
    yield heard
    switches.teardown()
    leave_as_found()


def orders(steps: str, *earlier: tuple[str, str]) -> list[tuple[str, ...]]:
    """Return all orders of these steps in which of each pair the first is the earlier one."""
    return [
        order
        for order in itertools.permutations(steps.split())
        if all(order.index(first) < order.index(second) for first, second in earlier)
    ]


# ---- SQLAlchemy ---------------------------------------------------------------------------------


class Database:
    """A service with an engine that OSProfiler traces, or that it would trace."""

    def __init__(self, configured: Configured, asked: bool) -> None:
        self._conf = configured(**TRACED, trace_sqlalchemy=True, trace_sql_parameters=asked)

    def setup(self) -> None:
        switches.setup(self._conf)

    def install(self) -> None:
        assert shmetrics.osprofiler.install()

    def engine(self) -> None:
        self.engine_ = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)

    def traced(self) -> None:
        their_sqlalchemy.add_tracing(sa, self.engine_, "db")

    def wrapped(self) -> None:
        """Use a session whose engine OSProfiler traces."""
        with their_sqlalchemy.wrap_session(sa, Session(self.engine_)):
            pass

    def enabled(self) -> None:
        their_sqlalchemy.enable()

    def disabled(self) -> None:
        their_sqlalchemy.disable()

    def work(self) -> None:
        profiler.init(KEY)
        with self.engine_.connect() as conn:
            for _ in range(2):
                conn.execute(sa.text("SELECT :secret"), {"secret": SECRET}).all()
            conn.execute(sa.text(f"SELECT '{SECRET}'")).all()
            with contextlib.suppress(sa.exc.DBAPIError):
                conn.execute(sa.text("SELECT nothing, :secret"), {"secret": SECRET})

    def leave(self) -> None:
        profiler.clean()
        their_sqlalchemy.enable()
        self.engine_.dispose()


ENGINE_FIRST = (("engine", "traced"), ("engine", "wrapped"))


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "order",
    [
        *orders("engine traced wrapped setup install", *ENGINE_FIRST),
        *orders("engine traced setup enabled", ("engine", "traced")),
        *orders("engine traced setup disabled", ("engine", "traced")),
    ],
    ids="-".join,
)
def test_parameters_of_statements(
    heard: Heard, configured: Configured, order: tuple[str, ...], asked: bool
) -> None:
    database = Database(configured, asked)
    for step in order:
        getattr(database, step)()
    try:
        database.work()
        assert heard.names() == ["db-start", "db-stop"] * 4
        assert (SECRET in str(heard)) is asked
        before = profiler.get()._trace_stack  # type: ignore[union-attr]
        assert len(before) == 2, "nothing was left open"
    finally:
        database.leave()


def test_osprofiler_s_listeners_say_what_they_did_once_ours_are_off(
    heard: Heard, configured: Configured
) -> None:
    database = Database(configured, False)
    for step in (database.engine, database.traced, database.setup, switches.teardown):
        step()
    notifier.set(heard.append)
    database.work()
    database.leave()
    assert SECRET in str(heard)
    assert vars(their_sqlalchemy)["profiler"] is profiler


# ---- requests -----------------------------------------------------------------------------------


class Answering(BaseAdapter):
    """An adapter in the place of a server: it answers, or raises an error that quotes all of the
    URL."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self._fails = fails

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if self._fails:
            raise requests.ConnectionError(f"nobody at {request.url}")
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url
        return response


class Client:
    """A service that sends requests, and whose requests others wrap as well."""

    def __init__(
        self, configured: Configured, asked: bool, patch: pytest.MonkeyPatch, fails: bool
    ) -> None:
        self._conf = configured(**TRACED, trace_requests=True, trace_arguments=asked)
        self._patch = patch
        answer = Answering(fails)

        def stock(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            return answer.send(request)

        patch.setattr(HTTPAdapter, "send", stock)
        patch.setattr(their_requests, "_FUNC", stock)

    def setup(self) -> None:
        switches.setup(self._conf)

    def install(self) -> None:
        assert shmetrics.osprofiler.install()

    def theirs(self) -> None:
        their_requests.enable()

    def another(self) -> None:
        """Wrap a function around the present one, as another library does."""
        inner = HTTPAdapter.send

        def around(*args: Any, **kwargs: Any) -> Any:
            return inner(*args, **kwargs)

        HTTPAdapter.send = around  # type: ignore[method-assign]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("order", orders("theirs another setup install"), ids="-".join)
def test_query_strings_of_requests(
    heard: Heard,
    configured: Configured,
    monkeypatch: pytest.MonkeyPatch,
    order: tuple[str, ...],
    asked: bool,
    fails: bool,
) -> None:
    client = Client(configured, asked, monkeypatch, fails)
    for step in order:
        getattr(client, step)()
    profiler.init(KEY)
    url = f"http://user:{SECRET}@server/path?token={SECRET}"
    with contextlib.suppress(requests.ConnectionError):
        requests.get(url, headers={"X-Auth-Token": SECRET}, timeout=20)
    assert heard.names() == ["http-start", "http-stop"]
    assert (SECRET in str(heard)) is asked


# ---- WSGI ---------------------------------------------------------------------------------------

PIPELINES = {
    "ours": ("ours",),
    "theirs": ("theirs",),
    "ours-theirs": ("ours", "theirs"),
    "theirs-ours": ("theirs", "ours"),
    "theirs-theirs": ("theirs", "theirs"),
    "ours-theirs-ours": ("ours", "theirs", "ours"),
}


@pytest.mark.parametrize("setup_first", [False, True])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_a_request_to_an_api_is_one_span_and_its_query_string(
    heard: Heard,
    configured: Configured,
    pipeline: tuple[str, ...],
    asked: bool,
    fails: bool,
    setup_first: bool,
) -> None:
    conf = configured(**TRACED, trace_wsgi=True, trace_arguments=asked)
    call = vars(web.WsgiMiddleware)["__call__"]

    def application(environ: Any, start_response: Any) -> Any:
        if fails:
            raise LookupError(f"nothing for {environ['QUERY_STRING']}")
        return webob.Response("body")(environ, start_response)

    if setup_first:
        switches.setup(conf)
    app: Any = application
    for filter_ in reversed(pipeline):
        ours = filter_ == "ours"
        app = wsgi.middleware(app, conf) if ours else web.WsgiMiddleware(app, KEY, enabled=True)
    switches.setup(conf)
    request = webob.Request.blank(f"/path?token={SECRET}")
    request.headers.update(signed(base_id=new_id(), parent_id=new_id()))
    request.headers["X-Auth-Token"] = SECRET
    with contextlib.suppress(LookupError):
        assert request.get_response(app).body == b"body"
    assert heard.names() == ["wsgi-start", "wsgi-stop"]
    assert any(span.error for span in heard.spans()) is fails
    assert (SECRET in str(heard)) is asked
    switches.teardown()
    assert vars(web.WsgiMiddleware)["__call__"] is call


# ---- classes ------------------------------------------------------------------------------------


class Vault:
    def open(self, key: str, *, again: str = "") -> str:
        if again:
            raise PermissionError(f"not with {key}")
        return key

    async def open_later(self, key: str) -> str:
        await asyncio.sleep(0)
        raise PermissionError(f"not with {key}")

    @staticmethod
    def shut(key: str) -> str:
        return key


class Unwritable:
    def __repr__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("order", orders("setup install"), ids="-".join)
def test_arguments_of_methods_and_what_their_errors_say(
    heard: Heard, configured: Configured, order: tuple[str, ...], asked: bool
) -> None:
    name = f"{__name__}:Vault"
    conf = configured(**TRACED, trace_classes=name, trace_arguments=asked)
    steps: dict[str, Callable[[], object]] = {
        "setup": lambda: switches.setup(conf),
        "install": shmetrics.osprofiler.install,
    }
    before = dict(vars(Vault))
    for step in order:
        steps[step]()
    profiler.init(KEY)
    vault = Vault()
    assert inspect.iscoroutinefunction(vault.open_later)
    assert vault.open(SECRET) == SECRET
    assert vault.shut(SECRET) == SECRET
    with pytest.raises(PermissionError):
        vault.open("", again=SECRET)
    with pytest.raises(PermissionError):
        asyncio.run(vault.open_later(SECRET))
    odd: Any = Unwritable()
    assert vault.open(odd) is odd
    errors = [span.error for span in heard.spans("Vault")]
    assert errors == [None, "PermissionError", "PermissionError", None]
    assert all(span.stop_info is not None for span in heard.spans())
    assert (SECRET in str(heard)) is asked
    switches.teardown()
    assert dict(vars(Vault)) == before


# ---- MongoDB ------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        {"find": "things", "filter": {"name": SECRET}},
        {"getMore": 7, "collection": "things", "comment": SECRET},
        {"dropUser": SECRET},
        {"ping": SECRET},
        {"eval": SECRET},
        {SECRET: 1},
    ],
    ids=str,
)
def test_values_in_commands_of_mongodb(heard: Heard, command: dict[str, Any], asked: bool) -> None:
    mongodb.enable(asked)
    try:
        (listener,) = monitoring._LISTENERS.command_listeners
        profiler.init(KEY)
        started: Any = monitoring.CommandStartedEvent(command, "a", 1, ("h", 1), 1)
        listener.started(started)
    finally:
        mongodb.disable()
    (span,) = heard.spans("mongodb")
    assert (SECRET in str(heard)) is asked
    if "things" in command.values():
        assert span.start_info["mongodb"]["collection"] == "things"


# ---- the connection string ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [f"redis://:{SECRET}@host:port/x", f"redis://host:0?password={SECRET}&db=x", "nonsense://host"],
)
def test_no_part_of_a_connection_string_is_in_the_log(
    configured: Configured,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
) -> None:
    """Check errors that quote some of it."""

    def refuse(connection_string: str, **_: object) -> None:
        raise ValueError(f"no number: {connection_string[8:]!r}")

    monkeypatch.setattr("osprofiler.drivers.base.get_driver", refuse)
    with caplog.at_level(logging.WARNING):
        switches.setup(configured(**TRACED | {"connection_string": url}, trace_rpc=True))
    assert "no driver for" in caplog.text
    assert SECRET not in caplog.text
