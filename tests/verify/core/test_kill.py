# SPDX-License-Identifier: Apache-2.0
"""Promise: kill -9 of anything, at any instruction, leaves totals exact."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.core.sources import DRAIN

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SOURCES = (*DRAIN, ROOT / "csrc" / "drain" / "recovery.c")
STORES = {  # at least so many
    "collector": 100,
    "emitter": 100,
    "retirement": 1000,
    "move": 10,
    "replace": 1000,
    "settle": 500,
    "observed": 10,
}


def build_and_run(
    folder: Path, optimisation: str, *sources: Path
) -> subprocess.CompletedProcess[str]:
    program = folder / "kill"
    subprocess.run(
        [
            *("gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", optimisation),
            *("-I", str(ROOT / "csrc"), "-I", str(HERE), *map(str, sources), "-o", str(program)),
        ],
        check=True,
    )
    return subprocess.run([program], capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize("optimisation", ["-O0", "-O2", "-O3"])
@pytest.mark.parametrize("who", STORES)
def test_killed_after_any_store_it_leaves_exact_totals(
    tmp_path: Path, who: str, optimisation: str
) -> None:
    done = build_and_run(tmp_path, optimisation, HERE / f"kill_{who}.c", *SOURCES)
    assert done.returncode == 0, done.stderr
    changes = int(done.stdout.removeprefix("exact after each of ").split()[0])
    assert changes >= STORES[who]


@pytest.mark.parametrize("who", ["collector", "emitter", "retirement", "replace", "settle"])
def test_without_the_guard_a_kill_shows(tmp_path: Path, who: str) -> None:
    done = build_and_run(tmp_path, "-O0", HERE / f"kill_{who}_unguarded.c")
    assert done.returncode == 1, done.stdout
    assert "after change" in done.stderr
