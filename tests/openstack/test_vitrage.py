# SPDX-License-Identifier: Apache-2.0
"""Vitrage: requests to its API, which the graph's worker answers over RPC."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

import pytest

from tests.openstack import counted, trees
from tests.openstack.cloud import PREFIX, Cloud
from tests.openstack.deployment import Sections
from tests.openstack.environments import environment
from tests.openstack.logs import ours_in
from tests.openstack.result import Result
from tests.openstack.telemetry import KEY, Telemetry, trace_headers
from tests.openstack.trees import Tree, tree_of
from tests.openstack.vitrage import PACKAGES, Vitrage
from tests.servers.otlp import HttpReceiver, spans_of
from tests.servers.patience import until
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis


@pytest.fixture
def cloud(tmp_path: Path, rabbitmq: RabbitMQ) -> Cloud[Vitrage]:
    return Cloud(Vitrage, environment("vitrage", PACKAGES), tmp_path, rabbitmq)


SERVED: Final = "oslo_messaging_rpc_server_invocation_start_total"
REQUESTS = {
    "/template": 200,
    "/alarm/": 200,
    "/resources/": 200,
    "/resources/unknown": 404,
}


def work(vitrage: Vitrage, key: str = KEY) -> dict[str, str]:
    """Ask for some things, each in a trace of its own; return the base ids of these."""
    ids = {path: str(uuid.uuid4()) for path in ("/topology", *REQUESTS)}
    headers = {path: trace_headers(id, key) for path, id in ids.items()}
    # Vitrage 15 raises KeyError here, since networkx has another name for `links`.
    everything = {"graph_type": "graph", "all_tenants": True}
    assert vitrage.api("POST", "/topology", everything, **headers["/topology"])[0] == 404
    for path, status in REQUESTS.items():
        assert vitrage.api("GET", path, **headers[path])[0] == status
    return ids


def traced(measured: Telemetry, ids: dict[str, str]) -> dict[str, Tree]:
    return {path: measured.tree(id) for path, id in ids.items()}


def test_every_call_is_counted_as_oslo_metrics_counts_it(
    cloud: Cloud[Vitrage], result: Result
) -> None:
    with cloud.run() as (vitrage, measured):
        assert measured.processes(vitrage) == set()
        work(vitrage)
        assert measured.processes(vitrage) == {"vitrage-api", "vitrage-graph"}
        vitrage.stop()
    assert ours_in(vitrage.logs()) == []
    sets = [dict(labels) for labels in measured.samples.counted(SERVED)]
    assert {(each["exchange"], each["topic"], each["server"]) for each in sets} == {
        ("vitrage", "rpcapiv1", "__uuid__")
    }
    assert measured.samples.sum(SERVED, method="is_alive") == 1 + len(REQUESTS)
    result.add("Vitrage", "calls, against datagrams", counted.compare(measured))
    result.add_label_sets("five requests", measured.samples)
    failed = {"method": "get_topology", "exception": "KeyError"}
    for side in ("client", "server"):
        assert measured.samples.sum(f"oslo_messaging_rpc_{side}_exception_total", **failed) == 1


def test_the_tree_is_that_of_osprofilers_own_driver(
    cloud: Cloud[Vitrage], redis: Redis, result: Result
) -> None:
    # Without trace_rpc OSProfiler keeps the first trace of each thread that serves.
    storage = f"{redis.url}/1"
    with cloud.run(storage, profiler={"trace_rpc": True}) as (vitrage, _):
        theirs = {path: tree_of(storage, id) for path, id in work(vitrage).items()}
    with cloud.run(profiler={"trace_rpc": True}) as (vitrage, measured):
        ours = traced(measured, work(vitrage))
    found = trees.compare(theirs, ours)
    result.add("Vitrage", "spans of five requests, `redis://` and `shm://`", found)


def test_without_trace_rpc_a_thread_keeps_its_first_trace(cloud: Cloud[Vitrage]) -> None:
    """Have one thread that serves. Of many, each does so once it has served."""
    with cloud.run(more={"DEFAULT": {"executor_thread_pool_size": 1}}) as (vitrage, measured):
        found = traced(measured, work(vitrage))
    served = {
        path: [name for name in tree.names() if name.endswith(" apis")]
        for path, tree in found.items()
    }
    assert {path for path, names in served.items() if names} == {"/topology"}
    assert {"topology apis", "resource apis"} <= {*served["/topology"]}


def test_rpc_is_in_the_tree_by_configuration(cloud: Cloud[Vitrage]) -> None:
    """Initialization, options, WSGI and RPC: all by `[profiler]` of vitrage.conf."""
    on = {"trace_rpc": True, "trace_wsgi": True, "compiled_profiler": True}
    with cloud.run(profiler=on) as (vitrage, measured):
        found = traced(measured, work(vitrage))
    for path, tree in found.items():
        assert tree.parents("wsgi") == {"trace": 1}, path
        below = tree.parents("rpc")
        assert below["rpc"] * 2 == below.total() > 0  # a server's below its client's


def test_a_trace_with_another_key_is_none(cloud: Cloud[Vitrage]) -> None:
    with cloud.run(profiler={"trace_wsgi": True, "trace_rpc": True}) as (vitrage, measured):
        work(vitrage, key="somebody-elses")
        assert measured.get("/api/v1/traces") == []
    assert measured.samples.sum("osprofiler_source_refused_total", reason="signature") == 5


def test_what_osprofiler_sends_over_the_bus_is_in_another_exchange(
    cloud: Cloud[Vitrage], rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    """Have OSProfiler's own `messaging://` driver, to which `shmetrics notifications` listens."""
    with cloud.run("messaging://", profiler={"trace_rpc": True}) as (vitrage, measured):
        url = ("--transport-url", rabbitmq.url)
        with measured.daemon(tmp_path / "bus", "is listening", "notifications", *url):
            for base_id in work(vitrage).values():
                until(lambda: measured.tree(base_id).children, lambda: base_id, 30)  # noqa: B023
        vitrage.stop()
    assert ours_in(vitrage.logs()) == []
    sent = measured.samples.counted("oslo_messaging_notification_client_invocation_start_total")
    assert {(dict(labels)["exchange"], dict(labels)["topic"]) for labels in sent} == {
        ("openstack", "profiler")
    }


def test_oslo_messagings_own_tracing_goes_on_beside_ours(
    cloud: Cloud[Vitrage], result: Result
) -> None:
    """Both have each call as a span at the client and one at the server, in traces of their own."""
    receiver = HttpReceiver()
    stock: Sections = {
        "oslo_messaging_tracing": {
            "tracing_enabled": True,
            "otel_exporter_otlp_endpoint": f"http://127.0.0.1:{receiver.port}",
        }
    }
    try:
        with cloud.run(more=stock, profiler={"trace_rpc": True}) as (vitrage, measured):
            found = traced(measured, work(vitrage))
            until(lambda: spans_of(receiver.requests), list, 30)
            vitrage.stop()
        assert ours_in(vitrage.logs()) == []
        assert all(tree.parents("rpc")["rpc"] > 0 for tree in found.values())
        counted.compare(measured)
        theirs = len(spans_of(receiver.requests))
        assert theirs > 0
        result.add("Vitrage", "spans of stock tracing, beside ours", str(theirs))
    finally:
        receiver.close()


def test_workers_are_killed_reloaded_and_stopped(cloud: Cloud[Vitrage]) -> None:
    """Check that it is so without us: a worker of the graph that comes later has no graph."""
    for prefix in ("", PREFIX):
        with cloud.run(prefix=prefix) as (vitrage, measured):
            work(vitrage)
            for replace in (vitrage.kill_workers, vitrage.reload):
                replace("vitrage-graph")
                assert [vitrage.api("GET", path)[0] for path in REQUESTS] == [503] * len(REQUESTS)
            assert vitrage.stop("vitrage-graph") == {"vitrage-graph": 0}
    assert ours_in(vitrage.logs()) == []
    assert measured.samples.sum(SERVED, method="is_alive") == 1 + 3 * len(REQUESTS)
