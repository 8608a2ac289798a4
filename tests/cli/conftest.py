# SPDX-License-Identifier: Apache-2.0
"""Commands as a user runs them: in a process of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

TIMEOUT_SECONDS = 90


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def shmetrics(*arguments: str, env: Mapping[str, str] | None = None) -> Outcome:
    """Run `python -m shmetrics ARGUMENTS` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "shmetrics", *arguments],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def record(runtime_dir: Path, code: str, process: str = "demo") -> None:
    """Run code in an emitting process of that name, to its end."""
    subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "SHMETRICS_RUNTIME_DIR": str(runtime_dir),
            "SHMETRICS_PROCESS": process,
        },
        timeout=TIMEOUT_SECONDS,
        check=True,
    )


@pytest.fixture
def command() -> Callable[..., Outcome]:
    return shmetrics


@pytest.fixture
def emit() -> Callable[..., None]:
    return record
