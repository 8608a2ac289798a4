# SPDX-License-Identifier: Apache-2.0
"""The paths and their answers, over a real socket."""

import asyncio
import gzip
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from shmetrics.config import Web
from shmetrics.tables.table import Series, Table
from shmetrics.traces.reader import Query, StoredSpan, Trace
from shmetrics.web.app import make_app
from tests.http.raw import tell


def test_metrics_as_text(site: Any, source: Any, rpc_tables: Any) -> None:
    source.the_tables = rpc_tables
    answer = site.ask("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["vary"] == "accept, accept-encoding"
    assert "content-encoding" not in answer.headers
    families = {family.name: family for family in parse_text(answer.text)}
    assert set(families) == {table.name for table in rpc_tables}
    sample = families["oslo_messaging_rpc_client_invocation_start"].samples[0]
    assert sample.value == 5
    labels = {"topic": "compute", "method": "build", "process": "a", "hostname": "node-1"}
    assert sample.labels == labels
    ((seconds, size_bytes),) = source.scrapes
    assert seconds > 0
    assert size_bytes == len(answer.body)


def test_names_are_as_the_client_asks(site: Any, source: Any) -> None:
    source.the_tables = [gauge("my.metric", "a.b"), gauge("my_metric", "c"), gauge("x", "d.e")]
    dropped = "its name is my_metric, as one of 'my_metric' is"
    for accept, escaping, lines in (
        ("", "underscores", ['my_metric{c="c"} 1.0', 'x{d_e="d.e"} 1.0']),
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8",
            "allow-utf-8",
            ['{"my.metric","a.b"="a.b"} 1.0', 'my_metric{c="c"} 1.0', 'x{"d.e"="d.e"} 1.0'],
        ),
        (
            "application/openmetrics-text;escaping=dots",
            "dots",
            ['my_dot_metric{a_dot_b="a.b"} 1.0', 'my_metric{c="c"} 1.0', 'x{d_dot_e="d.e"} 1.0'],
        ),
    ):
        answer = site.ask("/metrics", accept=accept)
        assert ("escaping=" + escaping in answer.headers["content-type"]) == bool(accept)
        text = answer.text.replace(',hostname="node-1"', "")
        assert [line for line in text.splitlines() if line[0] != "#"] == lines
        assert source.families_left_out[escaping] == (
            {"my.metric": dropped} if escaping == "underscores" else {}
        )
    assert json.loads(site.ask("/api/v1/left_out").body) == [
        {"family": "my.metric", "escaping": "underscores", "reason": dropped}
    ]
    source.the_tables = [gauge("my.metric", "a.b")]
    site.ask("/metrics")
    assert json.loads(site.ask("/api/v1/left_out").body) == []


@pytest.mark.parametrize("name", ["my.metric", "my_metric"])
def test_a_name_is_asked_for_as_it_is_or_as_it_is_shown(site: Any, source: Any, name: str) -> None:
    source.the_tables = [gauge("my.metric", "a"), gauge("x", "b")]
    answer = site.ask(f"/metrics?name[]={name}")
    assert [family.name for family in parse_text(answer.text)] == ["my_metric"]


@pytest.mark.parametrize("wanted", [False, True])
def test_created_samples_are_an_option(source: Any, run: Any, wanted: bool) -> None:
    ones = np.array([1.0])
    source.the_tables = [Table("c", "counter", "", Series((), [()]), values=ones, created=ones)]
    site = run(source, limits=Web(created_samples=wanted))
    assert ("c_created{" in site.ask("/metrics", accept="application/openmetrics-text").text) == (
        wanted
    )
    assert "_created" not in site.ask("/metrics").text


def gauge(name: str, label: str) -> Table:
    return Table(name, "gauge", "", Series((label,), [(label,)]), values=np.array([1.0]))


def test_metrics_as_openmetrics(site: Any, source: Any, rpc_tables: Any) -> None:
    source.the_tables = rpc_tables
    answer = site.ask("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    families = openmetrics_parser.text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
    assert len(list(families)) == 3


def test_metrics_compressed(site: Any, source: Any, rpc_tables: Any) -> None:
    source.the_tables = rpc_tables
    answer = site.ask("/metrics", accept_encoding="deflate, gzip;q=0.5")
    assert answer.headers["content-encoding"] == "gzip"
    plain = gzip.decompress(answer.body)
    assert plain == site.ask("/metrics").body
    assert source.scrapes[0][1] == len(plain)
    refused = site.ask("/metrics", accept_encoding="gzip;q=0")
    assert refused.body == plain


def test_metrics_by_name(site: Any, source: Any, rpc_tables: Any) -> None:
    source.the_tables = rpc_tables
    name = "oslo_messaging_rpc_client_invocation"
    answer = site.ask(f"/metrics?name[]={name}_start_total&name%5B%5D={name}_end_total")
    assert {f.name for f in parse_text(answer.text)} == {f"{name}_start", f"{name}_end"}
    assert site.ask("/metrics?name[]=nothing").body == b""


@pytest.mark.parametrize(("path", "field"), [("/-/healthy", "health"), ("/-/ready", "readiness")])
def test_states(site: Any, source: Any, path: str, field: str) -> None:
    good = site.ask(path)
    assert (good.status, good.text) == (
        200,
        {"health": "draining\n", "readiness": "ready\n"}[field],
    )
    setattr(source, f"the_{field}", (False, "the store is full"))
    bad = site.ask(path)
    assert (bad.status, bad.text) == (503, "the store is full\n")
    assert bad.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("what", ["lanes", "calls", "destinations"])
def test_lists_as_json(site: Any, source: Any, what: str) -> None:
    wanted = [{"lane": 1, "process": 'q"<\u20ac', "fill": 0.5, "labels": {"a": ""}}]
    setattr(source, f"the_{what}", wanted)
    answer = site.ask(f"/api/v1/{what}")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == wanted


def test_methods_as_json(site: Any, source: Any, rpc_tables: Any) -> None:
    source.the_tables = rpc_tables
    build, plug = json.loads(site.ask("/api/v1/methods").body)
    assert (build["topic"], build["method"], build["started"]) == ("compute", "build", 6)
    assert (plug["topic"], plug["method"], plug["started"]) == ("network", "plug", 2)


def test_units_as_json(site: Any, source: Any) -> None:
    assert json.loads(site.ask("/api/v1/units").body) == []
    series = Series(("id", "unit", "kind"), [("/docker/0123", "db", "container")])
    source.the_tables = [Table("container_processes", "gauge", "", series, values=np.array([3.0]))]
    [unit] = json.loads(site.ask("/api/v1/units").body)
    assert (unit["kind"], unit["unit"], unit["id"]) == ("container", "db", "/docker/0123")
    assert (unit["processes"], unit["cpu_seconds"]) == (3.0, None)


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/lanes", "/api/v1/methods"]
)
def test_head_has_headers_and_no_body(site: Any, path: str) -> None:
    head = site.ask(path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(site.ask(path).body))


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/ready", "/api/v1/calls", "/none"])
def test_nothing_is_kept_or_guessed(site: Any, path: str) -> None:
    headers = site.ask(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


def test_an_unknown_path(site: Any) -> None:
    answer = site.ask("/metric")
    assert answer.status == 404
    assert answer.text.startswith("404 Not Found; there are: / /metrics /-/healthy")


def test_a_method_that_is_not_there(site: Any) -> None:
    answer = site.ask("/metrics", "POST")
    assert answer.status == 405
    assert answer.text.startswith("405 Method Not Allowed; there are: ")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


# ---- where we are is not for a client to say -----------------------------------------------------


class NoTraces:
    def find(self, query: Query) -> list[Trace]:
        return []

    def spans(self, trace: bytes) -> list[StoredSpan]:
        return []


def redirected(source: Any, path: str, query: bytes = b"") -> tuple[int, str]:
    """Return status and location of the application's answer to a request for another host."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
        "query_string": query, "root_path": "", "scheme": "http", "http_version": "1.1",
        "headers": [(b"host", b"evil.example"), (b"x-forwarded-host", b"evil.example")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    asyncio.run(make_app(source, {}, traces=NoTraces())(scope, receive, send))
    headers: Sequence[tuple[bytes, bytes]] = sent[0]["headers"]
    return sent[0]["status"], dict(headers).get(b"location", b"").decode()


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/traces", "/traces/7b7b", "/-/ready", "/api/v1/lanes", "/api/v1/traces/7b7b"],
)
def test_a_slash_too_many_leads_to_the_same_place_without_it(source: Any, path: str) -> None:
    for where in ("https://node-1:9464", "http://proxy/shmetrics"):
        status, location = redirected(source, f"{path}/", b"limit=3&service=a%2Fb")
        assert status == 307
        assert "evil" not in location
        assert urljoin(f"{where}{path}/", location) == f"{where}{path}?limit=3&service=a%2Fb"


@pytest.mark.parametrize(
    "path",
    ["//evil.example/", "//evil.example//", "/traces//", "/\\evil.example/", "/https://evil.example/",
     "/traces/https://evil.example/", "/none/", "/traces//evil.example/"],
)  # fmt: skip
def test_no_path_leads_to_another_host(source: Any, path: str) -> None:
    assert redirected(source, path) == (404, "")


@pytest.mark.parametrize("id", ["\r\nx: y", "javascript:x", "\u20ac", "..", "\\evil"])
def test_an_id_leads_nowhere_else(source: Any, id: str) -> None:
    _, location = redirected(source, f"/traces/{id}/")
    assert location.isascii()
    assert location.isprintable()
    assert urljoin("http://here/traces/x/", location).startswith("http://here/")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://node-1/metrics", 200),
        ("http://node-1:9464/metrics?name[]=x", 200),
        ("HTTPS://[::1]:1/-/ready", 200),
        ("http://evil.example", 200),
        ("http://evil.example?x", 200),
        ("http:///metrics", 200),
        ("http://evil.example/none", 404),
        ("ftp://node-1/metrics", 404),
        ("/http://node-1/metrics", 404),
        ("http:/metrics", 404),
        ("*", 404),
    ],
)
def test_a_whole_url_is_a_target_too(site: Any, target: str, status: int) -> None:
    """Check whole URLs, which clients send to proxies, and every server has to accept."""
    request = f"GET {target} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"
    answer = tell(site.server.url, request.encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"evil.example" not in answer
