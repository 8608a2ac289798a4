# SPDX-License-Identifier: Apache-2.0
"""The program of docs/c.md runs, and has all the room that it asks for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import shmetrics
from tests.docs.snippets import ROOT, snippets_of
from tests.nodes.node import Node
from tests.servers.processes import until

pytestmark = pytest.mark.slow

FLAGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror")


def run(node: Node, source: str, folder: Path, times: int = 1) -> None:
    (folder / "program.c").write_text(source)
    command = ["cc", *FLAGS, f"-I{shmetrics.get_include()}", "program.c", "-o", "program", "-lm"]
    subprocess.run(command, check=True, cwd=folder)
    for _ in range(times):
        done = subprocess.run(
            [folder / "program", node.runtime_dir / "register.sock"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    until(lambda: node.sum("c_jobs_total") == times * 100_000, node.lanes, 60)


def program() -> str:
    [snippet] = snippets_of(ROOT / "docs" / "c.md")
    return snippet.text


def test_a_program_in_c_has_the_room_that_it_asks_for(node: Node, tmp_path: Path) -> None:
    node.start()
    run(node, program(), tmp_path, times=2)
    found = node.samples()
    assert set(found.of("c_jobs_total").values()) == {40.0}  # two processes, one total
    assert len(found.of("c_jobs_total")) == 5000
    assert found.sum("shmetrics_overflowed_total") == 0


def test_without_it_the_rest_overflows(node: Node, tmp_path: Path) -> None:
    node.start()
    source = program()
    asked = "{HOSTS * 64, HOSTS}"
    assert asked in source
    run(node, source.replace(asked, "{0, 0}"), tmp_path)
    found = node.samples()
    assert found.value("c_jobs_total", host="__overflow__") > 0
    assert found.value("shmetrics_series_overflow_total", family="c_jobs") == 1
