# SPDX-License-Identifier: Apache-2.0
"""`shmetrics calls`: what is open, what of it is overdue, and what has failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest

from shmetrics.cli import calls
from shmetrics.client.collector_client import CollectorClient
from tests.servers.collector import Collector
from tests.servers.patience import PATIENT

SERVICE = """
import sys
from shmetrics import Calls, rpc
late = rpc.server_call(topic="compute", method="migrate", server="host-a").start(
    {"trace_id": "0123456789abcdef0123456789abcdef"}, 0.001
)
waiting = rpc.client_call(topic="network", method="plug", server="host-b", timeout="600").start()
commands = Calls("redis", "Commands", ["operation", "process"]).labels("HGETALL", "api")
command = commands.start()
pages = Calls("render", "Pages", ["view", "size", "topic", "process"])
page = pages.labels("home", "small", "web", "api").start()
failing = rpc.client_call(topic="image", method="get", server="host-c", timeout="1")
for _ in range(11):
    failing.end(failing.start({"trace_id": "0123456789abcdef0123456789abcdef"}), "MessagingTimeout")
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def service(collector: Collector) -> Iterator[None]:
    """Start a process that is in two calls."""
    process = subprocess.Popen(
        [sys.executable, "-c", PATIENT + SERVICE],
        env={**os.environ, "SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    yield
    process.communicate()


@pytest.mark.usefixtures("service")
def test_open_calls_and_overdue_ones(command: Any, collector: Collector) -> None:
    asked = ("calls", "--runtime-dir", str(collector.runtime_dir))
    outcome = command(*asked)
    assert (outcome.status, outcome.err) == (0, "")
    _, late, waiting, redis, page, empty, _, *failed, more = outcome.out.splitlines()
    assert redis.split()[:2] == ["redis", "HGETALL"]
    assert page.split()[:4] == ["render", "web", "home", "small"]
    assert (empty, len(failed), more) == ("", 10, "and 1 more: --failed shows them")
    for cell in ("rpc client", "image", "get", "host-c", "MessagingTimeout"):
        assert cell in failed[0]
    assert failed[0].endswith("01234567-89ab-cdef-0123-456789abcdef")
    for cell in ("rpc server", "migrate", "host-a", "1\u202fms", "its client has given up"):
        assert cell in late
    assert late.endswith("01234567-89ab-cdef-0123-456789abcdef")
    for cell in ("rpc client", "plug", "host-b", "600\u202fs"):
        assert cell in waiting
    _, only = command(*asked, "--overdue").out.splitlines()
    assert "migrate" in only
    assert len(command(*asked, "--failed").out.splitlines()) == 12
    failures = json.loads(command(*asked, "--failed", "--json").out)
    assert {call["reason"] for call in failures} == {"MessagingTimeout"}
    (call,) = json.loads(command(*asked, "--overdue", "--json").out)
    assert (call["labels"]["method"], call["timeout_seconds"]) == ("migrate", 0.001)


def test_nothing_is_open(command: Any, collector: Collector) -> None:
    asked = ("calls", "--runtime-dir", str(collector.runtime_dir))
    assert command(*asked) == (0, "no open calls\n", "")
    assert command(*asked, "--overdue") == (0, "no overdue calls\n", "")
    assert command(*asked, "--failed") == (0, "no call has failed lately\n", "")
    assert json.loads(command(*asked, "--json").out) == []


class Halted:
    """A collector of many processes, of which some do not run."""

    def __init__(self, halted: int) -> None:
        halt = {
            "state": "stopped",
            "cause": "a signal has stopped it",
            "mend": "kill -CONT 4 7",
            "seen_seconds": 41.0,
        }
        self._lanes = [
            {"lane": 1, "process": "api", "pid": 5, "halt": None, "stopped_parent": 0},
            {"lane": 2, "process": "worker", "pid": 6, "halt": None, "stopped_parent": 4},
            *[{"lane": 3, "process": "conductor", "pid": 7, "halt": halt}] * halted,
        ]

    def get_json(self, path: str) -> Any:
        return {"/api/v1/lanes": self._lanes}[path]


def test_processes_that_do_not_run_are_named_whether_calls_are_open_or_not() -> None:
    (text,) = calls.halted(cast("CollectorClient", Halted(1)))
    assert text.splitlines() == [
        "lane 2 (worker, pid 6): its parent, process 4, is stopped, and starts no other one when "
        "it ends; kill -CONT 4",
        "lane 3 (conductor, pid 7): it is stopped, first seen so 41\u202fs ago, and answers "
        "nobody: a signal has stopped it; kill -CONT 4 7",
    ]
    (text,) = calls.halted(cast("CollectorClient", Halted(30)))
    assert len(text.splitlines()) == 11
    assert text.endswith("\nand 21 more: shmetrics lanes shows them")
