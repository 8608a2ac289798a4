# SPDX-License-Identifier: Apache-2.0
"""The registration protocol: the form and the order of messages. No I/O here.

There is one SOCK_SEQPACKET connection per emitter, with one message in each direction, in host byte
order:

    hello   "SHMR" | protocol u16 | layout u16 | records u32 | name bytes u16 | more bytes u16
            | name | more
    more    dictionary bytes u32 | cells u32 | predecessor u64 | pid u64 | pid namespace u64
    answer  "SHMR" | protocol u16 | layout u16 | result u16 | text bytes u16 | lane id u64 | text

`records` is the wanted capacity of the ring; 0 leaves it to the collector, as it does for the other
sizes. `predecessor` is the id of the process's lane that the new one replaces; 0 for none. `pid`
and `pid namespace` are for a collector that cannot see the process, as between containers: the pid
as the process sees itself, and the inode of its PID namespace (pid_namespaces(7)); 0 if it does not
know them. A grant comes with the descriptor of the lane's file. Its text has the collector's label
rules for the process. After the answer both sides close the connection, and the process keeps no
descriptor.

The part `more` can be shorter, and then has zeroes at its end, or longer: a collector ignores what
it does not know.

A collector grants in the protocol of the hello, and refuses in the oldest protocol, because the
message that it refuses may not be a hello. In protocol 2 a hello ended with the name. In protocol 1
a grant came with a second descriptor, an eventfd to wake the collector with, and the process kept
that and the connection.

Any other message is a protocol error of the other side, and ends the connection.
"""

from __future__ import annotations

import struct
from enum import Enum, IntEnum
from typing import NamedTuple

PROTOCOL_VERSION = 3
WITH_EVENTFD = 1  # the protocol in which emitters wake the collector with a descriptor
OLDEST_PROTOCOL = WITH_EVENTFD  # every emitter understands it
WITH_MORE = 3  # the first protocol in which something follows the name
PROTOCOLS = frozenset(range(OLDEST_PROTOCOL, PROTOCOL_VERSION + 1))
MESSAGE_MAX_BYTES = 1024  # of a hello
ANSWER_MAX_BYTES = 4096
NAME_MAX_BYTES = 255

_MAGIC = b"SHMR"
_HELLO = struct.Struct("=4sHHIHH")
_MORE = struct.Struct("=IIQQQ")
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
        dictionary_bytes: the wanted room for definitions; 0: the collector's choice.
        cells: the wanted number of cells; 0: the collector's choice.
        predecessor: the id of the lane that the new one replaces; 0: none.
        pid: the number of the process as it sees itself; 0: unknown.
        pid_namespace: the inode of its PID namespace; 0: unknown.
    """

    layout_version: int
    records: int
    process: str
    protocol: int = PROTOCOL_VERSION
    dictionary_bytes: int = 0
    cells: int = 0
    predecessor: int = 0
    pid: int = 0
    pid_namespace: int = 0


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
    shown = "".join([c if c.isprintable() else "?" for c in hello.process])
    name = _cut(shown, NAME_MAX_BYTES)
    more = b""
    if hello.protocol >= WITH_MORE:
        more = _MORE.pack(
            *(hello.dictionary_bytes, hello.cells, hello.predecessor),
            *(hello.pid, hello.pid_namespace),
        )
    head = hello.protocol, hello.layout_version, hello.records, len(name), len(more)
    return _HELLO.pack(_MAGIC, *head) + name + more


def decode_hello(message: bytes) -> Hello:
    """Return the hello in a message. The caller has to check the version of the layout.

    Raises:
        ProtocolError: the message is not a hello.
    """
    if len(message) < _HELLO.size:
        raise ProtocolError(f"hello of {len(message)} bytes, {_HELLO.size} are needed")
    magic, protocol, layout, records, name_bytes, more_bytes = _HELLO.unpack_from(message)
    if magic != _MAGIC:
        raise ProtocolError("hello does not begin with SHMR")
    if protocol not in PROTOCOLS:
        raise ProtocolError(f"protocol {protocol}, this side speaks up to {PROTOCOL_VERSION}")
    if (more_bytes and protocol < WITH_MORE) or name_bytes > NAME_MAX_BYTES:
        raise ProtocolError("hello with a field out of range")
    rest = message[_HELLO.size :]
    if len(rest) != name_bytes + more_bytes:
        raise ProtocolError(
            f"{len(rest)} bytes behind the head where {name_bytes + more_bytes} were announced"
        )
    name = _text(rest[:name_bytes], name_bytes)
    if not name.isprintable():
        raise ProtocolError("process name with unprintable characters")
    more = _MORE.unpack(rest[name_bytes:][: _MORE.size].ljust(_MORE.size, b"\0"))
    return Hello(layout, records, name, protocol, *more)


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
