# SPDX-License-Identifier: Apache-2.0
"""`shmetrics notifications` on a real broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu.connection
import kombu.entity
import pytest

from shmetrics.hooks.osprofiler.driver import Shm
from tests.hooks.osprofiler.conftest import without_times
from tests.nodes.node import Node, node
from tests.servers.ports import ReservedPort
from tests.servers.processes import ServerProcess, until
from tests.servers.rabbitmq import RabbitMQ

from .test_payload import GOOD

__all__ = ["node"]

SECONDS = 60.0
ROOT = Path(__file__).resolve().parents[2]
SENDER = Path(__file__).with_name("sender.py")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Node]:
    """Yield another node, into whose traces notifications go."""
    folder = tmp_path / "other"
    folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="shm-") as runtime_dir:
        found = Node(Path(runtime_dir), folder)
        found.start()
        yield found
        found.close()


class Listening:
    """The command, running."""

    def __init__(self, log: Path, url: str, runtime_dir: Path, *options: str) -> None:
        self.log = log
        command = [sys.executable, "-m", "shmetrics", "notifications", *options]
        command += ["--runtime-dir", str(runtime_dir)]
        env = {**os.environ, "SHMETRICS_TRANSPORT_URL": url}
        self._process = ServerProcess(command, log, env)

    def until(self, text: str) -> None:
        self._process.ready_when(lambda: text in self.log.read_text(), SECONDS)

    def stop(self) -> str:
        """Stop the process, and return the last line of its log."""
        assert self._process.stop() == 0
        return self.log.read_text().splitlines()[-1]


Listen = Callable[..., Listening]


@pytest.fixture
def listen(tmp_path: Path, rabbitmq: RabbitMQ, other: Node) -> Listen:
    def listen(*options: str) -> Listening:
        found = Listening(tmp_path / "listening.log", rabbitmq.url, other.runtime_dir, *options)
        found.until("is listening")
        return found

    return listen


def sent(rabbitmq: RabbitMQ, node: Node) -> str:
    """Return the base id of a trace that went to both."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SHMETRICS_RUNTIME_DIR": str(node.runtime_dir)}
    command = [sys.executable, str(SENDER), rabbitmq.url]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def report(node: Node, base_id: str) -> Any:
    return Shm(f"shm://{node.url.removeprefix('http://')}").get_report(base_id)


def arrived(node: Node, base_id: str, n: int) -> None:
    """Wait until so many spans have ended there."""

    def ended() -> int:
        spans = json.loads(node.get(f"/api/v1/traces/{base_id}"))["spans"]
        return sum(span["state"] == "done" for span in spans)

    until(lambda: ended() == n, lambda: f"{ended()} of {n}", SECONDS)


def heard(node: Node, result: str) -> float:
    """Return the number of notifications with this result, as the collector shows it."""
    return node.samples().get(("profiler_notifications_total", (("result", result),)), 0.0)


SPANS = f"""
    from shmetrics.emitter.spans import Spans

    while not shmetrics.status()["connected"]:
        shmetrics.Counter("registers", "It").inc()
    BASE, OUTER, INNER = {[GOOD[key] for key in ("base_id", "trace_id", "parent_id")]}
    api, compute = Spans("api", "nova", "one"), Spans("compute", "nova", "two")
    api.start("wsgi", OUTER, BASE, BASE, {{"host": "one"}})
    compute.start("db", INNER, BASE, OUTER, {{"host": "two"}})
    compute.stop("db", INNER, BASE, OUTER, {{"host": "two", "etype": "OSError", "message": "no"}})
    api.stop("wsgi", OUTER, BASE, BASE, {{"host": "one"}})
    pause("done")
"""

Connection: Any = kombu.connection.Connection
Exchange: Any = kombu.entity.Exchange

N_EVENTS = 14  # wsgi, three times rpc and db: a start and a stop


def test_the_tree_is_that_of_shared_memory(
    node: Node, other: Node, rabbitmq: RabbitMQ, listen: Listen
) -> None:
    node.start()
    listening = listen("--pool", "tree")
    base_id = sent(rabbitmq, node)
    arrived(other, base_id, 7)
    assert listening.stop() == f"shmetrics notifications: {N_EVENTS} taken, 0 refused, 0 not kept"
    found, wanted = report(other, base_id), report(node, base_id)
    assert without_times(found) == without_times(json.loads(json.dumps(wanted)))
    assert found["stats"]["db"]["count"] == 3
    for stats in (found, wanted):  # the times are those of the events, not of their arrival
        assert stats["info"]["finished"] < 1000 * SECONDS
    # Nobody else of this topic has missed one.
    with Connection(rabbitmq.url.replace("rabbit", "amqp")) as connection:
        queue = connection.SimpleQueue("profiler.info", queue_opts={"durable": False})
        assert queue.qsize() == N_EVENTS
        queue.clear()
        queue.close()


def test_what_another_collector_passes_on_arrives(
    node: Node, other: Node, rabbitmq: RabbitMQ, listen: Listen
) -> None:
    """Check a collector that passes spans on by OSProfiler's own messaging:// driver."""
    node.start(
        "[[traces.forward]]\nto = 'messaging://'\nbatch_seconds = 0.05\n"
        f"transport_url = '{rabbitmq.url}'\n"
    )
    listening = listen("--pool", "passed", "--topic", "profiler")
    emitter = node.emitter(SPANS)
    emitter.until("done")
    arrived(other, GOOD["base_id"], 2)
    assert listening.stop() == "shmetrics notifications: 4 taken, 0 refused, 0 not kept"
    found, wanted = report(other, GOOD["base_id"]), report(node, GOOD["base_id"])
    assert found["info"] == wanted["info"]  # to the microsecond
    assert [node["info"]["host"] for node in found["children"]] == ["one"]
    assert without_times(found) == without_times(json.loads(json.dumps(wanted)))
    emitter.go()
    emitter.end()


def test_nothing_that_is_said_ends_it(other: Node, rabbitmq: RabbitMQ, listen: Listen) -> None:
    listening = listen("--pool", "garbage", "--topic", "garbage")

    def notification(payload: object, event: object = "profiler.nova") -> dict[str, Any]:
        return {
            "event_type": event,
            "payload": payload,
            "publisher_id": "h",
            "priority": "INFO",
            "message_id": str(uuid.uuid4()),
            "timestamp": "2020-09-13 12:26:40.0",
        }

    garbage: list[object] = [None, 5, [], {}, {**GOOD, "info": 3}]
    said = [
        *(b"\xff", b"[1]", b"5", b"{}", b'{"oslo.message": "no"}'),
        *(json.dumps(notification(one)).encode() for one in garbage),
        json.dumps(notification(GOOD, event="compute.instance.create")).encode(),
        json.dumps(notification(GOOD, event=7)).encode(),
        json.dumps(notification(GOOD)).encode(),
    ]
    with Connection(rabbitmq.url.replace("rabbit", "amqp")) as connection:
        exchange = Exchange("openstack", "topic", durable=False)
        producer = connection.Producer(exchange=exchange, routing_key="garbage.info")

        def publish(body: bytes) -> None:
            producer.publish(body, content_type="application/json", content_encoding="utf-8")

        for body in said:
            publish(body)

        def again() -> bool:
            """Publish once more: the count shows once the process has registered."""
            publish(said[-1])
            return heard(other, "taken") > 0

        until(again, listening.log.read_text, SECONDS)
    (trace,) = json.loads(other.get("/api/v1/traces"))
    assert (trace["base_id"], trace["spans"]) == (GOOD["base_id"], 1)
    why = "7 refused (bad_info 1, bad_name 1, foreign 2, no_payload 3), 0 not kept"
    assert listening.stop().endswith(why)
    assert "Traceback" not in listening.log.read_text()


def test_a_broker_that_is_not_there_is_waited_for(runtime_dir: Path, tmp_path: Path) -> None:
    nobody = ReservedPort()
    url = f"rabbit://u:secret@127.0.0.1:{nobody.number}/"
    listening = Listening(tmp_path / "log", url, runtime_dir)
    listening.until("refused")
    assert listening.stop() == "shmetrics notifications: 0 taken, 0 refused, 0 not kept"
    assert "secret" not in listening.log.read_text()
    nobody.release()


@pytest.mark.parametrize(
    ("options", "url", "error"),
    [
        (
            [],
            "",
            "--transport-url: no broker is named; give its URL here or in $SHMETRICS_TRANSPORT_URL",
        ),
        ([], "nosuch://u:secret@h/", '--transport-url: Failed to load transport driver "nosuch"'),
        (["--runtime-dir", "/no/such"], "rabbit://h/", "/no/such: no such directory; a collector"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    runtime_dir: Path, options: list[str], url: str, error: str
) -> None:
    command = [sys.executable, "-m", "shmetrics", "notifications"]
    command += options or ["--runtime-dir", str(runtime_dir)]
    env = {**os.environ, "SHMETRICS_TRANSPORT_URL": url}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith(f"shmetrics: {error}")
    assert "secret" not in ran.stderr
