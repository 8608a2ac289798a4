# SPDX-License-Identifier: Apache-2.0
"""RPCs per request to an API, by route: exact, of what is in a trace, and bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults

import oslo_messaging
import pytest
from osprofiler import web
from routes import Mapper
from routes.middleware import RoutesMiddleware

from shmetrics.hooks import wsgi
from shmetrics.hooks.tracing import routes, switches
from shmetrics.hooks.tracing.routes import OTHER, route_of
from tests.nodes.loopback import Loopback, loopback

from .conftest import KEY, TRACED, Configured, new_id, signed

__all__ = ["loopback"]

ON = TRACED | {"trace_wsgi": True, "trace_rpc": True}
UUID = "7d1f2c1e-6a1b-4f6e-9d3e-0c5f1f1d2b3a"


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the routes of other tests."""
    monkeypatch.setattr(routes, "_routes", set())


@pytest.fixture
def conf(configured: Configured) -> Any:
    return configured(**ON)


@pytest.fixture
def cast(conf: Any) -> Iterator[Callable[[str], None]]:
    """Yield a function that sends a cast to the topic `compute`."""
    transport = oslo_messaging.get_rpc_transport(conf, "shmetrics+fake://")
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="compute"))
    yield lambda method: client.cast({}, method)
    transport.cleanup()


def ask(application: Any, path: str, is_traced: bool = True, **environ: str) -> list[bytes]:
    """Send a request, and take the whole answer."""
    sent = signed(base_id=new_id()) if is_traced else {}
    named = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in sent.items()}
    given = {"PATH_INFO": path, "SCRIPT_NAME": "/v2.1", **named, **environ}
    setup_testing_defaults(given)
    body = application(given, lambda *said: None)
    try:
        return list(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def found(loopback: Loopback, family: str, *names: str) -> dict[tuple[str, ...], float]:
    """Return the values of a family, by the values of these labels."""
    values = {}
    for (name, labels), value in loopback.samples().items():
        if name == f"oslo_messaging_{family}_total":
            said = dict(labels)
            values[tuple(said.get(each, "") for each in names)] = value
    return values


def test_rpcs_are_counted_by_the_route_of_their_request(
    loopback: Loopback, conf: Any, cast: Callable[[str], None]
) -> None:
    def serve(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        for _ in range(len(environ["QUERY_STRING"])):
            cast("reboot")
        if environ["REQUEST_METHOD"] == "GET":
            return later()
        if environ["REQUEST_METHOD"] == "DELETE":
            raise LookupError
        return [b"done"]

    def later() -> Iterator[bytes]:
        cast("list")  # while the response is taken
        yield b"done"

    mapper = Mapper()
    mapper.connect(None, "/servers/{id}/action")
    application = wsgi.middleware(RoutesMiddleware(serve, mapper), conf)
    for n, path in ((2, "/servers/a/action"), (3, f"/servers/{UUID}/action")):
        assert ask(application, path, REQUEST_METHOD="POST", QUERY_STRING="x" * n) == [b"done"]
    for path in (f"/flavors/{UUID}", "/flavors/17"):
        assert ask(application, path, QUERY_STRING="x") == [b"done"]
    with pytest.raises(LookupError):
        ask(application, "/flavors/17", REQUEST_METHOD="DELETE", QUERY_STRING="x")
    ask(application, "/servers/a/action", is_traced=False, QUERY_STRING="x")
    cast("reboot")  # of no request
    action, flavor = "/v2.1/servers/{id}/action", "/v2.1/flavors/{id}"
    assert found(loopback, "api_requests", "http_method", "route") == {
        ("POST", action): 2,
        ("GET", flavor): 2,
        ("DELETE", flavor): 1,
    }
    labels = ("http_method", "route", "topic", "method")
    assert found(loopback, "api_request_rpcs", *labels) == {
        ("POST", action, "compute", "reboot"): 5,
        ("GET", flavor, "compute", "reboot"): 2,
        ("GET", flavor, "compute", "list"): 2,
        ("DELETE", flavor, "compute", "reboot"): 1,
    }


@pytest.mark.parametrize("key", [KEY, ""])
@pytest.mark.parametrize("ours", [(True,), (False,), (True, False), (False, True), (True, True)])
def test_a_request_counts_once_whichever_middlewares_it_comes_through(
    ours: tuple[bool, ...],
    key: str,
    loopback: Loopback,
    conf: Any,
    cast: Callable[[str], None],
) -> None:
    def serve(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        cast("reboot")
        return [b"done"]

    switches.setup(conf)
    application: Any = serve
    for is_ours in ours:
        application = (
            wsgi.middleware(application, conf)
            if is_ours
            else web.WsgiMiddleware(application, key, enabled=True)
        )
    assert ask(application, "/servers") == [b"done"]
    assert found(loopback, "api_requests", "route") == {("/v2.1/servers",): 1}
    assert found(loopback, "api_request_rpcs", "route", "method") == {
        ("/v2.1/servers", "reboot"): 1
    }


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/servers", "/v2.1/servers"),
        ("", "/v2.1/"),
        (f"/{'a' * 32}1/servers/{UUID}/os-volume_attachments/", None),
        ("/images/x" + "y" * 300, "/v2.1/images/x" + "y" * 186),
    ],
)
def test_a_path_without_what_differs(path: str, route: str | None) -> None:
    expected = route or "/v2.1/{id}/servers/{id}/os-volume_attachments/"
    assert route_of({"SCRIPT_NAME": "/v2.1", "PATH_INFO": path}) == expected


def test_a_route_of_routes_is_taken_as_it_is() -> None:
    route = SimpleNamespace(routepath="servers/:(id)/{what2}")
    environ = {"SCRIPT_NAME": "/v2.1/" + UUID, "PATH_INFO": "/x", "routes.route": route}
    assert route_of(environ) == "/v2.1/{id}/servers/:(id)/{what2}"


def test_routes_without_end_are_one() -> None:
    names = ["".join(chr(97 + int(digit)) for digit in str(n)) for n in range(2000)]
    assert len({route_of({"PATH_INFO": f"/queues/{name}"}) for name in names}) == 501
    assert route_of({"PATH_INFO": "/queues/another"}) == OTHER
    assert route_of({"PATH_INFO": f"/queues/{names[0]}"}) == f"/queues/{names[0]}"


def test_a_strange_method_is_one_of_all_strange_ones(
    loopback: Loopback, conf: Any, cast: Callable[[str], None]
) -> None:
    application = wsgi.middleware(lambda environ, start_response: [b""], conf)
    for method in ("BREW", "WHEN"):
        ask(application, "/", REQUEST_METHOD=method)
    assert found(loopback, "api_requests", "http_method") == {(OTHER,): 2}


def test_without_traces_of_rpc_nothing_is_counted(configured: Configured) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        return [b""]

    traced: Any = wsgi.middleware(application, configured(**{**ON, "trace_rpc": False}))
    assert traced._application is application
