# SPDX-License-Identifier: Apache-2.0
"""`shmetrics forget`: who may, and what is left."""

from __future__ import annotations

import os
import socket
import stat
from typing import Any

import pytest

from tests.nodes.node import Node

pytestmark = pytest.mark.slow

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
RECORD = """
shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("q").inc(2)
shmetrics.Gauge("depth", "Depth", multiprocess_mode="sum").set(3)
call = shmetrics.Calls("rpc", "Calls", ["method"]).labels("m")
try:
    with call():
        raise KeyError
except KeyError:
    pass
"""


def test_what_nobody_has_is_removed_for_good(node: Node, command: Any) -> None:
    """Check that a family is removed by the name that people see, and no other is."""
    node.start()
    node.run(RECORD)
    node.until_no_lane()
    directory = str(node.runtime_dir)
    for name, said in (
        ("jobs_total", "jobs: forgotten, with 1 series\n"),
        ("depth", "depth: forgotten, with 1 series\n"),
        ("rpc_exception_total", "rpc: forgotten, with 1 series\n"),
    ):
        assert command("forget", name, "--runtime-dir", directory) == (0, said, "")
        status, _, problem = command("forget", name, "--runtime-dir", directory)
        assert (status, problem) == (1, f"shmetrics: {name}: there is no such metric\n")
    node.stop()
    node.start()
    found = node.samples()
    assert not any(found.names(prefix) for prefix in ("jobs", "depth", "rpc"))
    assert found.of("shmetrics_series_overflow_total") == {}


def test_what_a_process_has_begins_again_at_zero(node: Node, command: Any) -> None:
    """Check that a process goes on without its totals, but with its open calls and gauges."""
    node.start()
    process = node.emitter(
        f"{RECORD}\ntoken = call.start()\npause('recorded')\n{RECORD}\ncall.end(token)\n"
        "pause('recorded')"
    )
    process.until("recorded")
    directory = str(node.runtime_dir)
    status, _, problem = command("forget", "jobs", "--runtime-dir", directory)
    assert status == 1
    assert f"jobs: -c (pid {process.pid}) has it, or others do; with --force" in problem
    assert node.samples().value("jobs_total", queue="q") == 2
    for name in ("jobs", "depth", "rpc"):
        assert command("forget", name, "--force", "--runtime-dir", directory).status == 0
    found = node.samples()
    assert found.value("jobs_total", queue="q") == 0
    assert found.value("depth") == 3
    assert found.value("rpc_invocation_start_total", method="m") == 0
    assert [call["family"] for call in node.calls()] == ["rpc"]
    process.go()
    process.until("recorded")
    node.stop()
    node.start()
    found = node.samples()
    assert found.value("jobs_total", queue="q") == 2
    assert found.value("rpc_invocation_start_total", method="m") == 1
    assert found.value("rpc_invocation_end_total", method="m") == 2
    assert found.value("rpc_exception_total", method="m", exception="KeyError") == 1
    assert node.calls() == []
    process.kill()


def test_what_is_the_collectors_stays(node: Node, command: Any) -> None:
    node.start()
    directory = str(node.runtime_dir)
    for name in ("shmetrics_events", "shmetrics_rpc_abandoned_total"):
        status, _, problem = command("forget", name, "--force", "--runtime-dir", directory)
        assert status == 1
        assert "the collector counts in it itself" in problem
    assert node.samples().of("shmetrics_scrapes_total")


def test_without_a_collector_there_is_one_line(node: Node, command: Any) -> None:
    node.start()
    node.stop()
    status, _, problem = command("forget", "jobs", "--runtime-dir", str(node.runtime_dir))
    assert status == 1
    assert "no collector serves here; start one" in problem
    assert len(problem.splitlines()) == 1


@as_root
def test_nobody_else_may_ask(node: Node) -> None:
    """Check another user, who may register, and may see the file of the socket."""
    node.runtime_dir.chmod(0o755)
    node.start('[registration]\nallow_uids = "any"\nsocket_mode = 0o666')
    node.run('shmetrics.Counter("jobs", "Jobs").inc()')
    path = node.runtime_dir / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = node.run(
        f"""
        import json, socket
        from shmetrics.client import control
        from shmetrics.errors import ShmetricsError
        os.setuid({NOBODY})
        try:
            print(control.ask({{"forget": "jobs", "force": True}}, {str(node.runtime_dir)!r}))
        except ShmetricsError as error:
            print(error)
        """
    )
    assert "only root and the collector's user may do this" in said
    path.chmod(0o666)  # and if it were open, the kernel would still say who asks
    asked = node.run(f"""
        import socket
        os.setuid({NOBODY})
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect({str(path)!r})
            try:
                connection.send(b'{{"forget": "jobs", "force": true}}')
                print(connection.recv(1000))
            except OSError as error:
                print(error)
        """)
    assert "done" not in asked
    assert node.samples().value("jobs_total") == 1


@pytest.mark.parametrize(
    "message", [b"", b"{", b"[]", b"null", b"{}", b'{"forget": 1}', b'{"forget": "a", "force": 1}']
)
def test_what_is_no_request_does_nothing(node: Node, message: bytes) -> None:
    node.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(30)
        connection.connect(str(node.runtime_dir / "control.sock"))
        connection.send(message)
        answer = connection.recv(1000)
    assert answer == b"" or b"of another version" in answer
    assert node.samples().of("shmetrics_scrapes_total")
