# SPDX-License-Identifier: Apache-2.0
"""The modules and costs that `import shmetrics` brings into somebody else's process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.nodes.node import ROOT, Node

# The packages that the collector needs, and the parts of the standard library that are large.
FOREIGN = {
    *("numpy", "prometheus_client", "starlette", "msgspec", "rich", "h11", "anyio"),
    *("bcrypt", "jinja2", "yaml", "re2"),
    *("http", "asyncio", "urllib", "email", "ssl", "logging", "json", "typing_extensions"),
    *("threading", "multiprocessing", "subprocess", "concurrent", "queue", "socketserver"),
}

# Without site: what an environment's .pth files import is not ours.
PROGRAM = """
import sys
before = set(sys.modules)
import {module}
after = {{name.partition(".")[0] for name in set(sys.modules) - before}}
import os
print(len(os.listdir("/proc/self/task")), *after)
"""


@pytest.mark.parametrize("module", ["shmetrics", "shmetrics.rpc"])
def test_an_emitter_imports_little(module: str) -> None:
    said = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM.format(module=module)],
        env={"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    threads, *imported = said.stdout.split()
    assert said.stderr == ""
    assert threads == "1"
    assert "shmetrics" in imported
    assert set(imported) & FOREIGN == set()


def test_recording_starts_no_thread_and_imports_little(node: Node) -> None:
    """Not even to register."""
    node.start()
    said = node.run(
        """
        before = set(sys.modules)
        shmetrics.Counter("jobs", "Jobs").inc()
        assert shmetrics.status()["connected"]
        assert os.listdir("/proc/self/task") == [str(os.getpid())]
        print(*{name.partition(".")[0] for name in set(sys.modules) - before})
        """
    )
    assert set(said.split()) & FOREIGN == set()
    node.until_no_lane()


def test_importing_opens_nothing(node: Node) -> None:
    """No lane, no socket, no file, and no question to the collector."""
    node.start()
    node.run(
        """
        opened = {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")[:-1]}
        assert not any("shm" in name or "socket" in name for name in opened), opened
        shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("fast")
        assert shmetrics.status()["recorded"] == 0
        """
    )
    assert node.samples().of("shmetrics_registrations_total") == {}
