# SPDX-License-Identifier: Apache-2.0
"""Floods at the registration socket. Meanwhile a neighbour records, and scrapes are answered."""

from __future__ import annotations

import os

import pytest

from tests.nodes.node import Emitter, Node

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

NEIGHBOUR = """
import time
jobs = shmetrics.Histogram("jobs", "Jobs", buckets=(1,))
jobs.observe(0)
while not shmetrics.status()["connected"]:  # it asks again
    time.sleep(0.05)
    jobs.observe(0)
pause("ready")
for _ in range(300_000):
    jobs.observe(1)
pause("done")
"""

# What a flood begins with, and is stopped by: the test kills it.
FLOOD = """
import contextlib, socket
from shmetrics import layout
from shmetrics.registration import protocol
path = os.environ["SHMETRICS_RUNTIME_DIR"] + "/register.sock"
hello = protocol.encode_hello(protocol.Hello(layout.LAYOUT_VERSION, 0, "flood"))
if "BE" in os.environ:
    os.setuid(int(os.environ["BE"]))

def connect():
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    with contextlib.suppress(BlockingIOError):  # the backlog is full of us
        sock.connect(path)
        return sock
    sock.close()

pause("ready")
"""

SILENT = """
sockets = []
while True:
    sock = connect()
    if sock is not None:
        sockets.append(sock)
    if len(sockets) > 900:
        sockets.pop(0).close()
"""

GARBAGE = """
while True:
    sock = connect()
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.send(os.urandom(64))
            sock.send(hello + b"more")
        sock.close()
"""

HELLOS = """
sockets = []
while True:
    sock = connect()
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.send(hello)
        sockets.append(sock)
    if len(sockets) > 900:
        sockets.pop(0).close()
"""


def flooded(node: Node, floods: list[Emitter]) -> None:
    """Run a neighbour during the floods, and three that come meanwhile; then end the floods."""
    neighbour = node.emitter(NEIGHBOUR)
    neighbour.until("ready")
    for flood in floods:
        flood.until("ready")
        flood.go()
    neighbour.go()
    for n in range(3):
        # Who finds no way in at first asks again.
        node.run(
            """
            from tests.servers.patience import until
            other = shmetrics.Counter("other", "Other")
            other.inc()
            until(lambda: other.inc(0) or shmetrics.status()["connected"], shmetrics.status, 60)
            """
        )
        assert node.samples().value("other_total") == n + 1
    neighbour.until("done")
    assert node.samples().value("jobs_sum") == 300_000
    for flood in floods:
        flood.kill()
    neighbour.go()
    neighbour.end()
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_sum") == 300_000
    assert found.value("other_total") == 3
    assert found.of("shmetrics_quarantined_total") == {}


@as_root
@pytest.mark.parametrize(
    ("flood", "result"), [(SILENT, "silent"), (GARBAGE, "malformed"), (HELLOS, "granted")]
)
def test_a_flood_of_one_user_keeps_nobody_else_out(node: Node, flood: str, result: str) -> None:
    """Check thousands of connections, as fast as two processes can make them."""
    node.runtime_dir.chmod(0o755)
    node.start(f"[registration]\nallow_uids = [0, {NOBODY}]\nmax_per_second = 20")
    flooded(node, [node.emitter(FLOOD + flood, BE=str(NOBODY)) for _ in range(2)])
    found = node.samples()
    assert found.value("shmetrics_registrations_total", result=result) > 100
    assert found.value("shmetrics_registrations_total", result="quota") > 1000
    quota = "registrations_per_second"
    assert found.value("shmetrics_quota_exceeded_total", quota=quota) > 1000
    # One line for each kind, however many there are of it.
    assert len([line for line in node.log.splitlines() if f"uid {NOBODY}" in line]) <= 4


@as_root
def test_a_flood_of_many_users_keeps_nobody_else_out(node: Node) -> None:
    """Check a flood that somebody can make who has a range of users, as in a user namespace."""
    node.runtime_dir.chmod(0o755)
    node.start('[registration]\nallow_uids = "any"')
    flooded(node, [node.emitter(FLOOD + SILENT, BE=str(NOBODY - n)) for n in range(6)])
    assert node.samples().value("shmetrics_registrations_total", result="silent") > 1000
    assert node.log.count("that have not said hello") <= 6
