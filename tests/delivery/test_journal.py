# SPDX-License-Identifier: Apache-2.0
"""The journal's native protocol, at a socket that stands in for the journal's."""

from __future__ import annotations

import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.delivery.journal import Journal, entry, serialized
from shmetrics.forwarding.sender import Outcome, TryAgain
from tests.delivery.conftest import TIME_NS, message


@pytest.fixture
def path() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="shm-")
    yield str(Path(folder) / "socket")
    rmtree(folder)


def read(datagram: bytes) -> list[tuple[str, bytes]]:
    """Read the fields of a datagram as the protocol's page describes them, and nothing else."""
    found = []
    while datagram:
        first, _, rest = datagram.partition(b"\n")
        name, equals, value = first.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest.startswith(b"\n")
            rest = rest[1:]
        found.append((name.decode(), value))
        datagram = rest
    return found


names = st.text("ABC_", min_size=1, max_size=5)
fields = st.lists(st.tuples(names, st.text("a=\n é\0", max_size=9)), max_size=5)


@given(fields)
def test_no_value_becomes_another_field(fields: list[tuple[str, str]]) -> None:
    assert read(serialized(fields)) == [(name, value.encode()) for name, value in fields]


def test_an_entry_has_the_unit_in_fields(path: str) -> None:
    journal = Journal(path, 5.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        assert journal.send([message("a=1"), message("b=2", unit="u\nPRIORITY=0")]) == Outcome()
        first, second = (dict(read(listening.recv(4096))) for _ in range(2))
    assert first == {
        "MESSAGE": b"a=1",
        "PRIORITY": b"6",
        "SYSLOG_IDENTIFIER": b"shmetrics",
        "SHMETRICS_UNIT": b"web",
        "SHMETRICS_KIND": b"systemd",
        "SHMETRICS_TIME_NS": str(TIME_NS).encode(),
    }
    assert second["SHMETRICS_UNIT"] == b"u\nPRIORITY=0"
    assert second["PRIORITY"] == b"6"
    with pytest.raises(TryAgain, match="Connection refused") as raised:
        journal.send([message("c=3")])
    assert raised.value.left == [message("c=3")]
    journal.close()


def test_a_journal_that_comes_back_is_found(path: str) -> None:
    journal = Journal(path, 5.0)
    with pytest.raises(TryAgain, match="No such file or directory"):
        journal.send([message("a=1")])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        journal.send([message("a=1")])
        assert listening.recv(4096) == entry(message("a=1"))
    journal.close()


def test_what_is_too_large_fails_alone(path: str) -> None:
    journal = Journal(path, 5.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        outcome = journal.send([message("x" * 10_000_000), message("a=1")])
        assert (outcome.failed, outcome.why) == (1, "Message too long")
        assert listening.recv(4096) == entry(message("a=1"))
    journal.close()
