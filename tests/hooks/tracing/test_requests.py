# SPDX-License-Identifier: Apache-2.0
"""HTTP requests of a trace: a span each, and the next service is told."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from osprofiler import notifier, profiler
from osprofiler import requests as theirs
from requests.adapters import HTTPAdapter

from shmetrics.hooks.tracing import headers, switches
from tests.nodes.node import Node

from .conftest import KEY, TRACED, Configured, names, spans

REQUESTS = TRACED | {"trace_requests": True}
STOCK = HTTPAdapter.send
OSPROFILERS = theirs.send


class Server(http.server.ThreadingHTTPServer):
    """A server that answers every request, and remembers the headers of each by its path."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: dict[str, dict[str, str]] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.seen[self.path] = dict(self.headers)
        self.send_response(302 if self.path == "/moved" else 204)
        self.send_header("Location", "/there")
        self.end_headers()

    def log_message(self, *said: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    serving = threading.Thread(target=found.serve_forever, args=(0.01,))
    serving.start()
    yield found
    found.shutdown()
    serving.join()
    found.server_close()


def test_it_is_off_by_default(configured: Configured, server: Server) -> None:
    switches.setup(configured(**TRACED))
    profiler.init(KEY)
    requests.get(f"{server.url}/a", timeout=20)
    profiler.clean()
    assert HTTPAdapter.send is STOCK
    assert "X-Trace-Info" not in server.seen["/a"]


def test_a_request_is_a_span_and_takes_the_trace_along(
    shm: Node, configured: Configured, server: Server
) -> None:
    switches.setup(configured(**REQUESTS))
    base_id = profiler.init(KEY).get_base_id()
    response = requests.get(f"{server.url}/a?token=secret", timeout=20)
    profiler.clean()
    (span,) = spans(shm, base_id)
    assert (span["name"], span["state"]) == ("http", "done")
    assert span["start_info"]["requests"] == {
        "method": "GET",
        "path": "/a",
        "hostname": "127.0.0.1",
        "port": server.server_port,
        "scheme": "http",
    }
    assert span["stop_info"]["requests"] == {"status_code": 204}
    sent = server.seen["/a?token=secret"]
    came = headers.read(sent["X-Trace-Info"], sent["X-Trace-HMAC"], [KEY], "test")
    assert came == (KEY, base_id, span["trace_id"])
    assert KEY not in str(sent)
    # The same request, sent again without a trace, has none.
    assert "X-Trace-Info" not in response.request.headers


def test_a_query_string_is_kept_if_it_is_asked_for(
    shm: Node, configured: Configured, server: Server
) -> None:
    switches.setup(configured(**REQUESTS, trace_arguments=True))
    base_id = profiler.init(KEY).get_base_id()
    requests.get(f"{server.url}/a?q=1", timeout=20)
    profiler.clean()
    assert spans(shm, base_id)[0]["start_info"]["requests"]["query"] == "q=1"


def test_without_a_trace_nothing_goes_along(
    shm: Node, configured: Configured, server: Server
) -> None:
    switches.setup(configured(**REQUESTS))
    requests.get(f"{server.url}/a", timeout=20)
    assert "X-Trace-Info" not in server.seen["/a"]


def test_each_hop_of_a_redirection_is_a_span(
    shm: Node, configured: Configured, server: Server
) -> None:
    switches.setup(configured(**REQUESTS))
    base_id = profiler.init(KEY).get_base_id()
    requests.get(f"{server.url}/moved", timeout=20)
    profiler.clean()
    first, second = spans(shm, base_id)
    assert second["parent_id"] == first["parent_id"] == base_id
    assert server.seen["/moved"]["X-Trace-Info"] != server.seen["/there"]["X-Trace-Info"]


def test_what_a_caller_says_in_these_headers_comes_back(
    shm: Node, configured: Configured, server: Server
) -> None:
    switches.setup(configured(**REQUESTS))
    base_id = profiler.init(KEY).get_base_id()
    own = {"X-Trace-Info": "own"}
    response = requests.get(f"{server.url}/a", headers=own, timeout=20)
    profiler.clean()
    assert server.seen["/a"]["X-Trace-Info"] != "own"
    assert response.request.headers["X-Trace-Info"] == "own"
    assert names(spans(shm, base_id)) == ["http"]


def test_a_request_that_fails_ends_its_span_with_its_error(
    shm: Node, configured: Configured
) -> None:
    switches.setup(configured(**REQUESTS))
    base_id = profiler.init(KEY).get_base_id()
    with profiler.Trace("around"):
        with pytest.raises(requests.ConnectionError):
            requests.get("http://127.0.0.1:1/", timeout=20)
        with profiler.Trace("after"):
            pass
    profiler.clean()
    around, failed, after = spans(shm, base_id)
    assert failed["stop_info"]["etype"] == "requests.exceptions.ConnectionError"
    assert after["parent_id"] == around["trace_id"]  # and not that of the request


def test_a_service_that_turns_osprofilers_own_on_gets_this_one(
    shm: Node, configured: Configured, server: Server
) -> None:
    theirs.enable()
    switches.setup(configured(**REQUESTS))
    theirs.enable()
    assert HTTPAdapter.send is not OSPROFILERS
    base_id = profiler.init(KEY).get_base_id()
    requests.get(f"{server.url}/a", timeout=20)
    profiler.clean()
    assert names(spans(shm, base_id)) == ["http"]
    switches.teardown()
    theirs.enable()
    assert HTTPAdapter.send is OSPROFILERS
    HTTPAdapter.send = STOCK  # type: ignore[method-assign]


def test_nothing_stays_after_teardown(shm: Node, configured: Configured, server: Server) -> None:
    """Check the teardown where another library has wrapped the function."""
    switches.setup(configured(**REQUESTS))
    inner = HTTPAdapter.send
    around = lambda *args, **kwargs: inner(*args, **kwargs)  # noqa: E731
    HTTPAdapter.send = around  # type: ignore[method-assign]
    switches.teardown()
    profiler.init(KEY)
    requests.get(f"{server.url}/a", timeout=20)
    profiler.clean()
    assert "X-Trace-Info" not in server.seen["/a"]
    HTTPAdapter.send = STOCK  # type: ignore[method-assign]
    switches.setup(configured(**REQUESTS))
    switches.teardown()
    assert HTTPAdapter.send is STOCK


def test_a_notifier_that_makes_requests_comes_to_an_end(
    configured: Configured, server: Server
) -> None:
    told: list[str] = []

    def tell(info: dict[str, Any]) -> None:
        requests.get(f"{server.url}/{len(told)}", timeout=20)
        told.append(info["name"])

    notifier.set(tell)
    switches.setup(configured(**REQUESTS))
    profiler.init(KEY)
    requests.get(f"{server.url}/a", timeout=20)
    profiler.clean()
    switches.teardown()
    notifier.set(notifier._noop_notifier)
    assert told == ["http-start", "http-stop"]
