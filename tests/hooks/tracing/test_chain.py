# SPDX-License-Identifier: Apache-2.0
"""One request through a cloud in small: API, RabbitMQ, worker, database and Redis; one tree."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hooks.osprofiler.conftest import redis, without_times
from tests.nodes.node import Node
from tests.nodes.samples import OPENMETRICS
from tests.servers.processes import ServerProcess
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

from .conftest import KEY, new_id, signed, spans

__all__ = ["redis"]

CHAIN = Path(__file__).with_name("chain.py")
CONFIG = """
[DEFAULT]
transport_url = shmetrics+{broker}

[profiler]
enabled = true
hmac_keys = {key}
connection_string = shm://
compiled_profiler = true
trace_wsgi = true
trace_rpc = true
trace_sqlalchemy = true
trace_transactions = true
trace_redis = true
"""


class Cloud:
    """The two services, running; they are asked at *port*."""

    def __init__(self, node: Node, folder: Path, broker: str, redis_url: str, *more: str) -> None:
        file = folder / "cloud.conf"
        file.write_text(CONFIG.format(broker=broker, key=KEY))
        env = {**os.environ, "SHMETRICS_RUNTIME_DIR": str(node.runtime_dir)}
        self._services: list[ServerProcess] = []
        for role in ("worker", "api"):
            log = folder / f"{role}.log"
            command = [sys.executable, str(CHAIN), str(file), role, redis_url]
            service = ServerProcess([*command, f"sqlite:///{folder}/names.db", *more], log, env)
            self._services.append(service)
            service.ready_when(lambda log=log: "ready" in log.read_text(), 60)  # type: ignore[misc]
        self.port = int(log.read_text().split("ready ")[1].split()[0])

    def ask(self, name: str, sent: dict[str, str]) -> tuple[int, str]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        client.request("GET", f"/{name}", headers=sent)
        response = client.getresponse()
        answer = response.status, response.read().decode()
        client.close()
        return answer

    def stop(self) -> list[int]:
        for service in self._services:
            service.terminate()
        return [service.stop() for service in self._services]


@pytest.fixture(params=["too"])
def cloud(
    request: pytest.FixtureRequest,
    node: Node,
    tmp_path: Path,
    rabbitmq: RabbitMQ,
    redis: Redis,
) -> Iterator[Cloud]:
    node.start()
    found = Cloud(node, tmp_path, rabbitmq.url, redis.url, *request.param.split())
    yield found
    assert found.stop() == [0, 0]


def shown(node: Node, base_id: str, url: str) -> Any:
    """Return a trace as OSProfiler's own command shows it."""
    code = "import shmetrics.hooks.osprofiler.driver\nfrom osprofiler.cmd.shell import main\nmain()"
    command = ["trace", "show", "--json", base_id, "--connection-string", url]
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        env={**os.environ, "SHMETRICS_RUNTIME_DIR": str(node.runtime_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return without_times(json.loads(done.stdout))


def outline(found: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    """Return the tree: the depth, the service and the name of each span."""
    depths: dict[str, int] = {}
    for span in found:
        depths[span["trace_id"]] = depths.get(span["parent_id"], -1) + 1
    return [(depths[span["trace_id"]], span["service"], span["name"]) for span in found]


TREE = [
    (0, "api", "wsgi"),
    (1, "api", "rpc"),
    (2, "worker", "rpc"),
    (3, "worker", "db.transaction"),
    (4, "worker", "db"),
    (4, "worker", "db"),
    (3, "worker", "redis"),
]


def test_a_request_is_one_tree_and_the_report_is_redis_s(
    node: Node, cloud: Cloud, redis: Redis
) -> None:
    assert cloud.ask("first", {}) == (200, "kept first")  # connects, and has no trace
    good, bad = new_id(), new_id()
    assert cloud.ask("secret", signed(base_id=good)) == (200, "kept secret")
    assert cloud.ask("refused", signed(base_id=bad)) == (500, "RemoteError")
    assert cloud.ask("last", {}) == (200, "kept last")

    assert outline(spans(node, good)) == TREE
    assert {span["state"] for span in spans(node, good)} == {"done"}
    for base_id, name in ((good, "secret"), (bad, "refused")):
        assert name not in str(spans(node, base_id)).replace(f"/{name}", "")  # the path is its own
    assert outline(spans(node, bad)) == TREE
    failed = {
        span["start_info"]["rpc"].get("call_type", "served"): span["stop_info"]["etype"]
        for span in spans(node, bad)
        if span["name"] == "rpc"
    }
    assert failed == {"call": "StatementError", "served": "StatementError"}

    for base_id in (good, bad):
        assert shown(node, base_id, "shm://") == shown(node, base_id, redis.url)
    listed = json.loads(node.get("/api/v1/traces"))
    assert {trace["base_id"] for trace in listed} == {good, bad}


@pytest.mark.parametrize("cloud", [""], indirect=True)
def test_straight_into_the_lane_it_is_the_same_tree(node: Node, cloud: Cloud) -> None:
    good = new_id()
    assert cloud.ask("kept", signed(base_id=good)) == (200, "kept kept")
    found = json.dumps(shown(node, good, "shm://"))
    assert outline(spans(node, good)) == TREE
    assert [found.count(f'"name": "{name}"') for name in ("wsgi", "rpc", "db", "redis")] == [
        1,
        2,
        2,
        1,
    ]


def test_the_figures_of_a_method_point_at_a_trace(node: Node, cloud: Cloud) -> None:
    good = new_id()
    assert cloud.ask("kept", signed(base_id=good)) == (200, "kept kept")
    known = json.loads(node.get("/api/v1/methods"))
    traces = {row["family"].rpartition("rpc_")[2]: row["trace"] for row in known}
    assert (traces["client"], traces["server"]) == (good, good)
    assert f'href="/traces/{good}"' in node.get("/").decode()
    hexadecimal = good.replace("-", "")
    assert f'trace_id="{hexadecimal}"' in node.get("/metrics", OPENMETRICS).decode()
    assert json.loads(node.get(f"/api/v1/traces/{hexadecimal}"))["base_id"] == good


def test_a_forged_request_is_served_and_traced_nowhere(node: Node, cloud: Cloud) -> None:
    forged, good = new_id(), new_id()
    assert cloud.ask("kept", signed("somebody's own", base_id=forged)) == (200, "kept kept")
    assert cloud.ask("kept", signed(base_id=good)) == (200, "kept kept")
    listed = json.loads(node.get("/api/v1/traces"))
    assert {trace["base_id"] for trace in listed} == {good}
