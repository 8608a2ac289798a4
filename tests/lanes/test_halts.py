# SPDX-License-Identifier: Apache-2.0
"""Processes that do not run are known by what the kernel says of them."""

import os
import signal
from pathlib import Path

import pytest

from shmetrics.lanes.halts import Halt, Halts
from tests.servers.patience import until
from tests.servers.processes import fork


def test_a_real_process_is_stopped_and_goes_on() -> None:
    halts = Halts()
    pid = fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        assert halts.of(pid) is None
        os.kill(pid, signal.SIGSTOP)
        until(lambda: halts.of(pid), lambda: "not stopped", 10)
        assert halts.of(pid) == Halt("stopped", "a signal has stopped it", f"kill -CONT {pid}")
        os.kill(pid, signal.SIGCONT)
        until(lambda: halts.of(pid) is None, lambda: halts.of(pid), 10)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert halts.of(pid) is None


@pytest.fixture
def halts(tmp_path: Path) -> Halts:
    """Return what looks into a tree that a test writes."""
    return Halts(f"{tmp_path}/proc", f"{tmp_path}/cgroup")


def process(tmp_path: Path, stat: str, *, pid: int = 7, **files: str) -> None:
    folder = tmp_path / "proc" / str(pid)
    folder.mkdir(parents=True)
    for name, text in {"stat": stat, **files}.items():
        (folder / name).write_text(text)


def test_a_stopped_master_is_named_with_its_workers(halts: Halts, tmp_path: Path) -> None:
    """Check that a worker which runs again without it is known to be the last."""
    process(tmp_path, "7 (worker) T 5 5")
    process(tmp_path, "5 (master) T 1 5", pid=5)
    assert halts.of(7) == Halt("stopped", "a signal has stopped it", "kill -CONT 5 7")
    assert halts.of(5) == Halt("stopped", "a signal has stopped it", "kill -CONT 5")
    (tmp_path / "proc" / "7" / "stat").write_text("7 (worker) S 5 5")
    assert (halts.of(7), halts.stopped_parent(7)) == (None, 5)
    (tmp_path / "proc" / "5" / "stat").write_text("5 (master) S 1 5")
    assert [halts.stopped_parent(pid) for pid in (0, 5, 7, 9)] == [0, 0, 0, 0]


def test_a_process_that_a_debugger_holds(halts: Halts, tmp_path: Path) -> None:
    process(tmp_path, "7 (a) T b) t 1 7", status="Name:\tx\nTracerPid:\t99\n")
    cause, mend = "process 99 holds it", "let process 99 go on, or detach it"
    assert halts.of(7) == Halt("traced", cause, mend)


def test_a_process_in_a_frozen_cgroup(halts: Halts, tmp_path: Path) -> None:
    process(tmp_path, "7 (a) S 1 7", cgroup="1:name=systemd:/x\n0::/nova.slice/a.service\n")
    events = tmp_path / "cgroup" / "nova.slice" / "a.service" / "cgroup.events"
    events.parent.mkdir(parents=True)
    events.write_text("populated 1\nfrozen 0\n")
    assert halts.of(7) is None
    events.write_text("populated 1\nfrozen 1\n")
    found = halts.of(7)
    assert found is not None
    assert (found.state, found.mend) == ("frozen", "thaw the unit or container")
    assert str(events.parent) in found.cause


@pytest.mark.parametrize("stat", ["", "7", "7 (a)", "7 (a) ", "nonsense T"])
def test_what_cannot_be_read_is_not_halted(halts: Halts, tmp_path: Path, stat: str) -> None:
    process(tmp_path, stat)
    assert halts.of(7) is None
    assert halts.of(8) is None
    assert halts.of(0) is None
