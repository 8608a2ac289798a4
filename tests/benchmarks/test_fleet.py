# SPDX-License-Identifier: Apache-2.0
"""The fleet of the benchmark: each node answers on its own port, with its own name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from benchmarks import fleet

ROOT = Path(__file__).parents[2]


def test_each_node_has_its_own_name() -> None:
    command = [sys.executable, "-m", "benchmarks.fleet", "--serve", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        for n, port in enumerate(ports):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
                text = answer.read().decode()
            assert set(re.findall(r'hostname="([^"]+)"', text)) == {f"compute-{n}"}
            starts = re.findall(
                r"^oslo_messaging_(\w+)_invocation_start_total\{", text, re.MULTILINE
            )
            counts = {name: starts.count(name) for name in sorted(set(starts))}
            assert counts == {"notification_client": 36, "rpc_client": 5, "rpc_server": 7}
    finally:
        process.terminate()
        assert process.wait(20) == 0
        assert process.stdout is not None
        process.stdout.close()


def test_every_mode_has_jobs() -> None:
    jobs = {mode: fleet.jobs(mode, "targets.json") for mode in fleet.MODES}
    assert [len(each) for each in jobs.values()] == [1, 1, 2]
