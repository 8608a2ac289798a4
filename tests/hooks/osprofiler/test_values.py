# SPDX-License-Identifier: Apache-2.0
"""Values in spans of OSProfiler's own sources are kept only where the configuration asks for it."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
import sqlalchemy as sa
import webob  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from osprofiler import initializer, opts, profiler, web
from osprofiler import sqlalchemy as their_sqlalchemy

from shmetrics.hooks.osprofiler.values import WantedValues
from tests.hooks.tracing.conftest import KEY, TRACED, Configured, configured, new_id, signed
from tests.hooks.tracing.heard import bytes_of
from tests.nodes.node import Node

from .conftest import leave_as_found

__all__ = ["configured"]

SECRET = "a-very-secret-value"
KEPT = {"name": "post", "statement": "SELECT ?", "path": "/v2", "host": "h", "etype": "ValueError"}
VALUES = ("args", "kwargs", "result", "query", "params", "message", "original_exception")

MEMBERS = st.dictionaries(
    st.sampled_from([*KEPT, *VALUES]), st.sampled_from([SECRET, 1, None, {"args": SECRET}])
)
INFOS = st.dictionaries(
    st.sampled_from(["function", "request", "requests", "db", "redis", "host", "message"]),
    MEMBERS | st.just(SECRET),
)


@given(INFOS, st.booleans(), st.booleans(), st.sampled_from(["db", "db.transaction", "rpc"]))
def test_each_switch_keeps_its_own(
    info: dict[str, Any], arguments: bool, parameters: bool, name: str
) -> None:
    before = copy.deepcopy(info)
    found = WantedValues(arguments, parameters).of(name, info)
    assert info == before
    is_sql = name != "rpc" or "db" in info
    hidden = {
        *(() if arguments else (("function", key) for key in ("args", "kwargs", "result"))),
        *(() if arguments else (("request", "query"), ("requests", "query"))),
        *(() if parameters else (("db", key) for key in ("params", "result"))),
        *(() if parameters else (("db", "original_exception"),)),
    }
    expected: dict[str, Any] = {}
    for key, value in info.items():
        if isinstance(value, dict):
            expected[key] = {k: v for k, v in value.items() if (key, k) not in hidden}
        elif key != "message" or (parameters if is_sql else arguments):
            expected[key] = value
    if isinstance(info.get("message"), dict) and not (parameters if is_sql else arguments):
        del expected["message"]
    assert found == expected


@profiler.trace_cls("controller", hide_result=False)
class Controller:
    """A class that its service traces, as Zaqar does."""

    def post(self, body: str) -> str:
        return body

    def fail(self, body: str) -> None:
        raise ValueError(body)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_a_service_with_osprofilers_own_sources(
    shm: Node,
    configured: Configured,
    monkeypatch: pytest.MonkeyPatch,
    compiled: bool,
    asked: bool,
) -> None:
    for name in ("_ENABLED", "_HMAC_KEYS"):
        monkeypatch.setattr(web, name, getattr(web, name))
    wanted = {"trace_arguments": asked, "trace_sql_parameters": asked}
    conf = configured(**TRACED, **wanted, compiled_profiler=compiled)
    opts.set_defaults(conf)
    initializer.init_from_conf(conf, None, "Zaqar", "Zaqar-server", "h")
    engine = sa.create_engine("sqlite://")
    their_sqlalchemy.add_tracing(sa, engine, "db")

    def application(environ: Any, start_response: Any) -> Any:
        assert Controller().post(SECRET) == SECRET
        with contextlib.suppress(ValueError):
            Controller().fail(SECRET)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT :secret"), {"secret": SECRET})
        return webob.Response("body")(environ, start_response)

    request = webob.Request.blank(f"/v2?token={SECRET}")
    base_id = new_id()
    request.headers.update(signed(KEY, base_id=base_id))
    request.get_response(web.WsgiMiddleware(application))
    engine.dispose()
    leave_as_found()
    spans = json.loads(shm.get(f"/api/v1/traces/{base_id}"))["spans"]
    assert [span["name"] for span in spans] == ["wsgi", "controller", "controller", "db"]
    assert [span["exception"] for span in spans] == [None, None, "ValueError", None]
    assert str(spans).count(SECRET) == (6 if asked else 0)
    assert (SECRET.encode() in bytes_of(shm)) is asked
