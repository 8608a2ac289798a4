# SPDX-License-Identifier: Apache-2.0
"""Promise: a fork in the middle of a record harms neither parent nor child."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from tests.core.sources import DRAIN

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="steps by the trap flag of x86-64")
@pytest.mark.parametrize("optimisation", ["-O0", "-O2"])
def test_a_signal_handler_forks_between_any_two_instructions(
    tmp_path: Path, optimisation: str
) -> None:
    program = tmp_path / "fork_in_record"
    sources = (HERE / "fork_in_record.c", ROOT / "csrc" / "emit" / "process.c", *DRAIN)
    subprocess.run(
        [
            *("gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", optimisation, "-pthread"),
            *("-Dpthread_sigmask=step_sigmask", "-Dclock_gettime=step_clock"),
            *("-I", str(ROOT / "csrc"), "-I", str(HERE)),
            *(*map(str, sources), "-o", str(program)),
        ],
        check=True,
    )
    done = subprocess.run([program], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.removeprefix("exact after each of ").split()[0]) > 500
