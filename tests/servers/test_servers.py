# SPDX-License-Identifier: Apache-2.0
"""The fixtures themselves: what they promise to find, they find."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.collector import Collector
from tests.servers.leftovers import account
from tests.servers.ports import ReservedPort
from tests.servers.processes import ServerProcess, until


def test_a_descriptor_is_accounted_for(tmp_path: Path) -> None:
    before = account(str(tmp_path))
    path = tmp_path / "left"
    with path.open("w") as file:
        assert account(str(tmp_path)) - before == {("descriptor", str(path), str(file.fileno()))}
    assert account(str(tmp_path)) == before


def test_a_bound_socket_is_accounted_for(tmp_path: Path) -> None:
    before = account(str(tmp_path))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
        found = account(str(tmp_path)) - before
    assert {kind for kind, _, _ in found} == {"descriptor", "socket"}


def test_an_orphan_is_accounted_for(tmp_path: Path) -> None:
    """Check the child of a child that is gone, whose parent is this process now."""
    before = account(str(tmp_path))
    spawn = (
        "import subprocess\n"
        "sleeper = subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL)\n"
        "print(sleeper.pid, flush=True)"
    )
    child = subprocess.run(
        [sys.executable, "-S", "-W", "ignore", "-c", spawn], stdout=subprocess.PIPE, check=True
    )
    orphan = int(child.stdout)
    assert ("process", "sleep 600 ", str(orphan)) in account(str(tmp_path)) - before
    os.kill(orphan, 9)
    os.waitpid(orphan, 0)
    until(lambda: account(str(tmp_path)) == before, lambda: "still there", 10)


def test_a_collector_is_accounted_for(runtime_dir: Path, tmp_path: Path) -> None:
    """Check a process that is a child of the nursery, and not of this one."""
    before = account(str(tmp_path))
    collector = Collector(runtime_dir, tmp_path / "log")
    assert [kind for kind, _, _ in account(str(tmp_path)) - before] == ["process"]
    assert collector.stop() == 0
    assert account(str(tmp_path)) == before


def test_a_collector_that_does_not_start_shows_its_log(runtime_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"status 2\nshmetrics: .*--no-such-option"):
        Collector(runtime_dir, tmp_path / "log", ["--no-such-option"])


def test_a_reserved_port_is_free_for_the_server_it_is_for() -> None:
    port = ReservedPort()
    with socket.socket() as careless, pytest.raises(OSError, match="in use"):
        careless.bind(("127.0.0.1", port.number))
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port.number))
        server.listen()
    port.release()


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    server = ServerProcess([sys.executable, "-c", "print('no such file')"], tmp_path / "log")
    with pytest.raises(AssertionError, match="ended with status 0\nno such file"):
        server.ready_when(lambda: False, 30)


def test_a_server_is_stopped_with_what_it_started(tmp_path: Path) -> None:
    """Check a server that ignores the signal, and so does its helper."""
    ignore = "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    helper = f"{ignore}print('up', flush=True)\ntime.sleep(600)"
    server = f"{ignore}import sys\nsubprocess.run([sys.executable, '-c', {helper!r}])"
    log = tmp_path / "log"
    process = ServerProcess([sys.executable, "-c", server], log)
    process.ready_when(lambda: "up" in log.read_text(), 30)
    assert process.stop(seconds=0.1) == -9


def test_a_test_that_leaves_something_fails(tmp_path: Path) -> None:
    """Check that a test that fails anyway is not blamed for objects that its traceback holds."""
    leaky = tmp_path / "test_leaky.py"
    leave = "    left = open(__file__)\n    kept.append(left)\n"
    fail = f"def test_failing() -> None:\n{leave}    assert not left\n"
    leaky.write_text(f"kept = []\n{fail}def test_leaving() -> None:\n{leave}")
    command = [sys.executable, "-m", "pytest", "-rN", "-p", "tests.servers.leftovers", str(leaky)]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    assert "1 failed, 1 passed, 1 error" in ran.stdout
    assert ran.stdout.count(f"AssertionError: left over: [('descriptor', '{leaky}'") == 1
