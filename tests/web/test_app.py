# SPDX-License-Identifier: Apache-2.0
"""What is at which path, over a real socket."""

import gzip
import json
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text


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


@pytest.mark.parametrize("what", ["lanes", "calls"])
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
