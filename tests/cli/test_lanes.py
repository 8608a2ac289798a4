# SPDX-License-Identifier: Apache-2.0
"""`shmetrics lanes` against a real collector and a real emitter."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shmetrics.cli.lane_text import state_of
from tests.servers.collector import Collector
from tests.servers.patience import PATIENT

EMITTER = (
    "import sys, shmetrics; c = shmetrics.Counter('jobs_total', 'Jobs done');"
    "[c.inc() for _ in range(5)]; print('recorded', flush=True); sys.stdin.read()"
)


@pytest.fixture
def emitter(collector: Collector) -> Iterator[subprocess.Popen[str]]:
    """Start a process that records five events, and stays."""
    env = {
        **os.environ,
        "SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir),
        "SHMETRICS_PROCESS": "nova-compute",
    }
    with subprocess.Popen(
        [sys.executable, "-c", PATIENT + EMITTER],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recorded\n"
        yield process


@pytest.mark.parametrize(
    ("lane", "state"),
    [
        ({"state": "open", "overflowed": 0}, "open"),
        ({"state": "open", "overflowed": 3}, "overflows"),
        ({"state": "open", "overflowed": 0, "overflows": [{}]}, "overflows"),
        ({"state": "open", "overflowed": 3, "halt": {"state": "stopped"}}, "stopped"),
        ({"state": "quarantined", "overflowed": 3, "halt": {"state": "stopped"}}, "quarantined"),
    ],
)
def test_the_most_urgent_state(lane: dict[str, Any], state: str) -> None:
    assert state_of(lane) == state


def test_nobody_yet(command: Any, collector: Collector) -> None:
    outcome = command("lanes", "--runtime-dir", str(collector.runtime_dir))
    assert outcome == (0, "no process has registered yet\n", "")


def test_a_line_per_lane(
    command: Any, collector: Collector, emitter: subprocess.Popen[str]
) -> None:
    outcome = command("lanes", "--runtime-dir", str(collector.runtime_dir))
    assert outcome.status == 0
    head, line = outcome.out.splitlines()
    columns = ["lane", "process", "pid", "uid", "state", "events", "fill", "spilled"]
    assert head.split() == [*columns, "dropped", "refused", "open", "calls"]
    lane, *rest = line.split()
    assert int(lane) > 0
    assert rest[:5] == ["nova-compute", str(emitter.pid), str(os.getuid()), "open", "5"]


def test_everything_as_json(
    command: Any, collector: Collector, emitter: subprocess.Popen[str]
) -> None:
    env = {"http_proxy": "http://127.0.0.1:1/"}  # for the world outside, not for us
    outcome = command("lanes", "--json", "--runtime-dir", str(collector.runtime_dir), env=env)
    (lane,) = json.loads(outcome.out)
    assert lane["process"] == "nova-compute"
    assert (lane["pid"], lane["events"], lane["state"]) == (emitter.pid, 5, "open")


def test_no_collector(command: Any, tmp_path: Path) -> None:
    outcome = command("lanes", "--runtime-dir", str(tmp_path))
    assert outcome.status == 1
    assert outcome.err == (
        f"shmetrics: {tmp_path}: no collector serves here; start one: "
        f"shmetrics collector --runtime-dir {tmp_path}\n"
    )
