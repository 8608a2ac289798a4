# SPDX-License-Identifier: Apache-2.0
"""`shmetrics trace` against a real collector and the spans of a real process."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.collector import Collector
from tests.servers.patience import PATIENT

BASE, OUTER, INNER, LOST = (str(uuid.UUID(int=number)) for number in range(100, 104))
REQUEST = f"""
import sys
from shmetrics.emitter.spans import Spans
spans = Spans("nova", "cloud", "h")
spans.start("wsgi", {OUTER!r}, {BASE!r}, {BASE!r}, {{"request": {{"method": "GET", "path": "/"}}}})
spans.start("db", {INNER!r}, {BASE!r}, {OUTER!r}, {{"db": {{"statement": "SELECT 'a'"}}}})
spans.stop("db", {INNER!r}, {BASE!r}, {OUTER!r}, {{"etype": "DBError\\x1b[31m"}})
spans.start("rpc", {LOST!r}, {BASE!r}, {INNER[:-1] + "f"!r}, {{"idle_seconds": 32.0}})
print("recorded", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def service(collector: Collector) -> Iterator[None]:
    """Start a request that is under way."""
    env = {**os.environ, "SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir)}
    with subprocess.Popen(
        [sys.executable, "-c", PATIENT + REQUEST],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recorded\n"
        yield


def test_nothing_yet(command: Any, collector: Collector) -> None:
    where = ("--runtime-dir", str(collector.runtime_dir))
    assert command("trace", "list", *where) == (0, "no such traces\n", "")
    assert command("trace", "show", BASE, *where) == (0, "no such trace\n", "")


@pytest.mark.usefixtures("service")
def test_a_line_per_trace(command: Any, collector: Collector) -> None:
    where = ("--runtime-dir", str(collector.runtime_dir))
    outcome = command("trace", "list", "--error", "--service", "nova", *where)
    head, line = outcome.out.splitlines()
    assert "?" not in line
    assert head.split() == [
        "started",
        "base",
        "id",
        "name",
        "service",
        "duration",
        "spans",
        "open",
        "errors",
    ]
    _, base_id, name, service, *_, spans, left_open, errors = line.split()
    assert (base_id, name, service, spans, left_open, errors) == (BASE, "wsgi", "nova", *"321")
    assert command("trace", "list", "--min-duration", "3600", *where).out == "no such traces\n"
    (trace,) = json.loads(command("trace", "list", "--json", *where).out)
    assert trace["base_id"] == BASE


@pytest.mark.usefixtures("service")
def test_a_line_per_span_below_each_other(command: Any, collector: Collector) -> None:
    where = ("--runtime-dir", str(collector.runtime_dir))
    head, *lines = command("trace", "show", BASE, *where).out.splitlines()
    begin = head.index("span")
    about = head.index("about")
    assert [line[begin:about].rstrip() for line in lines] == ["wsgi", "  db", "rpc"]
    assert [line[about:].split("nova")[0].rstrip() for line in lines] == [
        "GET /",
        "SELECT '?'",
        "",
    ]
    notes = [line[head.index("note") :] for line in lines]
    assert notes == [
        "open",
        "DBError?[31m",
        "open, its parent is not here, its trace was idle for 32\u202fs",
    ]
    assert len(json.loads(command("trace", "show", BASE, "--json", *where).out)["spans"]) == 3


def test_what_is_no_base_id(command: Any, collector: Collector) -> None:
    outcome = command("trace", "show", "a?b", "--runtime-dir", str(collector.runtime_dir))
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.count("\n") == 1
    assert outcome.err.endswith(": 400: 'a?b' is no UUID\n")
