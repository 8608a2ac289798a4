# SPDX-License-Identifier: Apache-2.0
"""Promise: what a program prints comes to the gatherer, as lines of the unit it runs in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gatherer.test_daemon import Gatherer
from tests.nodes.node import Node
from tests.servers.patience import until
from tests.units.cgroups import Cgroups

JOIN = """
import os, sys
for path in sys.argv[1].split(","):
    open(path, "w").write(str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def gatherer(node: Node, tmp_path: Path) -> Iterator[Gatherer]:
    """Start a collector, and a gatherer that takes lines."""
    node.start()
    config = tmp_path / "gather.toml"
    config.write_text("[gather]\nquota = false\ninterval_seconds = 10\n")
    found = Gatherer(node, None, "--config", str(config))
    yield found
    status, said = found.end(signal.SIGTERM)
    assert status == 0
    assert "Traceback" not in said


def run_in(
    cgroups: Cgroups, node: Node, path: str, *command: str, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command of ours in a cgroup of the test."""
    files = ",".join(
        f"{each.directory}{cgroups.id}{path}/cgroup.procs" for each in cgroups.hierarchies
    )
    return subprocess.run(
        [sys.executable, "-c", JOIN, files, sys.executable, "-m", "shmetrics", *command],
        env={**os.environ, "SHMETRICS_RUNTIME_DIR": str(node.runtime_dir)},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_lines_are_of_the_unit_that_a_program_runs_in(
    node: Node, cgroups: Cgroups, gatherer: Gatherer
) -> None:
    cgroups.make("/web.service")
    until(
        lambda: any("web.service" in str(key) for key in node.samples().of("container_processes")),
        lambda: node.samples().of("shmetrics_units"),
        60,
    )
    done = run_in(cgroups, node, "/web.service", "push", text="hello\nqueue.length=7\n")
    assert (done.returncode, done.stdout) == (0, "hello\nqueue.length=7\n"), done.stderr
    found = {"unit": "web.service", "kind": "systemd", "cart": ""}
    until(lambda: node.samples().of("queue_length"), lambda: node.samples().of("queue_length"), 30)
    assert node.samples().value("queue_length", **found) == 7
    done = run_in(cgroups, node, "/web.service", "run", "--", "echo", "queue.length=8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "queue.length=8\n", "")
    until(
        lambda: node.samples().value("queue_length", **found) == 8,
        lambda: node.samples().of("queue_length"),
        30,
    )
    assert node.samples().value("shmetrics_unit_lines_total", how="pushed") == 2
    # What it is not is said once, and changes nothing of what the program does.
    both = ("sh", "-c", "echo queue.length=9; echo queue.length=9; echo no >&2; exit 3")
    done = run_in(cgroups, node, "/web.service", "run", "--unit", "db", "--", *both)
    assert (done.returncode, done.stdout) == (3, "queue.length=9\nqueue.length=9\n")
    told, no = sorted(done.stderr.splitlines(), reverse=True)
    assert no == "no"
    assert told.startswith("shmetrics run: lines go into a lane of this process: ")
    assert told.endswith(" is in web.service, not in db; it needs no name there")
    of_web = node.samples().of("queue_length").items()
    assert [value for labels, value in of_web if ("unit", "web.service") in labels] == [8]
