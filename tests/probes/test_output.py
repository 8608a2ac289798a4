# SPDX-License-Identifier: Apache-2.0
"""Promise: whatever a program prints, so much of it is taken as may be, and the rest counted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.probes.output import Bounds, Errors, Output

SMALL = Bounds(line_bytes=8, lines=6, total_bytes=60, error_bytes=40)
PIECES = st.lists(
    st.lists(
        st.sampled_from(
            [
                b"a=1",
                b"\n",
                b"\n",
                b"\r\n",
                b"\0",
                b"\x1b",
                b"\t",
                b"\xff",
                b"\xc3\xbc",
                b"12345678",
            ]
        ),
        max_size=6,
    ).map(b"".join),
    max_size=12,
)


def slow(pieces: list[bytes], bounds: Bounds, was_ended: bool) -> tuple[list[bytes], Counter[str]]:
    """Return the lines that are taken, and what is rejected, of all the output at once."""
    whole = b"".join(pieces)
    rejected: Counter[str] = Counter()
    *lines, last = whole[: bounds.total_bytes].split(b"\n")
    is_full = len(whole) > bounds.total_bytes or len(lines) > bounds.lines
    lines = lines[: bounds.lines]
    if is_full:
        rejected["beyond"] = 1
    elif last and was_ended:
        rejected["incomplete"] = 1
    elif last and len(lines) == bounds.lines:
        rejected["beyond"] = 1
    elif last:
        lines.append(last)
    taken = []
    for line in lines:
        bare = line[:-1] if line.endswith(b"\r") else line
        if len(bare) > bounds.line_bytes:
            rejected["long"] += 1
        elif any(byte < 32 and byte != 9 for byte in bare):
            rejected["control"] += 1
        elif bare.decode("utf-8", "ignore").encode() != bare:
            rejected["not_utf8"] += 1
        elif bare:
            taken.append(bare)
    return taken, rejected


@given(PIECES, st.booleans())
def test_it_takes_what_the_slow_one_takes(pieces: list[bytes], was_ended: bool) -> None:
    output = Output(SMALL)
    taken = [line for piece in pieces for line in output.feed(piece)]
    taken += output.end(was_ended)
    assert (taken, +output.rejected) == slow(pieces, SMALL, was_ended)


def test_an_endless_line_takes_no_memory() -> None:
    output = Output(Bounds(total_bytes=1 << 40))
    for _ in range(1000):
        assert output.feed(b"x" * 65536) == []
    assert output._begun.__sizeof__() < 4096
    assert output.feed(b"\na=1\n") == [b"a=1"]
    assert output.rejected == {"long": 1}


def test_a_million_lines_are_too_many() -> None:
    output = Output(Bounds())
    taken = 0
    for _ in range(1000):
        taken += len(output.feed(b"a=1\n" * 1000))
    assert taken == Bounds().lines
    assert output.is_full
    assert output.rejected == {"beyond": 1}


@pytest.mark.parametrize(
    ("printed", "last"),
    [
        (b"", ""),
        (b"\n\n", ""),
        (b"one\ntwo\n\n", "two"),
        (b"one\ntwo", "two"),
        (b"a\0b\x1b[31m\n", "a?b?[31m"),
        (b"\xff\xfe\n", "\ufffd\ufffd"),
        (b"x" * 300, "x" * 197 + "..."),
        (b"one\n  " + b"y" * 5000 + b"\n", "y" * 197 + "..."),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_the_last_line_of_stderr_is_shown(printed: bytes, last: str, size: int) -> None:
    errors = Errors(Bounds())
    for start in range(0, len(printed), size):
        errors.feed(printed[start : start + size])
    assert errors.last_line() == last
    assert not errors.is_full


@given(st.lists(st.text("ab \n", max_size=8)))
def test_the_last_line_is_that_of_all_together(pieces: list[str]) -> None:
    errors = Errors(Bounds())
    for piece in pieces:
        errors.feed(piece.encode())
    lines = [line.strip() for line in "".join(pieces).split("\n")]
    assert errors.last_line() == next((line for line in reversed(lines) if line), "")


def test_endless_errors_are_not_read_for_ever() -> None:
    errors = Errors(SMALL)
    for _ in range(3):
        errors.feed(b"no room\n" * 2)
    assert errors.is_full
    assert errors.last_line() == "no room"
