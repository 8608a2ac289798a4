# SPDX-License-Identifier: Apache-2.0
"""UTF-8 names from a service to a client: in every format, on the pages, in a real Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_newer
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from tests.cli.conftest import command
from tests.nodes.node import Node
from tests.render import client_model
from tests.servers.prometheus import Prometheus

__all__ = ["command"]

pytestmark = pytest.mark.slow

SERVICE = """
labels = ["http.method", "größe"]
shmetrics.Counter("http.server.requests", "Requests", labels).labels("GET", "S").inc(2)
shmetrics.Counter("http_server_requests", "As they were called before").inc(3)
shmetrics.Gauge("queue/längest", "Länge", multiprocess_mode="sum").set(7)
shmetrics.Histogram("http.server.duration", "Time", unit="seconds", buckets=(1, 2)).observe(1.5)
shmetrics.Counter("labels.alike", "Jobs", ["a.b", "a_b"]).labels("1", "2").inc()
shmetrics.Counter("process.cpu.time", "The collector's, in a scheme").inc()
call = shmetrics.Calls("rpc.<b>server</b>", "Calls", ["method", "x.y"]).labels("<i>m</i>", "z")
with call():
    pass
token = call.start()
"""
UTF_8 = ";escaping=allow-utf-8"
TEXT = "text/plain;version=1.0.0"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)
METHOD = {"http.method": "GET", "größe": "S"}


@pytest.fixture
def served(node: Node) -> Node:
    """Return a node with a service that has recorded, and lives."""
    node.start()
    node.emitter(SERVICE + 'pause("recorded")\n').until("recorded")
    return node


def test_a_client_that_asks_for_them_reads_the_services_names(served: Node) -> None:
    for accept, parse in ((TEXT, parse_text), (OPENMETRICS, parse_newer)):
        body = served.get("/metrics", accept + UTF_8).decode()
        samples = [one for family in parse(body) for one in family.samples]
        assert value_of(samples, "http.server.requests_total", **METHOD) == 2
        assert value_of(samples, "http_server_requests_total") == 3
        assert value_of(samples, "queue/längest") == 7
        assert value_of(samples, "http.server.duration_seconds_bucket", le="2.0") == 1
        assert value_of(samples, "labels.alike_total", **{"a.b": "1", "a_b": "2"}) == 1
        started = "rpc.<b>server</b>_invocation_start_total"
        assert value_of(samples, started, **{"method": "<i>m</i>", "x.y": "z"}) == 2
        assert not [one for one in samples if "cpu.time" in one.name]
    families = client_model.parse(served.get("/metrics", PROTOBUF + UTF_8))
    (requests,) = [one for one in families if one.name == "http.server.requests_total"]
    assert {one.name: one.value for one in requests.metric[0].label} == METHOD
    assert requests.metric[0].counter.created_timestamp.seconds > 0


def value_of(samples: list[Sample], name: str, **labels: str) -> float:
    """Return the value of the one sample of this name and these labels."""
    (value,) = (one.value for one in samples if (one.name, one.labels) == (name, labels))
    return float(value)


@pytest.mark.parametrize("accept", ["", TEXT, OPENMETRICS])
def test_others_read_names_that_they_know(served: Node, accept: str) -> None:
    found = served.samples(accept)
    assert found.of("http_server_requests_total") == {(): 3}
    assert found.value("queue_l_ngest") == 7
    assert found.value("http_server_duration_seconds_sum") == 1.5
    assert found.value("rpc__b_server__b__invocation_start_total", method="<i>m</i>", x_y="z") == 2
    assert not found.names("labels")
    assert served.samples().value("shmetrics_families_left_out", escaping="underscores") == 2
    assert served.samples().value("shmetrics_refused_families_total", reason="reserved_name") == 1


def test_what_is_left_out_is_said(
    served: Node, command: Callable[..., tuple[int, str, str]]
) -> None:
    reasons = {
        "http.server.requests": "its name is http_server_requests, as one of "
        "'http_server_requests' is",
        "labels.alike": "its labels 'a.b' and 'a_b' are both a_b",
    }
    for _ in range(3):
        served.samples()
    listed = json.loads(served.get("/api/v1/left_out"))
    assert {one["family"]: one["reason"] for one in listed} == reasons
    _, checked, _ = command("check", "--runtime-dir", str(served.runtime_dir))
    for family, reason in reasons.items():
        line = f"{family}: left out of scrapes with escaping=underscores: {reason}"
        assert f"WRONG  {line}" in checked
        assert served.log.count(line) == 1
    assert "metric name 'process.cpu.time" in served.log


def test_pages_and_commands_have_the_names_as_they_are(
    served: Node, command: Callable[..., tuple[int, str, str]]
) -> None:
    page = served.get("/").decode()
    assert "<b>server" not in page
    assert "<i>m</i>" not in page
    assert "rpc.&lt;b&gt;server&lt;/b&gt;" in page
    (call,) = json.loads(served.get("/api/v1/calls"))
    assert call["family"] == "rpc.<b>server</b>"
    assert call["labels"] == {"method": "<i>m</i>", "x.y": "z"}
    _, shown, _ = command("top", "--once", "--runtime-dir", str(served.runtime_dir))
    assert "rpc.<b>server</b>" in shown


def test_names_outlive_the_collector(served: Node) -> None:
    before = served.get("/metrics?name[]=http.server.requests", TEXT + UTF_8)
    assert '{"http.server.requests_total","größe"="S","http.method"="GET"} 2.0' in before.decode()
    served.stop()
    served.start()
    assert served.get("/metrics?name[]=http.server.requests", TEXT + UTF_8) == before


def test_a_prometheus_stores_what_it_knows(
    served: Node, prometheus: Callable[..., Prometheus]
) -> None:
    """Check that an older one gets underscores, and a newer one the names as they are."""
    server = prometheus(served.url + "/metrics")
    assert server.wait_for('{__name__=~"queue.l.+ngest"}')[0][1] == 7
    (target,) = server.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert server.samples("http_server_requests_total")[0] == (
        {"__name__": "http_server_requests_total"},
        3,
    )
    assert server.samples('{__name__=~".+_created"}') == []
