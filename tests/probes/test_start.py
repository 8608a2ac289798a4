# SPDX-License-Identifier: Apache-2.0
"""Promise: a start ends within bounded time, whatever the user of the program does meanwhile."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics.probes.spawner import run_cgroups
from tests.nodes.node import ROOT
from tests.probes import asking

# It starts what the command line says, in a cgroup, and prints how that went.
PROGRAM = """
import os, sys
from shmetrics.probes.spawner import _start
from shmetrics.probes.spawner.run import Limits

procs = os.open(sys.argv[1], os.O_WRONLY) if sys.argv[1] else -1
nothing = os.open(os.devnull, os.O_RDWR)
before = sorted(os.listdir("/proc/self/fd"))
try:
    pid = _start.start(
        [os.fsencode(word) for word in sys.argv[2:]], [], b"/", (nothing,) * 3, None,
        Limits(5, 1 << 30, 1 << 20, 1 << 20, 5), procs,
    )
except _start.NotStarted as error:
    print(error.errno, error.strerror)
else:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
assert sorted(os.listdir("/proc/self/fd")) == before
try:
    print("left:", os.waitpid(-1, 0))
except ChildProcessError:
    pass
"""


def start(*command: str, procs: Path | str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(procs), *command],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=asking.SECONDS,
        cwd=ROOT,
    )
    return done.stdout.strip()


@pytest.fixture
def frozen() -> Iterator[Path]:
    """Yield a cgroup whose processes stand still, as they do after a SIGSTOP."""
    parent = run_cgroups.own_cgroup()
    if parent is None or not asking.has_run_cgroups():
        pytest.skip("this kernel, or this user, has no cgroup v2 with cgroup.kill")
    made = Path(tempfile.mkdtemp(prefix="shmetrics-test-", dir=parent))
    (made / "cgroup.freeze").write_text("1")
    yield made
    made.rmdir()


def test_a_start_gives_a_child() -> None:
    assert start("/bin/sh", "-c", "exit 3") == "3"


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("/no/such/program", errno.ENOENT),
        ("/etc/passwd", errno.EACCES),
        ("/etc", errno.EACCES),
    ],
)
def test_a_start_that_fails_says_at_which_step(program: str, error: int) -> None:
    assert start(program) == f"{error} the program: {os.strerror(error)}"


def test_a_child_that_stands_still_before_it_runs_is_ended(frozen: Path) -> None:
    expected = f"{errno.ETIMEDOUT} the program does not begin: {os.strerror(errno.ETIMEDOUT)}"
    assert start("/bin/true", procs=frozen / "cgroup.procs") == expected


def test_a_cgroup_that_takes_no_process_is_said(tmp_path: Path) -> None:
    assert start("/bin/true", procs="/dev/full") == (
        f"{errno.ENOSPC} the run's cgroup does not take it: {os.strerror(errno.ENOSPC)}"
    )
