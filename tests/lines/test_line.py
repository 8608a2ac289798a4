# SPDX-License-Identifier: Apache-2.0
"""Metric lines: what is one, what is refused, and that nothing else comes of any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.lines.line import LIMITS, Limits, Refused, parse
from tests.lines import twin

SMALL = Limits(line_bytes=10_000, words=6, key_characters=12, value_characters=8)

keys = st.sampled_from(
    ["a", "a.b", "a_b", "gear", "app", "x-y", "1a", "", "type", "shmetrics_x", "k" * 13, "é"]
)
values = st.sampled_from(
    ["1", "-2.5e3", ".5", "5.", "nan", "-inf", "1e999", "1_0", "", "G", "x=1", "0x1", "v" * 9, "٣"]
)
words = st.one_of(
    st.tuples(keys, values).map("=".join),
    st.sampled_from(["type=metric", "type=metric", "word", "", "\0", "\u2028", '"a', "a=1\n"]),
)
lines = st.lists(words, max_size=8).flatmap(
    lambda words: st.sampled_from([" ", "\t", "  "]).map(lambda space: space.join(words).encode())
)


def outcome(text: bytes, limits: Limits) -> twin.Found | str | None:
    try:
        line = parse(text, limits)
    except Refused as refused:
        return refused.reason
    if line is None:
        return None
    return [(m.name, m.key, m.value) for m in line.metrics], line.metadata


@given(st.one_of(lines, st.binary(max_size=60)), st.booleans())
def test_it_is_what_the_slow_twin_says(text: bytes, is_typed: bool) -> None:
    limits = SMALL._replace(is_typed=is_typed)
    assert outcome(text, limits) == twin.parse(text, limits)


def test_the_lines_of_the_design() -> None:
    assert outcome(b"type=metric thread.count=5 thread.active=2\n", LIMITS) == (
        [("thread_count", "thread.count", 5), ("thread_active", "thread.active", 2)],
        {},
    )
    mock = b"type=metric cart=mock appName=A gear=7 app=U ns=N uptime=12.3"
    of_mock = {"cart": "mock", "appName": "A", "gear": "7", "app": "U", "ns": "N"}
    assert outcome(mock, LIMITS) == ([("uptime", "uptime", 12.3)], of_mock)
    assert outcome(mock.replace(b"type=metric ", b""), LIMITS) == (
        [("uptime", "uptime", 12.3)],
        of_mock,
    )
    line = parse(b"x=0012.50 type=metric zone=eu-1\r\n")
    assert line is not None
    assert (line.metrics[0].text, line.metrics[0].value) == ("0012.50", 12.5)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"listening on port=80",
        b"level=info port=80",
        b'time=12 msg="a b"',
        b"a == b",
        b"gear=12",
        b"=5",
        b"PATH=/bin",
        b"x" * 5000,
        b"word " * 1000 + b"type=metric",
        b"a=1 and so on " + b"a=1 " * 10 + b"\0",
        b"type=gauge a=1",
    ],
)
def test_what_a_program_says_to_people_is_no_metric_line(text: bytes) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"type=metric " + b"a=1 " * 500, "too_long"),
        (b"a=1 " * 501, "too_long"),
        (b"type=metric " + b"a" * 201 + b"=1", "bad_name"),
        (b"type=metric x=" + b"v" * 257, "too_long"),
        (b" ".join(b"a%d=1" % n for n in range(101)), "too_many"),
        (b"a=nan", "bad_value"),
        (b"a=-Infinity", "bad_value"),
        (b"a=1e999", "bad_value"),
        (b"type=metric a=", "bad_value"),
        (b"type=metric a=1 b", "bad_word"),
        (b'type=metric a=1 name="x y"', "bad_word"),
        (b"type=metric caf\xc3\xa9=1", "bad_name"),
        (b"type=metric a=1 x=\0", "bad_text"),
        (b"type=metric a=1\nb=2", "bad_text"),
        (b"type=metric a=1 x=\xff", "bad_text"),
        (b"type=metric a=1 x=\xe2\x80\xa8<13>1", "bad_text"),
        (b"type=metric gear=G", "no_metric"),
        (b"type=metric a=1 a=2", "repeated"),
        (b"thread.count=1 thread_count=1", "two_names_one"),
        (b"container_memory.rss=1", "reserved"),
        (b"shmetrics.units=1", "reserved"),
    ],
)
def test_a_refusal_has_a_reason_in_a_word(text: bytes, reason: str) -> None:
    assert outcome(text, LIMITS) == reason


def test_its_text_is_short_and_says_what_to_mend() -> None:
    with pytest.raises(Refused, match=r"thread\.count and thread_count are one name; rename one"):
        parse(b"thread.count=1 thread_count=1")
    with pytest.raises(Refused) as refused:
        parse(b"type=metric " + b"\x1b" * 1900)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()
