# SPDX-License-Identifier: Apache-2.0
"""The registration protocol: the form and the order of messages. No I/O here.

There is one SOCK_SEQPACKET connection per emitter, with one message in each direction, in host byte
order:

    hello   "SHMR" | protocol u16 | layout u16 | records u32 | name bytes u16 | 0 u16 | name
    answer  "SHMR" | protocol u16 | layout u16 | result u16 | text bytes u16 | lane id u64 | text

`records` is the wanted capacity of the ring; 0 leaves it to the collector. A grant comes with the
descriptor of the lane's file. Its text has the collector's label rules for the process. After the
answer both sides close the connection, and the process keeps no descriptor.

A collector grants in the protocol of the hello, and refuses in the oldest protocol, because the
message that it refuses may not be a hello. In protocol 1 a grant came with a second descriptor, an
eventfd to wake the collector with, and the process kept that and the connection.

Any other message is a protocol error of the other side, and ends the connection.
"""

from __future__ import annotations

import struct
from enum import Enum, IntEnum
from typing import NamedTuple

PROTOCOL_VERSION = 2
WITH_EVENTFD = 1  # the protocol in which emitters wake the collector with a descriptor
OLDEST_PROTOCOL = WITH_EVENTFD  # every emitter understands it
PROTOCOLS = frozenset({OLDEST_PROTOCOL, PROTOCOL_VERSION})
MESSAGE_MAX_BYTES = 1024  # of a hello
ANSWER_MAX_BYTES = 4096
NAME_MAX_BYTES = 255

_MAGIC = b"SHMR"
_HELLO = struct.Struct("=4sHHIHH")
_ANSWER = struct.Struct("=4sHHHHQ")
TEXT_MAX_BYTES = ANSWER_MAX_BYTES - _ANSWER.size


class ProtocolError(Exception):
    """The peer broke the protocol; the text says how."""


class Result(IntEnum):
    """The result in a collector's answer; all but the first are refusals."""

    GRANTED = 0
    MALFORMED = 1
    VERSION = 2
    UID = 3
    QUOTA = 4
    NO_SPACE = 5
    STOPPING = 6


class Hello(NamedTuple):
    """A hello: an emitter's request for a lane.

    Attributes:
        layout_version: the layout of lanes that the emitter knows.
        records: the wanted capacity of the ring; 0: the collector's choice.
        process: the name of the process.
        protocol: the protocol in which it asks.
    """

    layout_version: int
    records: int
    process: str
    protocol: int = PROTOCOL_VERSION


class Answer(NamedTuple):
    """An answer: a collector's grant or refusal.

    Attributes:
        result: granted, or the kind of refusal.
        layout_version: the layout of lanes that the collector knows.
        lane_id: the id of the granted lane.
        text: with a refusal, the reason for people; with a grant, the label rules that the process
            applies, as shmetrics/label_rules/rule.py writes them.
    """

    result: Result
    layout_version: int
    lane_id: int = 0
    text: str = ""


class State(Enum):
    """The state of a connection, the same for both sides."""

    CONNECTED = "connected"  # no message yet
    ASKED = "asked"  # the hello was sent
    GRANTED = "granted"  # the emitter has its lane; the connection is not needed any more
    CLOSED = "closed"  # refused, gone, or broken


class Event(Enum):
    """An event on a connection."""

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
    """The state of one connection."""

    def __init__(self) -> None:
        self.state = State.CONNECTED

    def advance(self, event: Event) -> State:
        """Apply an event, and return the new state.

        Raises:
            ProtocolError: the event is not allowed in this state.
        """
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
    """Return at most *limit* bytes of UTF-8, without half a character at the end."""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").encode("utf-8")


def encode_hello(hello: Hello) -> bytes:
    """Return the bytes of a hello. Unprintable characters of the process's name become `?`."""
    shown = "".join(c if c.isprintable() else "?" for c in hello.process)
    name = _cut(shown, NAME_MAX_BYTES)
    return (
        _HELLO.pack(_MAGIC, hello.protocol, hello.layout_version, hello.records, len(name), 0)
        + name
    )


def decode_hello(message: bytes) -> Hello:
    """Return the hello in a message. The caller has to check the version of the layout.

    Raises:
        ProtocolError: the message is not a hello.
    """
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
    """Return the bytes of an answer. protocol: for a grant, the protocol of the hello."""
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
    """Return the answer in a message. Raises ProtocolError if it is not one."""
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
