# SPDX-License-Identifier: Apache-2.0
"""Promise: the two halves share memory and nothing else: no collector has the emitter in itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.nodes.node import ROOT

EMITTING = {f"shmetrics.{name}" for name in ("_ring", "binding", "stub", "emitter", "rpc")}

CONFIG = """
listen = "127.0.0.1:0"
runtime_dir = "{folder}/run"
oslo_metrics_socket = "{folder}/oslo.sock"
[traces]
enabled = true
[[metrics.forward]]
to = "statsd+unix://{folder}/statsd.sock"
families = ["none"]
[[labels]]
family = "jobs"
label = "queue"
hash = 64
"""

# A collector that drains a process's lane, serves a page and stops; then it names its modules.
COLLECTOR = """
import os, signal, subprocess, sys, threading, urllib.request
{before}
from shmetrics import config
from shmetrics.collector import daemon

EMITTER = "import shmetrics; shmetrics.Counter('jobs', 'Jobs', ['queue']).labels('a').inc()"
page = []

def visit(where):
    url = where.partition(" ")[0] + "/metrics"
    env = os.environ | {{"SHMETRICS_RUNTIME_DIR": sys.argv[2]}}
    def use():
        try:
            subprocess.run([sys.executable, "-c", EMITTER], env=env, check=True)
            page.append(urllib.request.urlopen(url, timeout=60).read())
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
    threading.Thread(target=use).start()

daemon.run(config.load(sys.argv[1]), visit)
assert b"jobs_total" in page[0]
print(*(name for name in sys.modules if name.startswith("shmetrics.")))
"""


def collector_modules(folder: Path, before: str = "") -> set[str]:
    """Run a collector; return the modules of the package that it has imported when it ends."""
    path = folder / "node.toml"
    path.write_text(CONFIG.format(folder=folder))
    done = subprocess.run(
        [sys.executable, "-c", COLLECTOR.format(before=before), path, folder / "run"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return set(done.stdout.split())


def emitting(modules: set[str]) -> set[str]:
    return {name for name in modules if ".".join(name.split(".")[:2]) in EMITTING}


def test_a_collector_imports_nothing_of_the_emitting_half(tmp_path: Path) -> None:
    found = collector_modules(tmp_path)
    assert {"shmetrics.layout", "shmetrics.lanes._drain", "shmetrics.web.app"} <= found
    assert emitting(found) == set()


@pytest.mark.parametrize("module", ["shmetrics.rpc", "shmetrics._ring"])
def test_a_collector_that_does_is_found(tmp_path: Path, module: str) -> None:
    assert module in emitting(collector_modules(tmp_path, f"import {module}"))


def test_an_emitter_imports_nothing_of_the_collecting_half() -> None:
    program = """
import sys
import shmetrics
import shmetrics.rpc
shmetrics.Counter("jobs", "Jobs").inc()
print(*(name for name in sys.modules if name.startswith("shmetrics.")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = {name.split(".")[1] for name in done.stdout.split()}
    assert {"_ring", "emitter", "layout", "rpc"} <= found
    rooms = {"collector", "lanes", "store", "tables", "render", "web", "http", "sources", "traces"}
    assert not found & (rooms | {"config", "destinations"})
