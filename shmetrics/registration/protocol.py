# SPDX-License-Identifier: Apache-2.0
"""The registration protocol: bytes to messages, and which message may come when. No I/O here.

One SOCK_SEQPACKET connection per emitter, one message in each direction, host byte order:

    hello   "SHMR" | protocol u16 | layout u16 | records u32 | name bytes u16 | 0 u16 | name
    answer  "SHMR" | protocol u16 | layout u16 | result u16 | text bytes u16 | lane id u64 | text

records is the wanted capacity of the ring, 0 for the collector's choice. With a grant comes the
descriptor of the lane's file. Its text is what the process is to know of the collector's label
rules. After an answer both sides close the connection: the process keeps no descriptor.

A collector grants in the protocol that it was asked in, and refuses in the oldest: what it refuses
may have been no hello. In protocol 1 a second descriptor came with a grant, an eventfd to kick the
collector with, and the process kept it and the connection.

Anything else that arrives is a protocol error of the other side, and ends the connection.
"""

from __future__ import annotations

import struct
from enum import Enum, IntEnum
from typing import NamedTuple

PROTOCOL_VERSION = 2
WITH_EVENTFD = 1  # the protocol of those who kick with a descriptor
OLDEST_PROTOCOL = WITH_EVENTFD  # which every emitter understands
PROTOCOLS = frozenset({OLDEST_PROTOCOL, PROTOCOL_VERSION})
MESSAGE_MAX_BYTES = 1024  # of a hello
ANSWER_MAX_BYTES = 4096
NAME_MAX_BYTES = 255

_MAGIC = b"SHMR"
_HELLO = struct.Struct("=4sHHIHH")
_ANSWER = struct.Struct("=4sHHHHQ")
TEXT_MAX_BYTES = ANSWER_MAX_BYTES - _ANSWER.size


class ProtocolError(Exception):
    """The peer sent what the protocol does not allow; the text says what."""


class Result(IntEnum):
    """What a collector answers; all but the first refuse."""

    GRANTED = 0
    MALFORMED = 1
    VERSION = 2
    UID = 3
    QUOTA = 4
    NO_SPACE = 5
    STOPPING = 6


class Hello(NamedTuple):
    """An emitter asks for a lane."""

    layout_version: int
    records: int
    process: str
    protocol: int = PROTOCOL_VERSION


class Answer(NamedTuple):
    """A collector grants or refuses one. text: why not, for people; with a grant, the label rules
    that the process is to apply, as shmetrics/label_rules/rule.py writes them."""

    result: Result
    layout_version: int
    lane_id: int = 0
    text: str = ""


class State(Enum):
    """Where one connection stands, seen from either side."""

    CONNECTED = "connected"  # nothing said yet
    ASKED = "asked"  # hello is out
    GRANTED = "granted"  # the lane is the emitter's; the connection has done its work
    CLOSED = "closed"  # refused, gone, or broken


class Event(Enum):
    """What can happen on a connection."""

    HELLO = "hello"
    GRANT = "grant"
    REFUSAL = "refusal"
    GARBAGE = "garbage"
    END = "end"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.CONNECTED, Event.HELLO): State.ASKED,
    (State.CONNECTED, Event.GARBAGE): State.CLOSED,
    (State.CONNECTED, Event.END): State.CLOSED,
    (State.ASKED, Event.GRANT): State.GRANTED,
    (State.ASKED, Event.REFUSAL): State.CLOSED,
    (State.ASKED, Event.GARBAGE): State.CLOSED,
    (State.ASKED, Event.END): State.CLOSED,
}


class Connection:
    """The state of one connection. advance() raises ProtocolError on what may not come now."""

    def __init__(self) -> None:
        self.state = State.CONNECTED

    def advance(self, event: Event) -> State:
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise ProtocolError(f"{event.value} while {self.state.value}")
        self.state = following
        return following


def _text(raw: bytes, size: int) -> str:
    if len(raw) != size:
        raise ProtocolError(f"text of {len(raw)} bytes where {size} were announced")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("text is not UTF-8") from None
    return text


def _cut(text: str, limit: int) -> bytes:
    """At most limit bytes of UTF-8, without half a character at the end."""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").encode("utf-8")


def encode_hello(hello: Hello) -> bytes:
    """A process may be called anything: what cannot be shown of its name is replaced."""
    shown = "".join(c if c.isprintable() else "?" for c in hello.process)
    name = _cut(shown, NAME_MAX_BYTES)
    return (
        _HELLO.pack(_MAGIC, hello.protocol, hello.layout_version, hello.records, len(name), 0)
        + name
    )


def decode_hello(message: bytes) -> Hello:
    """Raises ProtocolError. A version that differs is for the caller to refuse."""
    if len(message) < _HELLO.size:
        raise ProtocolError(f"hello of {len(message)} bytes, {_HELLO.size} are needed")
    magic, protocol, layout, records, name_bytes, zero = _HELLO.unpack_from(message)
    if magic != _MAGIC:
        raise ProtocolError("hello does not begin with SHMR")
    if protocol not in PROTOCOLS:
        raise ProtocolError(f"protocol {protocol}, this side speaks up to {PROTOCOL_VERSION}")
    if zero != 0 or name_bytes > NAME_MAX_BYTES:
        raise ProtocolError("hello with a field out of range")
    name = _text(message[_HELLO.size :], name_bytes)
    if not name.isprintable():
        raise ProtocolError("process name with unprintable characters")
    return Hello(layout, records, name, protocol)


def encode_answer(answer: Answer, protocol: int = OLDEST_PROTOCOL) -> bytes:
    """Returns an answer as it is sent. protocol: the hello's, for a grant."""
    text = _cut(answer.text, TEXT_MAX_BYTES)
    return (
        _ANSWER.pack(
            _MAGIC,
            protocol,
            answer.layout_version,
            answer.result,
            len(text),
            answer.lane_id,
        )
        + text
    )


def decode_answer(message: bytes) -> Answer:
    """Raises ProtocolError."""
    if len(message) < _ANSWER.size:
        raise ProtocolError(f"answer of {len(message)} bytes, {_ANSWER.size} are needed")
    magic, protocol, layout, result, text_bytes, lane_id = _ANSWER.unpack_from(message)
    if magic != _MAGIC or protocol not in PROTOCOLS:
        raise ProtocolError("answer in another protocol")
    text = _text(message[_ANSWER.size :], text_bytes)
    try:
        return Answer(Result(result), layout, lane_id, text)
    except ValueError:
        raise ProtocolError(f"unknown result {result}") from None
