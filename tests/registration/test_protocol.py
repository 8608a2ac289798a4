# SPDX-License-Identifier: Apache-2.0
"""The protocol alone: garbage is decoded or refused, never anything else."""

from __future__ import annotations

import contextlib
import struct
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shmetrics.registration import protocol
from shmetrics.registration.protocol import (
    Answer,
    Connection,
    Event,
    Hello,
    ProtocolError,
    Result,
    State,
)

ALLOWED = {
    "connected": {"hello": "asked", "garbage": "closed", "end": "closed"},
    "asked": {"grant": "granted", "refusal": "closed", "garbage": "closed", "end": "closed"},
    "granted": {},
    "closed": {},
}

uint16 = st.integers(0, 2**16 - 1)
protocols = st.sampled_from(sorted(protocol.PROTOCOLS))
uint32 = st.integers(0, 2**32 - 1)
uint64 = st.integers(0, 2**64 - 1)
more = st.tuples(uint32, uint32, uint64, uint64, uint64)
hellos = st.builds(lambda *short: Hello(*short), uint16, uint32, st.text(), protocols) | st.builds(
    lambda layout, records, name, more: Hello(
        layout, records, name, protocol.PROTOCOL_VERSION, *more
    ),
    *(uint16, uint32, st.text(), more),
)
answers = st.builds(
    Answer, st.sampled_from(Result), uint16, st.integers(0, 2**64 - 1), st.text(max_size=200)
)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_what_may_come_when(state: State, event: Event) -> None:
    connection = Connection()
    connection.state = state
    following = ALLOWED[state.value].get(event.value)
    if following is None:
        with pytest.raises(ProtocolError, match=f"{event.value} while {state.value}"):
            connection.advance(event)
        assert connection.state is state
    else:
        assert connection.advance(event) is connection.state is State(following)


def test_every_state_can_end() -> None:
    for state in ALLOWED.values():
        assert not state or state["end"] == "closed"


@given(hellos)
@example(Hello(1, 0, "a\0b\tc\n"))
@example(Hello(1, 0, "\ud800"))
@example(Hello(1, 0, "\N{SNOWMAN}" * 100))
def test_a_process_of_any_name_can_say_hello(hello: Hello) -> None:
    message = protocol.encode_hello(hello)
    assert len(message) <= protocol.MESSAGE_MAX_BYTES
    found = protocol.decode_hello(message)
    assert found[:2] == hello[:2]
    assert len(found.process.encode()) <= protocol.NAME_MAX_BYTES
    if hello.process.isprintable() and len(hello.process.encode()) <= protocol.NAME_MAX_BYTES:
        assert found == hello
    else:
        shown = found.process.encode().decode()
        assert all(
            ours == "?" or ours == theirs
            for ours, theirs in zip(shown, hello.process, strict=False)
        )


@given(answers)
@example(Answer(Result.QUOTA, 1, 0, "\N{SNOWMAN}" * 2000))
def test_an_answer_comes_as_it_was_sent(answer: Answer) -> None:
    message = protocol.encode_answer(answer)
    assert len(message) <= protocol.ANSWER_MAX_BYTES
    found = protocol.decode_answer(message)
    assert found[:3] == answer[:3]
    assert answer.text.startswith(found.text)
    if len(answer.text.encode()) <= protocol.TEXT_MAX_BYTES:
        assert found == answer


@given(st.binary(max_size=64) | st.builds(bytes.__add__, st.just(b"SHMR\1\0\1\0"), st.binary()))
def test_garbage_is_refused(garbage: bytes) -> None:
    for decode in (protocol.decode_hello, protocol.decode_answer):
        with contextlib.suppress(ProtocolError):
            decode(garbage)


@given(hellos, st.integers(0, 300), st.integers(1, 255))
def test_a_hello_with_a_byte_changed_is_another_one_or_refused(
    hello: Hello, at: int, change: int
) -> None:
    message = bytearray(protocol.encode_hello(hello))
    message[at % len(message)] ^= change
    try:
        found = protocol.decode_hello(bytes(message))
    except ProtocolError:
        return
    if found.protocol >= protocol.WITH_MORE > hello.protocol:
        assert protocol.decode_hello(protocol.encode_hello(found)) == found
    else:
        assert protocol.encode_hello(found) == bytes(message)


def test_a_hello_may_say_less_or_more_than_this_side_knows() -> None:
    hello = Hello(2, 0, "nova", dictionary_bytes=5, cells=6, predecessor=7)
    message = protocol.encode_hello(hello)
    longer = message[:14] + struct.pack("=H", 36) + message[16:] + b"more"
    assert protocol.decode_hello(longer) == hello
    shorter = message[:14] + struct.pack("=H", 4) + message[16:-28]
    assert protocol.decode_hello(shorter) == hello._replace(cells=0, predecessor=0)


@given(hellos, st.integers(0, 300))
def test_a_hello_cut_short_is_refused(hello: Hello, at: int) -> None:
    message = protocol.encode_hello(hello)
    with pytest.raises(ProtocolError):
        protocol.decode_hello(message[: at % len(message)])


def changed(at: int, new: bytes) -> bytes:
    message = bytearray(protocol.encode_hello(Hello(1, 0, "nova", 2)))
    message[at : at + len(new)] = new
    return bytes(message)


@given(hellos, st.binary(max_size=40), st.integers(0, 16))
def test_what_a_hello_tells_beside_its_name_can_be_less_or_more(
    hello: Hello, unknown: bytes, n_bytes: int
) -> None:
    """Check hellos of other versions: a missing value is 0, an unknown one is left out."""
    hello = hello._replace(protocol=protocol.WITH_MORE, process="nova")
    message = protocol.encode_hello(hello)
    head, more = message[: 16 + len("nova")], message[16 + len("nova") :]

    def said(more: bytes) -> bytes:
        return head[:14] + struct.pack("=H", len(more)) + head[16:] + more

    assert protocol.decode_hello(said(more + unknown)) == hello
    cut = more[: min(n_bytes, len(more))]
    found = protocol.decode_hello(said(cut))
    assert protocol.encode_hello(found) == head + cut.ljust(len(more), b"\0")


REFUSED = {
    "hello of 3 bytes, 16 are needed": b"SHM",
    "hello does not begin with SHMR": changed(0, b"HTTP"),
    "protocol 4, this side speaks up to 3": changed(4, struct.pack("=H", 4)),
    "hello with a field out of range": changed(14, b"\1"),
    "4 bytes behind the head where 5 were announced": changed(12, b"\5"),
    "4 bytes behind the head where 3 were announced": changed(12, b"\3"),
    "text is not UTF-8": changed(16, b"\xff"),
    "process name with unprintable characters": changed(16, b"\n"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_refusal_says_what_is_wrong(why: str) -> None:
    with pytest.raises(ProtocolError, match=f"^{why}$"):
        protocol.decode_hello(REFUSED[why])


def test_an_answer_in_an_unknown_tongue_is_refused() -> None:
    answer = protocol.encode_answer(Answer(Result.GRANTED, 1))
    for message, why in (
        (answer[:5], "answer of 5 bytes, 20 are needed"),
        (b"HTTP" + answer[4:], "answer in another protocol"),
        (answer[:4] + b"\4" + answer[5:], "answer in another protocol"),
        (answer[:8] + b"\x63" + answer[9:], "unknown result 99"),
        (answer + b"!", "text of 1 bytes where 0 were announced"),
    ):
        with pytest.raises(ProtocolError, match=f"^{why}$"):
            protocol.decode_answer(message)
