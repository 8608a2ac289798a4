# SPDX-License-Identifier: Apache-2.0
"""The switches of a configuration are on for any service that initializes OSProfiler, as Zaqar and
Vitrage do. The service itself calls nothing of ours."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import oslo_messaging
import pymongo
import pytest
import redis
import requests
import sqlalchemy as sa
import webob  # type: ignore[import-untyped]
from oslo_config import cfg
from osprofiler import initializer, notifier, opts, profiler, web
from osprofiler import requests as their_requests
from osprofiler import sqlalchemy as their_sqlalchemy
from requests.adapters import HTTPAdapter

from shmetrics.hooks.osprofiler import _profiler
from shmetrics.hooks.osprofiler.driver import Shm
from shmetrics.hooks.tracing import switches
from tests.hooks.osprofiler.conftest import leave_as_found
from tests.servers.mongodb import MongoDB

from .conftest import KEY, TRACED, Configured, configured, new_id, signed
from .heard import Heard

__all__ = ["configured"]

Initialize: TypeAlias = Callable[..., Heard]


class MessageController:
    """A part of the service, of which its profiler knows nothing."""

    def post(self, body: str) -> str:
        return body


@pytest.fixture
def initialize(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> Iterator[Initialize]:
    """Yield `initialize(**profiler)`: start a service with these options, and return the payloads
    for its notifier."""
    for name in ("_ENABLED", "_HMAC_KEYS"):
        monkeypatch.setattr(web, name, getattr(web, name))
    monkeypatch.setattr(HTTPAdapter, "send", HTTPAdapter.send)

    def initialize(**options: object) -> Heard:
        conf = configured(**TRACED | options)
        options_of_theirs(conf)
        start(conf)
        heard = Heard()
        notifier.set(heard.append)
        return heard

    yield initialize
    leave_as_found()


def options_of_theirs(conf: Any) -> None:
    opts.set_defaults(conf)


def leave_no_notifier() -> None:
    """Have the next initialization make its driver anew."""
    clear: Callable[[], None] = notifier.clear_notifier_cache
    clear()


def start(conf: Any) -> None:
    initializer.init_from_conf(conf, None, "Zaqar", "Zaqar-server", "node-1")


# ---- the work of a service ----------------------------------------------------------------------


def statement() -> None:
    """Run a statement on an engine that the service has OSProfiler trace, as Zaqar does."""
    engine = sa.create_engine("sqlite://")
    their_sqlalchemy.add_tracing(sa, engine, "db")
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT 1"))
    engine.dispose()


def command() -> None:
    client = redis.Redis(port=1, socket_timeout=20)
    with client, contextlib.suppress(redis.ConnectionError):
        client.get("queue")


def find() -> None:
    server = MongoDB()
    with pymongo.MongoClient(server.url, retryReads=False) as client:  # type: ignore[var-annotated]
        assert list(client.zaqar.messages.find()) == []
    server.stop()


def request() -> None:
    with contextlib.suppress(requests.ConnectionError):
        requests.get("http://127.0.0.1:1/v3", timeout=20)


def post() -> None:
    assert MessageController().post("body") == "body"


def cast() -> None:
    transport = oslo_messaging.get_rpc_transport(cfg.CONF, "shmetrics+fake://")
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="conductor"))
    client.cast({}, "build")
    transport.cleanup()


def served(key: str = KEY, status: str = "200 OK") -> None:
    """Serve a request through OSProfiler's middleware, which is all that Zaqar's pipeline has."""
    profiler.clean()

    def application(environ: Any, start_response: Any) -> Any:
        return webob.Response("body", status=status)(environ, start_response)

    request = webob.Request.blank("/v2/queues")
    request.headers.update(signed(key, base_id=new_id()))
    response = request.get_response(web.WsgiMiddleware(application, enabled=False))
    assert response.status == status


WORK: dict[str, tuple[Callable[[], None], str]] = {
    "trace_sqlalchemy": (statement, "db"),
    "trace_transactions": (statement, "db.transaction"),
    "trace_redis": (command, "redis"),
    "trace_mongodb": (find, "mongodb"),
    "trace_requests": (request, "http"),
    "trace_classes": (post, "MessageController"),
    "trace_rpc": (cast, "rpc"),
}


@pytest.mark.parametrize("switch", WORK)
@pytest.mark.parametrize("compiled", [False, True])
def test_each_switch_is_on_by_configuration_alone(
    initialize: Initialize, switch: str, compiled: bool
) -> None:
    work, name = WORK[switch]
    on = f"{__name__}:MessageController" if switch == "trace_classes" else True
    heard = initialize(**{switch: on, "compiled_profiler": compiled})
    profiler.init(KEY)
    work()
    profiler.clean()
    assert heard.spans(name)
    assert all(span.stop_info is not None for span in heard.spans())


def test_the_compiled_profiler_is_on_by_configuration_alone(initialize: Initialize) -> None:
    own: object = profiler.Trace
    initialize()
    assert profiler.Trace is own
    switches.teardown()
    leave_as_found()
    heard = initialize(compiled_profiler=True)
    now: object = profiler.Trace
    assert now is _profiler.Trace
    profiler.init(KEY)
    with profiler.Trace("wsgi"):
        pass
    assert heard.names() == ["wsgi-start", "wsgi-stop"]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("status", "error"),
    [("200 OK", None), ("404 Not Here", "404 Not Found"), ("599 Odd", "599")],
)
def test_a_request_is_a_span_with_its_status(
    initialize: Initialize, status: str, error: str | None, compiled: bool
) -> None:
    heard = initialize(trace_wsgi=True, compiled_profiler=compiled)
    served(status=status)
    (span,) = heard.spans()
    assert span.start_info["request"] == {"path": "/v2/queues", "method": "GET", "scheme": "http"}
    assert (span.stop_info or {})["response"] == {"status_code": int(status[:3])}
    assert span.error == error


def test_a_request_signed_with_another_key_is_served_and_no_span(initialize: Initialize) -> None:
    heard = initialize(trace_wsgi=True)
    served(key="nobody's")
    served(key="SECRET_KEY")  # OSProfiler's default, which everybody knows
    assert heard == []
    served(key="older")
    assert len(heard.spans("wsgi")) == 1


def test_the_driver_belongs_to_the_service(initialize: Initialize, configured: Configured) -> None:
    initialize(trace_redis=True)
    made: Any = notifier.create("shm://")
    assert isinstance(made.__self__, Shm)
    assert made.__self__.spans._rest == ("Zaqar-server", "Zaqar", "node-1")


# ---- again, and beside a service that calls setup() ---------------------------------------------


@pytest.mark.parametrize("first", ["setup", "initializer"])
def test_beside_setup_it_is_once(
    configured: Configured, initialize: Initialize, first: str
) -> None:
    conf = configured(**TRACED, trace_classes=f"{__name__}:MessageController", trace_wsgi=True)
    options_of_theirs(conf)
    plain = MessageController.post
    steps: list[Callable[[], object]] = [lambda: switches.setup(conf), lambda: start(conf)]
    for step in steps if first == "setup" else reversed(steps):
        step()
    traced = MessageController.post
    assert traced.__wrapped__ is plain  # type: ignore[attr-defined]
    made: Any = notifier.get()
    assert made.__self__.spans._rest[0] == "Zaqar-server"
    for step in steps:
        leave_no_notifier()
        step()
    assert MessageController.post is traced
    switches.teardown()
    assert MessageController.post is plain
    notifier.set(notifier._noop_notifier)


def test_a_configuration_that_is_read_again_changes_nothing(
    initialize: Initialize, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A service reads its files anew at SIGHUP, and may initialize all again."""
    heard = initialize(trace_classes=f"{__name__}:MessageController")
    traced = MessageController.post
    file = tmp_path / "service.conf"
    file.write_text(file.read_text().replace("trace_classes", "trace_redis = true\n#"))
    with caplog.at_level(logging.ERROR):
        cfg.CONF.mutate_config_files()
        cfg.CONF.reload_config_files()
        leave_no_notifier()
        start(cfg.CONF)
    assert MessageController.post is traced
    notifier.set(heard.append)
    profiler.init(KEY)
    post()
    assert heard.names() == ["MessageController-start", "MessageController-stop"]
    assert not [record for record in caplog.records if record.name.startswith("shmetrics")]


def test_without_enabled_databases_are_measured_and_nothing_is_traced(
    initialize: Initialize,
) -> None:
    """Zaqar initializes OSProfiler also where it is not enabled."""
    heard = initialize(enabled=False, trace_sqlalchemy=True, trace_wsgi=True)
    statement()
    assert heard == []
    assert set(switches._undo) == {"trace_sqlalchemy"}


# ---- switches without an effect -----------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if line.startswith("[profiler]")]


@pytest.mark.parametrize("switch", ["trace_wsgi", "trace_rpc"])
def test_without_a_key_no_trace_comes(
    initialize: Initialize, caplog: pytest.LogCaptureFixture, switch: str
) -> None:
    for _ in range(2):
        initialize(hmac_keys=" ", **{switch: True})
        leave_no_notifier()
    (line,) = lines(caplog)
    assert "hmac_keys is empty" in line


@pytest.mark.parametrize("scheme", ["rabbit", "shmetrics+rabbit"])
def test_without_our_driver_rpc_is_not_traced(
    configured: Configured,
    initialize: Initialize,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    monkeypatch.delitem(sys.modules, switches._MESSAGING, raising=False)
    conf = configured(**TRACED, trace_rpc=True)
    options_of_theirs(conf)
    oslo_messaging.TransportURL.parse(conf, "rabbit://")  # registers the option
    conf.set_override("transport_url", f"{scheme}://user:secret@host/")
    start(conf)
    conf.clear_override("transport_url")
    said = lines(caplog)
    assert len(said) == (scheme == "rabbit")
    assert all("shmetrics+rabbit://" in line and "secret" not in line for line in said)


def test_a_client_of_mongodb_that_is_older_than_the_switch(
    initialize: Initialize, caplog: pytest.LogCaptureFixture
) -> None:
    client: Any = pymongo.MongoClient("127.0.0.1", 1, connect=True)
    try:
        initialize(trace_mongodb=True)
    finally:
        client.close()
    (line,) = lines(caplog)
    assert "does not see 1 clients" in line


@pytest.mark.parametrize("switch", ["trace_redis", "trace_mongodb", "trace_sqlalchemy"])
def test_without_the_library_the_switch_is_one_line(
    initialize: Initialize,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    switch: str,
) -> None:
    for library in ("redis", "pymongo", "sqlalchemy", "sqlalchemy.engine"):
        monkeypatch.setitem(sys.modules, library, None)
    initialize(**{switch: True})
    (line,) = lines(caplog)
    assert switch in line


# ---- what OSProfiler does after it has made the driver ------------------------------------------


def test_osprofiler_s_adapter_is_replaced_by_ours(initialize: Initialize) -> None:
    heard = initialize(trace_requests=True)
    assert HTTPAdapter.send is their_requests.send
    profiler.init(KEY)
    request()
    assert heard.names() == ["http-start", "http-stop"]
