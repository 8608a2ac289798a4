# SPDX-License-Identifier: Apache-2.0
"""A collector that passes on what the processes of its node record, to real receivers."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shmetrics.hooks.osprofiler.driver import Shm
from tests.hooks.osprofiler.conftest import without_times
from tests.nodes.node import Node, node
from tests.servers.misbehaving import ANSWER, Conversation, Misbehaving
from tests.servers.otlp import GrpcReceiver, HttpReceiver, attributes_of, say, spans_of
from tests.servers.ports import ReservedPort
from tests.servers.processes import until
from tests.servers.redis import Redis, lacking

__all__ = ["node"]

SECONDS = 60.0
BASE = str(uuid.UUID(int=1 << 100))

# A request of two services, in which something fails; and one that never ends.
REQUEST = f"""
    import os, uuid
    from shmetrics.emitter.spans import Spans

    BASE = "{BASE}"
    OUTER, INNER, OPEN = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
    while not shmetrics.status()["connected"]:
        shmetrics.Counter("registers", "It").inc()
    api, compute = Spans("api", "nova", "one"), Spans("compute", "nova", "two")
    api.start("wsgi", OUTER, BASE, BASE, {{"host": "one", "request": {{"path": "/v2"}}}})
    compute.start("db", INNER, BASE, OUTER, {{"host": "two", "db": {{"statement": "SELECT 1"}}}})
    compute.stop("db", INNER, BASE, OUTER, {{"host": "two", "etype": "OSError", "message": "no"}})
    api.stop("wsgi", OUTER, BASE, BASE, {{"host": "one"}})
    compute.start("rpc", OPEN, BASE, OUTER, {{"host": "two"}})
    pause("done")
"""


def forwards(*destinations: str) -> str:
    tables = (f'[[traces.forward]]\nto = "{to}"\nbatch_seconds = 0.05\n' for to in destinations)
    return "\n".join(tables)


def counted(node: Node, family: str, **labels: str) -> float:
    return node.samples().get((f"shmetrics_{family}_total", tuple(sorted(labels.items()))), 0.0)


def reaches(node: Node, n: int, family: str, **labels: str) -> None:
    """Wait until so many are counted."""
    until(lambda: counted(node, family, **labels) >= n, lambda: node.log, SECONDS)
    assert counted(node, family, **labels) == n


def arrived(receiver: HttpReceiver | GrpcReceiver, n: int) -> list[Any]:
    """Return the spans of a receiver by name, once there are so many."""
    until(lambda: len(spans_of(receiver.requests)) >= n, lambda: "not there", SECONDS)
    return sorted(spans_of(receiver.requests), key=lambda span: span.name)


def test_spans_arrive_by_http_and_by_grpc(
    node: Node, http: HttpReceiver, grpc_receiver: GrpcReceiver
) -> None:
    node.start(forwards(http.url, grpc_receiver.url))
    emitter = node.emitter(REQUEST)
    emitter.until("done")
    for receiver in (http, grpc_receiver):
        inner, outer = arrived(receiver, 2)  # "db" and "wsgi"
        assert inner.trace_id == outer.trace_id == uuid.UUID(BASE).bytes
        assert (inner.parent_span_id, outer.parent_span_id) == (outer.span_id, b"")
        assert outer.start_time_unix_nano < inner.start_time_unix_nano
        assert inner.end_time_unix_nano < outer.end_time_unix_nano
        assert attributes_of(inner) == {"host": "two", "db.statement": "SELECT 1"}
        assert inner.status.message == "OSError: no"
        services = [
            attributes_of(resource.resource)["service.name"]
            for request in receiver.requests
            for resource in request.resource_spans
        ]
        assert sorted(services) == ["api", "compute"]
    # The one that is open goes once its process has died.
    emitter.kill()
    for receiver in (http, grpc_receiver):
        _, died, _ = arrived(receiver, 3)  # "rpc"
        assert attributes_of(died)["shmetrics.state"] == "process died"
        reaches(node, 3, "forwarded_spans", to=receiver.url)


def test_a_receiver_that_comes_late_gets_all_of_them(node: Node, http: HttpReceiver) -> None:
    for _ in range(2):
        http.answers.append(lambda handler: say(handler, 503))
    node.start(forwards(http.url))
    emitter = node.emitter(REQUEST)
    emitter.until("done")
    assert len(arrived(http, 2)) == 2
    assert http.tries == 3
    reaches(node, 2, "forward_retries", to=http.url)
    assert "spans are not forwarded: 503" in node.log
    emitter.go()
    emitter.end()


def test_what_is_refused_is_counted(node: Node, http: HttpReceiver) -> None:
    http.answers.append(lambda handler: say(handler, 400))
    node.start(forwards(http.url))
    emitter = node.emitter(REQUEST)
    emitter.until("done")
    labels = {"to": http.url, "reason": "refused"}

    def all_told() -> bool:
        lost = counted(node, "forward_lost", **labels)
        return lost >= 1 and lost + counted(node, "forwarded_spans", to=http.url) == 2

    until(all_told, lambda: node.log, SECONDS)
    emitter.go()
    emitter.end()


def test_a_stop_passes_on_what_is_there(node: Node, http: HttpReceiver) -> None:
    node.start(forwards(http.url).replace("0.05", "60.0"))
    emitter = node.emitter(REQUEST)
    emitter.until("done")
    node.stop()
    assert len(spans_of(http.requests)) == 2
    node.start()
    assert counted(node, "forwarded_spans", to=http.url) == 2
    emitter.go()
    emitter.end()


def test_what_a_stop_leaves_behind_is_counted(node: Node) -> None:
    nobody = ReservedPort()
    to = f"otlp+http://127.0.0.1:{nobody.number}"
    node.start(forwards(to))
    emitter = node.emitter(REQUEST)
    emitter.until("done")
    until(lambda: counted(node, "forward_retries", to=to), lambda: node.log, SECONDS)
    node.stop()
    node.start()
    assert counted(node, "forward_lost", to=to, reason="stopped") == 2
    emitter.go()
    emitter.end()
    nobody.release()


def test_a_receiver_that_drips_is_given_up_and_holds_up_nobody(
    node: Node, http: HttpReceiver
) -> None:
    """Check that it does not hold up the end, either."""

    def drips(client: Conversation) -> None:
        client.listen()
        client.drip(ANSWER)

    slow = Misbehaving(drips)
    to = f"otlp+http://127.0.0.1:{slow.port}/v1/traces"
    often = "timeout_seconds = 0.2\ngive_up_seconds = 0.5\n"
    node.start(forwards(http.url, to) + often)
    emitter = node.emitter(REQUEST)
    emitter.until("done")
    reaches(node, 2, "forwarded_spans", to=http.url)
    reaches(node, 2, "forward_lost", to=to, reason="gave_up")
    assert "spans are not forwarded: timed out" in node.log
    emitter.go()
    emitter.end()
    node.stop()
    slow.close()


def test_one_span_costs_no_other(node: Node, http: HttpReceiver) -> None:
    """Check a span with an id that OTLP calls invalid."""
    node.start(forwards(http.url))
    odd = """
    zeros = str(uuid.UUID(int=1 << 64))
    api.start("wsgi", zeros, BASE, OUTER)
    api.stop("wsgi", zeros, BASE, OUTER)
    pause("done")
"""
    emitter = node.emitter(REQUEST.replace('    pause("done")\n', odd))
    emitter.until("done")
    assert [span.name for span in arrived(http, 2)] == ["db", "wsgi"]
    reaches(node, 1, "forward_lost", to=http.url, reason="failed")
    reaches(node, 2, "forwarded_spans", to=http.url)
    emitter.go()
    emitter.end()


# ---- OSProfiler's back-ends ---------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    if lacking():
        pytest.skip(lacking())
    server = Redis(tmp_path)
    yield server
    server.stop()


def shown(connection_string: str) -> Any:
    """Return the trace as OSProfiler's command shows it."""
    command = [sys.executable, "-m", "osprofiler.cmd.shell", "trace", "show", "--json", BASE]
    command += ["--connection-string", connection_string]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_redis_shows_what_the_collector_shows(
    node: Node, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMETRICS_RUNTIME_DIR", str(node.runtime_dir))
    node.start(forwards(redis.url))
    emitter = node.emitter(REQUEST)
    emitter.until("done")
    emitter.kill()
    reaches(node, 3, "forwarded_spans", to=redis.url)
    found = shown(redis.url)
    wanted = json.loads(json.dumps(Shm("shm://").get_report(BASE)))
    assert without_times(found) == without_times(wanted)
    assert found["stats"].keys() == {"wsgi", "db", "rpc"}


def test_a_back_end_that_comes_late_gets_all_of_them(node: Node, tmp_path: Path) -> None:
    port = ReservedPort()
    to = f"redis://127.0.0.1:{port.number}"
    node.start(forwards(to))
    emitter = node.emitter(REQUEST)
    emitter.until("done")
    until(lambda: counted(node, "forward_retries", to=to), lambda: node.log, SECONDS)
    if lacking():
        pytest.skip(lacking())
    redis = Redis(tmp_path, port=port)
    reaches(node, 2, "forwarded_spans", to=to)
    assert shown(to)["stats"]["wsgi"]["count"] == 1
    redis.stop()
    emitter.go()
    emitter.end()
