# SPDX-License-Identifier: Apache-2.0
"""A collector that grants what is no lane: the emitter goes on without one."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from shmetrics import layout
from shmetrics.lanes import _drain
from shmetrics.registration import protocol
from shmetrics.registration.protocol import Answer, Result
from tests.nodes.node import Node

SIZES = (64, 4096, 128, 8)
WHOLE = (
    *(layout.DEFAULT_RECORDS, layout.DEFAULT_DICTIONARY_BYTES),
    *(layout.DEFAULT_CELLS, layout.DEFAULT_CALLS),
)
GRANT = protocol.encode_answer(Answer(Result.GRANTED, layout.LAYOUT_VERSION, 1))


def memfd(content: bytes) -> int:
    fd = os.memfd_create("lane")
    os.write(fd, content)
    return fd


def lane(at: int = 0, garbage: bytes = b"", sizes: tuple[int, int, int, int] = SIZES) -> bytes:
    memory = bytearray(layout.lane_bytes(*sizes))
    _drain.lane_format(memory, 1, *sizes)
    memory[at : at + len(garbage)] = garbage
    return bytes(memory)


NO_LANES: dict[str, Callable[[], int]] = {
    "not a file": lambda: os.open("/dev/null", os.O_RDWR),
    "empty": lambda: memfd(b""),
    "too short": lambda: memfd(bytes(100)),
    "zeros": lambda: memfd(bytes(65536)),
    "random": lambda: memfd(os.urandom(65536)),
    "a lane cut short": lambda: memfd(lane()[:-4096]),
    "another version": lambda: memfd(lane(8, b"\x09")),
    "parts that overlap": lambda: memfd(lane(48, struct.pack("=Q", 4096))),
    "parts beyond the end": lambda: memfd(lane(104, struct.pack("=Q", 1 << 29))),
    "a directory": lambda: os.open("/", os.O_RDONLY),
    "a socket": lambda: socket.socket().detach(),
}


@pytest.fixture
def listening(node: Node) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as found:
        found.bind(str(node.runtime_dir / "register.sock"))
        found.listen()
        found.settimeout(20)
        yield found


RECORD = """
jobs = shmetrics.Counter("jobs", "Jobs")
jobs.inc()
pause("asked")
from shmetrics.emitter.process import registration
opened = len(os.listdir("/proc/self/fd"))
registration.attend()
assert len(os.listdir("/proc/self/fd")) == opened - 1  # no connection, and nothing else
status = shmetrics.status()
assert not status["connected"], status
assert status["problem"].startswith(os.environ["PROBLEM"]), status
for n in range(10_000):
    jobs.inc()
assert shmetrics.status()["recorded"] == 10_001, status
"""


@pytest.mark.parametrize("what", NO_LANES)
def test_what_is_no_lane_is_not_used(node: Node, listening: socket.socket, what: str) -> None:
    emitter = node.emitter(RECORD, PROBLEM="the lane could not be used: ")
    emitter.until("asked")
    connection, _ = listening.accept()
    with connection:
        fd = NO_LANES[what]()
        socket.send_fds(connection, [GRANT], [fd])
        os.close(fd)
        emitter.go()
        emitter.end()


@pytest.mark.parametrize(
    "text", ["hash server * 0\n", "drop server *", "x" * protocol.TEXT_MAX_BYTES]
)
def test_what_are_no_label_rules_are_not_applied(
    node: Node, listening: socket.socket, text: str
) -> None:
    """The lane is used all the same: its collector applies the rules."""
    emitter = node.emitter(
        """
        jobs = shmetrics.Counter("jobs", "Jobs", ["server"])
        jobs.labels("a").inc()
        pause("asked")
        from shmetrics.emitter.process import registration
        registration.attend()
        status = shmetrics.status()
        assert status["connected"], status
        problem = "the collector's label rules could not be used: "
        assert status["problem"].startswith(problem), status
        assert jobs.labels("b") is not jobs.labels("c")
        """
    )
    emitter.until("asked")
    connection, _ = listening.accept()
    with connection:
        grant = Answer(Result.GRANTED, layout.LAYOUT_VERSION, 1, text)
        fd = memfd(lane(sizes=WHOLE))
        socket.send_fds(connection, [protocol.encode_answer(grant)], [fd])
        os.close(fd)
        emitter.go()
        emitter.end()


@pytest.mark.parametrize("n", [0, 2, 5])
def test_a_grant_without_its_descriptor_or_with_more(
    node: Node, listening: socket.socket, n: int
) -> None:
    emitter = node.emitter(RECORD, PROBLEM="no collector: a grant without its descriptor")
    emitter.until("asked")
    connection, _ = listening.accept()
    with connection:
        fds = [memfd(lane()) for _ in range(n)]
        socket.send_fds(connection, [GRANT], fds)
        for fd in fds:
            os.close(fd)
        emitter.go()
        emitter.end()
