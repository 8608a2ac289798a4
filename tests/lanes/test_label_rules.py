# SPDX-License-Identifier: Apache-2.0
"""Label rules from the file to /metrics, with real processes: totals are exact under every rule."""

from __future__ import annotations

import contextlib
import json
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

from shmetrics import layout
from shmetrics.collector.collector import Settings
from shmetrics.dictionary import Definition
from shmetrics.label_rules.rule import Hash, Rule
from shmetrics.registration.decision import Granted
from shmetrics.registration.protocol import Hello
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import MIB, THIS_PROCESS, Loopback
from tests.nodes.node import Node
from tests.servers.processes import until

OVERFLOW = "__overflow__"

# The rules, and the same in plain Python.
RULES: dict[str, tuple[str, Callable[[str], str]]] = {
    "keep": ("keep = true", lambda server: server),
    "drop": ("drop = true", lambda server: ""),
    "hash": ("hash = 8", lambda server: f"#{crc32(server.encode()) % 8}"),
    "rewrite": (
        r"""rewrite = [
            { match = 'node-(\d).*', replace = 'node-${1}xx' },
            { match = '(?P<name>[a-z]+)-.*', replace = '${name}' },
        ]""",
        lambda server: f"node-{server[5]}xx" if server.startswith("node") else "rack",
    ),
}


def rule(text: str, family: str = "*", label: str = "server") -> str:
    return f'[[labels]]\nfamily = "{family}"\nlabel = "{label}"\n{text}\n'


EVERY_TYPE = """
jobs = shmetrics.Counter("jobs", "Jobs", ["server", "queue"])
size = shmetrics.Histogram("size", "Sizes", ["server"], buckets=(1, 2))
free = shmetrics.Gauge("free", "Free", ["server"], multiprocess_mode="sum")
most = shmetrics.Gauge("most", "Most", ["server"], multiprocess_mode="max")
own = shmetrics.Gauge("own", "Own", ["server"])
rpc = shmetrics.Calls("rpc", "Calls", ["server", "topic", "method"])
first = int(os.environ["FIRST"])
servers = [f"node-{n}" for n in range(first, first + 40)] + ["rack-7", "rack-8"]
hanging = []
for n, server in enumerate(servers):
    jobs.labels(server, "fast").inc(n)
    size.labels(server).observe(n % 4)
    free.labels(server).set(n)
    most.labels(server).set(n)
    own.labels(server).set(n)
    call = rpc.labels(server, "compute", "build")
    call.end(call.start(), f"Error{n % 3}" if n % 2 else None)
    hanging.append(call.start())
pause("recorded")
from tests.servers.patience import until
first = jobs.labels(servers[0], "fast")
until(lambda: first.inc(0) or shmetrics.status()["connected"], shmetrics.status, 60)
assert shmetrics.status()["problem"] == "", shmetrics.status()
pause("connected")
"""


def servers_of(first: int) -> list[str]:
    return [f"node-{n}" for n in range(first, first + 40)] + ["rack-7", "rack-8"]


@pytest.mark.parametrize("which", RULES)
@pytest.mark.parametrize("before", [False, True], ids=["", "told by nobody"])
def test_every_total_is_what_a_twin_makes_of_the_same_events(
    node: Node, which: str, before: bool
) -> None:
    """before: the processes record before a collector comes, so that all labels are raw."""
    text, twin = RULES[which]
    if not before:
        node.start(rule(text))
    emitters = [node.emitter(EVERY_TYPE, FIRST=str(first)) for first in (0, 25)]
    for emitter in emitters:
        emitter.until("recorded")
    if before:
        node.start(rule(text))
    for emitter in emitters:
        emitter.go()
        emitter.until("connected")
    pids = [emitter.pid for emitter in emitters]

    jobs: Counter[str] = Counter()
    size: Counter[str] = Counter()
    free: Counter[str] = Counter()
    most: dict[str, int] = {}
    own: Counter[tuple[str, str]] = Counter()
    calls: Counter[str] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for pid, first in zip(pids, (0, 25), strict=True):
        for n, server in enumerate(servers_of(first)):
            ruled = twin(server)
            jobs[ruled] += n
            size[ruled] += n % 4
            free[ruled] += n
            most[ruled] = max(most.get(ruled, 0), n)
            own[ruled, str(pid)] += n
            calls[ruled] += 1
            if n % 2:
                failed[ruled, f"Error{n % 3}"] += 1

    def by_server(name: str) -> dict[str, float]:
        return {dict(labels).get("server", ""): value for labels, value in found.of(name).items()}

    found = node.samples()
    assert by_server("jobs_total") == jobs
    assert by_server("size_sum") == size
    assert by_server("free") == free
    assert by_server("most") == most
    assert by_server("rpc_invocation_end_total") == calls
    assert by_server("rpc_invocation_start_total") == {key: 2 * n for key, n in calls.items()}
    assert by_server("rpc_processing_seconds_count") == calls
    assert {
        (dict(labels).get("server", ""), dict(labels)["exception"]): value
        for labels, value in found.of("rpc_exception_total").items()
    } == failed
    assert {
        (dict(labels).get("server", ""), dict(labels)["pid"]): value
        for labels, value in found.of("own").items()
    } == own
    in_flight = {"side": "rpc", "topic": "compute", "method": "build"}
    assert found.value("shmetrics_rpc_in_flight", **in_flight) == 84
    assert {call["labels"]["server"] for call in node.calls()} == set(calls)
    [method] = json.loads(node.get("/api/v1/methods"))
    assert (method["started"], method["ended"]) == (168, 84)
    assert found.counted("shmetrics_dropped_total") == {}

    for emitter in emitters:
        emitter.kill()
    node.until_no_lane()
    found = node.samples()
    assert by_server("free") == free
    assert by_server("most") == most
    assert found.value("shmetrics_rpc_abandoned_total", **in_flight) == 84
    assert {
        (dict(labels).get("server", ""), dict(labels)["pid"]): value
        for labels, value in found.of("own").items()
    } == own


def test_the_classes_of_exceptions_have_rules_too(node: Node) -> None:
    """By any name of the family of calls; its other labels are ruled once, with their calls."""
    node.start(
        rule("rewrite = [{ match = '(a+)', replace = '${1}a' }]", family="rpc")
        + rule("rewrite = [{ match = '.*Timeout', replace = 'Timeout' }]", "rpc_*", "exception")
    )
    node.run(
        """
        rpc = shmetrics.Calls("rpc", "Calls", ["server"])
        for name in "ReadTimeout", "WriteTimeout", "KeyError":
            call = rpc.labels("a")
            call.end(call.start(), name)
        """
    )
    node.until_no_lane()
    assert node.samples().of("rpc_exception_total") == {
        (("exception", "Timeout"), ("server", "aa")): 2,
        (("exception", "KeyError"), ("server", "aa")): 1,
    }


def test_services_that_cannot_be_changed_are_ruled_too(node: Node, tmp_path: Path) -> None:
    """The stock protocol: the same labels in the same series."""
    path = tmp_path / "stock.sock"
    node.start(
        f'oslo_metrics_socket = "{path}"\n'
        + rule("hash = 1")
        + rule("drop = true", family="*_exception_total", label="exception")
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(path))
        for server in ("compute-1", "compute-2", ""):
            for name, action in (
                ("invocation_start_total", {"action": "inc"}),
                ("invocation_end_total", {"action": "inc"}),
                ("processing_seconds", {"action": "observe", "value": 0.5}),
                ("exception_total", {"action": "inc"}),
            ):
                labels = {"server": server, "method": "build"}
                if name == "exception_total":
                    labels["exception"] = f"Error{server}"
                message = {"module": "oslo_messaging", "name": f"rpc_client_{name}"}
                sender.send(json.dumps({**message, "action": action, "labels": labels}).encode())
    client = "oslo_messaging_rpc_client"
    until(lambda: node.samples().sum(f"{client}_exception_total") == 3, lambda: node.log, 30)
    found = node.samples()
    for name in ("invocation_start_total", "processing_seconds_count", "exception_total"):
        assert found.sum(f"{client}_{name}", server="#0") == 2
        assert found.sum(f"{client}_{name}", server="") == 1
        assert len(found.of(f"{client}_{name}")) == 2


def test_more_lanes_than_series_meet_in_any_order(tmp_path: Path) -> None:
    """A hundred lanes of 50 servers: one row for each name, however the lanes come."""
    hello = Hello(layout.LAYOUT_VERSION, 64, "service")
    rules = (Rule("jobs", "server", Hash(16)),)
    shown = []
    for step in (1, 37):
        loopback = Loopback(tmp_path / str(step), Settings(16 * MIB, label_rules=rules))
        with contextlib.ExitStack() as opened:
            for n in range(100):
                granted = loopback.collector.grant(THIS_PROCESS, hello)
                assert isinstance(granted, Granted)
                lane = opened.enter_context(contextlib.closing(LaneFile(granted.lane_fd)))
                family = lane.family(
                    Definition(layout.TYPE_COUNTER, "jobs", "", "", "", ("server",), ())
                )
                for server in range(50):
                    name = f"compute-{n * step % 100 * 50 + server}"
                    lane.record(hostile.ADD, lane.series(layout.TYPE_COUNTER, family, name))
            loopback.collector.tick()
            found = loopback.samples()
            shown.append(found.of("jobs_total"))
            assert found.value("shmetrics_series") == 16
        loopback.collector.tick()
        loopback.release()
    assert shown[0] == shown[1]
    assert sum(shown[0].values()) == 5000
    assert set(shown[0]) == {(("server", f"#{n}"),) for n in range(16)}


def test_a_value_too_long_for_a_series_has_one_if_a_rule_makes_it_short(
    node: Node,
) -> None:
    node.start("[store]\nmax_label_bytes = 20\n" + rule("hash = 1", family="jobs"))
    node.run(
        """
        for name in "jobs", "runs":
            shmetrics.Counter(name, "Jobs", ["server"]).labels("x" * 21).inc()
        """
    )
    node.until_no_lane()
    found = node.samples()
    assert found.of("jobs_total") == {(("server", "#0"),): 1}
    assert found.of("runs_total") == {(("server", OVERFLOW),): 1}
    assert "see store.max_label_bytes and [[labels]]" in node.log


def test_what_overflows_in_a_lane_is_not_ruled(node: Node) -> None:
    """Neither hashed nor dropped: it is no server, but all for which there was no room."""
    node.start()
    emitter = node.emitter(
        """
        jobs = shmetrics.Counter("jobs", "Jobs", ["server"])
        for n in range(5000):
            jobs.labels(f"compute-{n}" if n % 2 else "x" * 20_000).inc()
        pause("done")
        """
    )
    emitter.until("done")
    before = node.samples().value("jobs_total", server=OVERFLOW)
    assert before > 1000
    node.stop()
    node.start(rule("drop = true"))
    emitter.go()
    emitter.end()
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total", server=OVERFLOW) == before
    assert found.sum("jobs_total") == 5000
