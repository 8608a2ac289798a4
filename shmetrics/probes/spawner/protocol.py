# SPDX-License-Identifier: Apache-2.0
"""The conversation of gatherer and spawner: its messages and their bounds. No I/O here.

There is one SOCK_SEQPACKET connection per gatherer; each message is one packet of MessagePack. The
gatherer sends Run, with two descriptors (SCM_RIGHTS): the ends of two pipes that the program gets
as STDOUT and STDERR. The spawner answers each Run with one Ended or one Refused, and says in
between if a run is Stuck. What a program prints never passes through the spawner, which may be
root.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

MESSAGE_MAX_BYTES = 64 * 1024
DESCRIPTORS = 2  # of a Run: STDOUT and STDERR

#: The pattern of the names of variables that a unit may set. Others change what a program does, as
#: LD_PRELOAD.
VARIABLE = r"OPENSHIFT_[A-Z0-9_]+"

_MOST_ARGUMENTS = 64
_MOST_VARIABLES = 256
_LAST_UID = 2**32 - 2

Text = Annotated[str, Meta(max_length=4096, pattern=r"^[^\x00]*\Z")]
Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class ProtocolError(Exception):
    """The peer broke the protocol; the text says how."""


class Run(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A wish of the gatherer: run a program.

    Attributes:
        id: the gatherer's number of the run; the answer has it.
        uid: the user who runs it.
        command: the absolute path of the program, and its arguments.
        directory: the absolute path of the directory in which it runs.
        environment: variables beside those that the spawner sets.
        timeout_seconds: the time after which it is ended.
    """

    id: Id
    uid: Annotated[int, Meta(ge=0, le=_LAST_UID)]
    command: Annotated[list[Text], Meta(min_length=1, max_length=_MOST_ARGUMENTS)]
    directory: Annotated[Text, Meta(min_length=1)]
    environment: Annotated[dict[Text, Text], Meta(max_length=_MOST_VARIABLES)]
    timeout_seconds: Annotated[float, Meta(ge=0, le=86400)]


class Stop(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A wish of the gatherer: end a run at once. There is no answer but the run's own."""

    id: Id


class Ended(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """An answer: the program has run and ended, and so has what it started, or is about to.

    Attributes:
        id: the number of the run.
        exit_code: the exit status of the program; of one that a signal ended, minus its number.
        timed_out: it was still running after timeout_seconds.
        duration_seconds: the time from its start to its end.
    """

    id: Id
    exit_code: int
    timed_out: bool
    duration_seconds: float


class Stuck(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """News of a run: SIGKILL does not end it, as in the middle of a read from a dead disk. It no
    longer counts among those that run at once. Its Ended comes when it does end.

    Attributes:
        id: the number of the run.
    """

    id: Id


class Refused(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """An answer: the program was not run.

    Attributes:
        id: the number of the run.
        reason: in one word.
        text: one line for people: what is wrong, and how to mend it.
    """

    id: Id
    reason: Annotated[str, Meta(max_length=64)]
    text: Annotated[str, Meta(max_length=4096)]


Wish: TypeAlias = Run | Stop
Answer: TypeAlias = Ended | Refused | Stuck

_Message = TypeVar("_Message")

_encoder = msgspec.msgpack.Encoder()
_wishes: msgspec.msgpack.Decoder[Wish] = msgspec.msgpack.Decoder(Wish)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode(message: Wish | Answer) -> bytes:
    """Return the bytes of a message.

    Raises:
        ProtocolError: it is too large, or has text that is not Unicode.
    """
    try:
        packet = _encoder.encode(message)
    except UnicodeEncodeError:
        raise ProtocolError("a path or a variable is not UTF-8") from None
    if len(packet) > MESSAGE_MAX_BYTES:
        raise ProtocolError(f"command and variables take more than {MESSAGE_MAX_BYTES} bytes")
    return packet


def decode_wish(packet: bytes) -> Wish:
    """Return the gatherer's message in a packet. Raises ProtocolError."""
    return _decode(packet, _wishes)


def decode_answer(packet: bytes) -> Answer:
    """Return the spawner's message in a packet. Raises ProtocolError."""
    return _decode(packet, _answers)


def _decode(packet: bytes, decoder: msgspec.msgpack.Decoder[_Message]) -> _Message:
    if len(packet) > MESSAGE_MAX_BYTES:
        raise ProtocolError(f"a packet of more than {MESSAGE_MAX_BYTES} bytes")
    try:
        return decoder.decode(packet)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(" ".join(str(error).split())) from None
