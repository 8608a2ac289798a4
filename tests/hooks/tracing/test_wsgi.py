# SPDX-License-Identifier: Apache-2.0
"""Traces that come to an API in headers: taken if they are signed, and no request ever fails."""

from __future__ import annotations

import gc
import http.client
import socketserver
import threading
import wsgiref.simple_server
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import webob  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from osprofiler import notifier, profiler, web
from paste.deploy import loadapp

from shmetrics.hooks import wsgi
from shmetrics.hooks.tracing import headers, switches
from tests.nodes.node import Node

from .conftest import KEY, TRACED, Configured, names, new_id, refused, signed, spans

WSGI = TRACED | {"trace_wsgi": True}


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    with profiler.Trace("db"):
        return [b"hello"]


def ask(application: Any, sent: dict[str, str] | None = None, **environ: str) -> Iterable[bytes]:
    """Send a request to the application, with these headers."""
    named = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in (sent or {}).items()}
    given = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/v2",
        "PATH_INFO": "/queues/ü".encode().decode("latin-1"),
        "QUERY_STRING": "token=secret",
        "wsgi.url_scheme": "http",
    }
    body: Iterable[bytes] = application({**given, **named, **environ}, lambda *said: None)
    return body


def test_it_is_off_by_default(configured: Configured) -> None:
    assert wsgi.middleware(hello, configured(**TRACED)) is hello
    assert wsgi.middleware(hello, configured(trace_wsgi=True)) is hello  # enabled is off
    assert wsgi.factory({})(hello) is hello


def test_a_signed_request_is_a_trace(shm: Node, configured: Configured) -> None:
    application = wsgi.middleware(hello, configured(**WSGI))
    base_id, parent_id = new_id(), new_id()
    assert ask(application, signed(base_id=base_id, parent_id=parent_id)) == [b"hello"]
    assert profiler.get() is None
    outer, inner = spans(shm, base_id)
    assert (outer["name"], outer["parent_id"]) == ("wsgi", parent_id)
    assert (inner["name"], inner["parent_id"]) == ("db", outer["trace_id"])
    assert outer["start_info"]["request"] == {
        "path": "/v2/queues/%C3%BC",
        "method": "GET",
        "scheme": "http",
    }
    assert (outer["project"], outer["state"]) == ("cloud", "done")


def test_a_query_string_is_kept_if_it_is_asked_for(shm: Node, configured: Configured) -> None:
    base_id = new_id()
    ask(wsgi.middleware(hello, configured(**WSGI, trace_arguments=True)), signed(base_id=base_id))
    assert spans(shm, base_id)[0]["start_info"]["request"]["query"] == "token=secret"


def test_each_of_several_keys_is_good(shm: Node, configured: Configured) -> None:
    application = wsgi.middleware(hello, configured(**WSGI))
    for key in ("older", KEY):
        base_id = new_id()
        ask(application, signed(key, base_id=base_id))
        assert names(spans(shm, base_id)) == ["wsgi", "db"]


def test_nothing_stays_after_teardown(shm: Node, configured: Configured) -> None:
    application = wsgi.middleware(hello, configured(**WSGI))
    switches.teardown()
    told: list[Any] = []
    notifier.set(told.append)
    assert ask(application, signed(base_id=new_id())) == [b"hello"]
    notifier.set(notifier._noop_notifier)
    assert told == []


BASE = new_id()
UNSIGNED = signed(base_id=BASE)["X-Trace-Info"]
REFUSED = {
    "unsigned": {"X-Trace-Info": UNSIGNED},
    "empty HMAC": signed(base_id=BASE) | {"X-Trace-HMAC": ""},
    "another's key": signed("not ours", base_id=BASE),
    "another's HMAC": signed(base_id=new_id()) | {"X-Trace-Info": UNSIGNED},
    "HMAC not of ASCII": signed(base_id=BASE) | {"X-Trace-HMAC": "\xff" * 40},
    "info not of ASCII": signed(base_id=BASE) | {"X-Trace-Info": "\xff" * 40},
    "a megabyte of info": signed(base_id=BASE, parent_id="a" * 1_000_000),
    "a megabyte of HMAC": signed(base_id=BASE) | {"X-Trace-HMAC": "a" * 1_000_000},
    "no base id": signed(parent_id=BASE),
    "base id that is no UUID": signed(base_id="../../etc/passwd"),
    "base id that is no text": signed(base_id=[BASE]),
    "parent id that is no UUID": signed(base_id=BASE, parent_id="1"),
    "more than ids": signed(base_id=BASE, hmac_key="mine"),
}
REASONS = {
    **dict.fromkeys(("unsigned", "empty HMAC"), "unsigned"),
    **dict.fromkeys(("another's key", "another's HMAC"), "signature"),
    **dict.fromkeys(("a megabyte of info", "a megabyte of HMAC"), "oversized"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_signed_by_us_starts_nothing_and_is_counted(
    shm: Node, configured: Configured, what: str
) -> None:
    application = wsgi.middleware(hello, configured(**WSGI))
    counted = "wsgi", REASONS.get(what, "malformed")
    before = refused(shm).get(counted, 0)
    assert ask(application, REFUSED[what]) == [b"hello"]
    assert spans(shm, BASE) == []
    assert refused(shm)[counted] == before + 1


def test_nothing_is_counted_of_requests_without_a_trace(shm: Node, configured: Configured) -> None:
    application = wsgi.middleware(hello, configured(**WSGI))
    before = refused(shm)
    assert ask(application) == [b"hello"]
    assert refused(shm) == before


def test_no_key_of_ours_is_no_signature(shm: Node, configured: Configured) -> None:
    application = wsgi.middleware(hello, configured(**WSGI | {"hmac_keys": " , "}))
    ask(application, signed("", base_id=BASE) | {"X-Trace-HMAC": "None"})
    assert spans(shm, BASE) == []


def test_a_replayed_header_adds_to_its_own_trace_only(shm: Node, configured: Configured) -> None:
    application = wsgi.middleware(hello, configured(**WSGI))
    base_id, other = new_id(), new_id()
    sent = signed(base_id=base_id)
    ask(application, sent)
    ask(application, signed(base_id=other))
    ask(application, sent)
    assert names(spans(shm, base_id)) == ["wsgi", "db", "wsgi", "db"]
    assert names(spans(shm, other)) == ["wsgi", "db"]


texts = st.text(max_size=60) | st.none() | st.integers() | st.binary(max_size=9) | st.booleans()
signed_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(texts, texts, st.lists(st.text(min_size=1, max_size=5), max_size=3))
def test_nothing_that_is_sent_is_believed_unsigned_or_raises(
    info: Any, signature: Any, keys: list[str]
) -> None:
    assert headers.read(info, signature, keys, "test") is None


@settings(deadline=None)
@given(signed_json, st.text(max_size=9))
def test_what_is_signed_and_is_no_trace_is_refused(base_id: Any, parent_id: str) -> None:
    sent = signed(base_id=base_id, parent_id=parent_id)
    assert headers.read(sent["X-Trace-Info"], sent["X-Trace-HMAC"], [KEY], "test") is None


@settings(deadline=None)
@given(st.uuids(), st.uuids() | st.none(), st.text(min_size=1).filter(lambda key: key.isascii()))
def test_what_is_signed_is_what_is_read(base_id: Any, parent_id: Any, key: str) -> None:
    sent = signed(key, base_id=str(base_id), parent_id=parent_id and str(parent_id))
    read = headers.read(sent["X-Trace-Info"], sent["X-Trace-HMAC"], ["another", key], "test")
    assert read == (key, str(base_id), str(parent_id or base_id))


def streaming(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    for part in (b"a", b"b"):
        with profiler.Trace("part"):
            yield part


def test_what_is_done_while_the_response_is_taken_is_in_the_span(
    shm: Node, configured: Configured
) -> None:
    application = wsgi.middleware(streaming, configured(**WSGI))
    base_id = new_id()
    body = ask(application, signed(base_id=base_id))
    assert spans(shm, base_id)[0]["state"] == "open"
    assert b"".join(body) == b"ab"
    assert profiler.get() is None
    outer, first, second = spans(shm, base_id)
    assert first["parent_id"] == second["parent_id"] == outer["trace_id"]
    assert outer["finished"] >= second["finished"]


def closed(body: Any) -> None:
    next(iter(body))
    body.close()


def forgotten(body: Any) -> None:
    next(iter(body))
    del body
    gc.collect()


@pytest.mark.parametrize("leave", [closed, forgotten])
def test_a_response_that_nobody_takes_to_its_end_ends_the_span(
    shm: Node, configured: Configured, leave: Callable[[Any], None]
) -> None:
    application = wsgi.middleware(streaming, configured(**WSGI))
    base_id = new_id()
    leave(ask(application, signed(base_id=base_id)))
    assert profiler.get() is None
    assert [span["state"] for span in spans(shm, base_id)] == ["done", "done"]


class Broken:
    """An answer that breaks in one of its ways."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        profiler.start("left open")
        self.fail("call")
        return self

    def __iter__(self) -> Broken:
        self.fail("iter")
        return self

    def __next__(self) -> bytes:
        self.fail("next")
        raise StopIteration

    def close(self) -> None:
        self.fail("close")

    def fail(self, where: str) -> None:
        if where == self.where:
            raise LookupError(where)


def served(application: Any, sent: dict[str, str], takes: bool) -> None:
    """Serve a request as a WSGI server does."""
    body: Any = ask(application, sent)
    if takes:
        list(body)
    body.close()


@pytest.mark.parametrize("where", ["call", "iter", "next", "close"])
def test_an_application_that_raises_fails_as_ever_and_ends_its_spans(
    shm: Node, configured: Configured, where: str
) -> None:
    conf = configured(**WSGI, trace_arguments=where == "call")
    application = wsgi.middleware(Broken(where), conf)
    base_id = new_id()
    with pytest.raises(LookupError, match=where):
        served(application, signed(base_id=base_id), takes=where != "close")
    assert profiler.get() is None
    outer, inner = spans(shm, base_id)
    assert outer["stop_info"]["etype"] == "LookupError"
    assert outer["stop_info"].get("message") == ("call" if where == "call" else None)
    assert inner["finished"] is not None


def test_a_trace_that_was_left_in_a_thread_is_not_this_request_s(
    shm: Node, configured: Configured
) -> None:
    application = wsgi.middleware(hello, configured(**WSGI))
    left, base_id = new_id(), new_id()
    profiler.init(KEY, base_id=left)
    ask(application, signed(base_id=base_id))
    assert profiler.get() is None
    assert names(spans(shm, base_id)) == ["wsgi", "db"]


def test_a_pipeline_with_two_of_them_has_one_span(shm: Node, configured: Configured) -> None:
    conf = configured(**WSGI)
    application = wsgi.middleware(wsgi.middleware(hello, conf), conf)
    base_id = new_id()
    ask(application, signed(base_id=base_id))
    assert names(spans(shm, base_id)) == ["wsgi", "db"]


def test_an_application_that_sends_itself_the_request_again_has_one_span(
    configured: Configured,
) -> None:
    told: list[Any] = []
    notifier.set(told.append)
    sent = signed(base_id=new_id())

    def twice(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/again":
            return hello(environ, start_response)
        return ask(application, sent, PATH_INFO="/again")

    application = wsgi.middleware(twice, configured(**WSGI))
    notifier.set(told.append)
    assert ask(application, sent) == [b"hello"]
    notifier.set(notifier._noop_notifier)
    assert [each["name"] for each in told] == ["wsgi-start", "db-start", "db-stop", "wsgi-stop"]


def test_osprofiler_s_middleware_still_takes_requests_of_webob(configured: Configured) -> None:
    switches.setup(configured(**WSGI))
    application = web.WsgiMiddleware(hello, enabled=True)
    assert application(webob.Request.blank("/")).body == b"hello"


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *said: object) -> None: ...


def test_concurrent_requests_to_a_server_do_not_mix(shm: Node, configured: Configured) -> None:
    together = threading.Barrier(4, timeout=20)

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        together.wait()
        with profiler.Trace(environ["PATH_INFO"].strip("/")):
            together.wait()
            yield b"done"

    traced = wsgi.middleware(application, configured(**WSGI))
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, traced, Threaded, Quiet)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    bases = [new_id() for _ in range(4)]

    def request(base_id: str) -> None:
        client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        client.request("GET", f"/{base_id}", headers=signed(base_id=base_id))
        assert client.getresponse().read() == b"done"
        client.close()

    clients = [threading.Thread(target=request, args=(base_id,)) for base_id in bases]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    server.shutdown()
    serving.join()
    server.server_close()
    for base_id in bases:
        assert names(spans(shm, base_id)) == ["wsgi", base_id]


class Threaded(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """A thread per request, which server_close() waits for."""


PIPELINE = """
[filter:traces]
paste.filter_factory = shmetrics.hooks.wsgi:factory

[app:app]
paste.app_factory = tests.hooks.tracing.test_wsgi:make

[pipeline:main]
pipeline = traces app
"""


def make(global_conf: Any, **local_conf: str) -> Any:
    return hello


@pytest.mark.parametrize("is_on", [False, True])
def test_a_pipeline_of_pastedeploy(
    shm: Node, configured: Configured, tmp_path: Path, is_on: bool
) -> None:
    file = tmp_path / "api-paste.ini"
    file.write_text(PIPELINE)
    configured(**WSGI | {"trace_wsgi": is_on})
    base_id = new_id()
    ask(loadapp(f"config:{file}"), signed(base_id=base_id))
    assert names(spans(shm, base_id)) == (["wsgi", "db"] if is_on else [])
