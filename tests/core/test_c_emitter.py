# SPDX-License-Identifier: Apache-2.0
"""The program in docs/c.md, compiled as its readers would, against a real collector."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import shmetrics
from tests.docs.snippets import ROOT, snippets_of
from tests.servers.collector import Collector


def test_the_documented_c_program_records(collector: Collector, tmp_path: Path) -> None:
    (snippet,) = (one for one in snippets_of(ROOT / "docs" / "c.md") if one.language == "c")
    source, program = tmp_path / "emitter.c", tmp_path / "emitter"
    source.write_text(snippet.text)
    subprocess.run(
        [
            *("cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"),
            *(f"-I{shmetrics.get_include()}", str(source), "-o", str(program)),
        ],
        check=True,
    )
    for _ in range(2):  # two processes, one total
        subprocess.run([program, collector.runtime_dir / "register.sock"], check=True)
    with urllib.request.urlopen(collector.url + "/metrics") as response:
        lines = response.read().decode().splitlines()
    (line,) = (line for line in lines if line.startswith("c_jobs_total{"))
    assert line.endswith('queue="fast"} 200000.0')
