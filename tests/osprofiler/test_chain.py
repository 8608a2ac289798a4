# SPDX-License-Identifier: Apache-2.0
"""One request through real services: WSGI, RPC over RabbitMQ, a worker, SQL and Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from osprofiler import _utils

from tests.collector.node import Node
from tests.servers.processes import until
from tests.servers.rabbitmq import RabbitMQ, rabbitmq
from tests.servers.redis import Redis

from .conftest import without_times

__all__ = ["rabbitmq"]

KEY = "a key of the chain"
COMMAND = (
    "import sys, shmetrics.hooks.osprofiler.driver; "
    "from osprofiler.cmd.shell import main; sys.exit(main())"
)
SPANS = 11

Start = Callable[..., int]


@pytest.fixture
def start(node: Node, rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path) -> Iterator[Start]:
    """``start(**env)`` starts the collector and the services; the port of the API."""
    running: list[subprocess.Popen[str]] = []
    config = tmp_path / "chain.conf"
    config.write_text(
        f"""
[DEFAULT]
transport_url = shmetrics+{rabbitmq.url}
[profiler]
enabled = true
hmac_keys = older,{KEY}
connection_string = shm://
trace_wsgi = true
trace_rpc = true
trace_sqlalchemy = true
trace_transactions = true
trace_redis = true
"""
    )

    def service(name: str, env: dict[str, str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore", "-m", f"tests.osprofiler.chain.{name}"]
        process = subprocess.Popen(
            [*command, str(config)],
            env={**os.environ, "SHMETRICS_RUNTIME_DIR": str(node.runtime_dir), **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    def line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def start(**env: str) -> int:
        node.start()
        env |= {"CHAIN_REDIS": redis.url, "CHAIN_DATABASE": f"sqlite:///{tmp_path}/chain.db"}
        api, worker = service("api", env), service("worker", env)
        port = line(api)
        assert [line(api), line(worker)] == ["ready", "ready"]
        return int(port)

    yield start
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
    for process in running:
        assert process.wait(60) == 0
        assert process.stdout is not None
        process.stdout.close()


def ask(port: int, key: str = KEY) -> str:
    """One request that is to be traced; its base id."""
    base_id = str(uuid.uuid4())
    info, signature = _utils.signed_pack({"base_id": base_id, "parent_id": base_id}, key)
    headers = {"X-Trace-Info": info.decode(), "X-Trace-HMAC": str(signature)}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{base_id}", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        assert int(response.read()) > 0
    return base_id


def show(node: Node, base_id: str, connection_string: str) -> Any:
    """What OSProfiler's own command says."""
    words = ["trace", "show", "--json", base_id, "--connection-string", connection_string]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMMAND, *words],
        env=os.environ | {"SHMETRICS_RUNTIME_DIR": str(node.runtime_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def names(report: Any) -> Any:
    """The tree of a report: names, and those below them in the order of time."""
    if not report["children"]:
        return report["info"]["name"]
    return {report["info"]["name"]: [names(child) for child in report["children"]]}


def whole(node: Node, base_id: str) -> Any:
    """The trace, once all of it is there."""

    def spans() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(node.get(f"/api/v1/traces/{base_id}"))["spans"]
        return found

    until(
        lambda: [span["state"] for span in spans()] == ["done"] * SPANS,
        lambda: json.dumps(spans(), indent=1),
        30,
    )
    return spans()


WORK = [
    {"db.transaction": ["db"]},
    {"db.transaction": ["db"]},
    "redis",
    {"count": [{"db.transaction": ["db"]}]},
]
TREE = {"total": [{"wsgi": [{"rpc": [{"rpc": WORK}]}]}]}


def test_a_request_is_one_tree_and_the_same_as_through_redis(
    start: Start, node: Node, redis: Redis
) -> None:
    """Both are told of every span by the same processes; OSProfiler's command says it."""
    base_id = ask(start(CHAIN_TOO=redis.url))
    whole(node, base_id)
    ours = show(node, base_id, "shm://")
    assert names(ours) == TREE
    assert without_times(ours) == without_times(show(node, base_id, redis.url))


def test_the_compiled_profiler_says_the_same(start: Start, node: Node) -> None:
    base_id = ask(start(CHAIN_COMPILED="1"))
    spans = whole(node, base_id)
    assert names(show(node, base_id, "shm://")) == TREE
    assert [span["service"] for span in spans] == ["api"] * 2 + ["worker"] * (SPANS - 2)
    assert [span["exception"] for span in spans if span["exception"]] == ["sqlite3.IntegrityError"]


def test_a_forged_request_is_served_and_traced_nowhere(start: Start, node: Node) -> None:
    port = start()
    base_id = ask(port, key="somebody's own")
    whole(node, ask(port))
    assert json.loads(node.get(f"/api/v1/traces/{base_id}"))["spans"] == []
    assert len(json.loads(node.get("/api/v1/traces"))) == 1
