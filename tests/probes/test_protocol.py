# SPDX-License-Identifier: Apache-2.0
"""Promise: any packet is a message within its bounds, or a protocol error."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.probes.spawner import protocol
from shmetrics.probes.spawner.protocol import Ended, ProtocolError, Refused, Run, Stop, Stuck

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=50)
IDS = st.integers(0, 2**63 - 1)
RUNS = st.builds(
    Run,
    IDS,
    st.integers(0, 2**32 - 2),
    st.lists(TEXT, min_size=1, max_size=5),
    TEXT.filter(bool),
    st.dictionaries(TEXT, TEXT, max_size=5),
    st.floats(0, 86400),
)
ANSWERS = st.one_of(
    st.builds(Ended, IDS, st.integers(-64, 255), st.booleans(), st.floats(0, 1e9)),
    st.builds(Refused, IDS, st.text(max_size=64), st.text(max_size=100)),
    st.builds(Stuck, IDS),
)


@given(RUNS | st.builds(Stop, IDS))
def test_a_wish_comes_as_it_was_sent(wish: protocol.Wish) -> None:
    assert protocol.decode_wish(protocol.encode(wish)) == wish


@given(ANSWERS)
def test_an_answer_comes_as_it_was_sent(answer: protocol.Answer) -> None:
    assert protocol.decode_answer(protocol.encode(answer)) == answer


@given(
    st.binary(max_size=300)
    | RUNS.map(protocol.encode).flatmap(
        lambda packet: st.integers(0, len(packet)).map(lambda end: packet[:end] + b"\xc1")
    )
)
def test_anything_else_is_an_error(packet: bytes) -> None:
    for decode in (protocol.decode_wish, protocol.decode_answer):
        try:
            decode(packet)
        except ProtocolError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "changed",
    [
        {"command": []},
        {"command": ["x"] * 65},
        {"command": ["a\0b"]},
        {"command": ["x" * 4097]},
        {"uid": -1},
        {"uid": 2**32 - 1},
        {"id": -1},
        {"directory": ""},
        {"directory": "a\0"},
        {"timeout_seconds": -1.0},
        {"timeout_seconds": 86401.0},
        {"timeout_seconds": float("nan")},
        {"environment": {"A\0": "x"}},
        {"environment": {str(n): "" for n in range(257)}},
        {"more": 1},
    ],
)
def test_a_wish_out_of_bounds_is_an_error(changed: dict[str, object]) -> None:
    good = msgspec.to_builtins(Run(1, 2, ["/bin/true"], "/", {}, 1.0))
    assert isinstance(protocol.decode_wish(msgspec.msgpack.encode(good)), Run)
    with pytest.raises(ProtocolError):
        protocol.decode_wish(msgspec.msgpack.encode({**good, **changed}))


def test_what_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="is not UTF-8"):
        protocol.encode(Run(1, 2, ["/bin/\udcff"], "/", {}, 1.0))
    with pytest.raises(ProtocolError, match="more than 65536 bytes"):
        protocol.encode(Run(1, 2, ["x" * 4096] * 17, "/", {}, 1.0))
