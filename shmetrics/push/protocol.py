# SPDX-License-Identifier: Apache-2.0
"""The conversation at the gatherer's socket for lines, in packets (SOCK_SEQPACKET).

A packet of a client has lines, with newlines between them. They are the lines of the unit in which
the client runs, as the kernel says. A client that wants to know begins with `hello`, or with
`hello NAME` if it takes itself for the unit of that name. It is answered with `ok NAME`, or with
`refused REASON: TEXT`, and its connection ends. Any other packet gets no answer. A client that has
shut down its sending side, and then reads the end of the connection, knows that all was read.
"""

from __future__ import annotations

SOCKET_NAME = "lines.sock"
MOST_PACKET_BYTES = 64 * 1024

_HELLO = b"hello"


def hello(unit: str) -> bytes:
    """Return the first packet of a client that asks which unit its lines belong to."""
    return b" ".join((_HELLO, unit.encode())) if unit else _HELLO


def claimed(packet: bytes) -> str | None:
    """Return the unit that a hello names, "" if it names none; None: this is no hello."""
    word, _, unit = packet.partition(b" ")
    return unit.decode(errors="replace") if word == _HELLO else None
