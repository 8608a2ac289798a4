# SPDX-License-Identifier: Apache-2.0
"""Whole lines out of pieces, wherever a stream is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.push.whole_lines import WholeLines

MOST = 6
pieces = st.lists(st.text("a=\n", min_size=1, max_size=9).map(str.encode), max_size=9)


def looked(pieces: list[bytes], mark: bytes = b"=") -> list[bytes]:
    """Return the lines that are taken out of these pieces."""
    blocks: list[bytes] = []
    lines = WholeLines(blocks.append, mark, MOST)
    for piece in pieces:
        buffer = bytearray(piece + b"=left over from before\n")
        lines.look(buffer, len(piece))
    lines.end()
    assert all(block.endswith(b"\n") and mark in block for block in blocks)
    return [line for block in blocks for line in block[:-1].split(b"\n")]


@given(pieces)
def test_a_line_with_the_mark_is_taken_once_and_whole(pieces: list[bytes]) -> None:
    """Check every line that is not too long, and the begin of every one that is."""
    marked = [line[: MOST + 1] for line in looked(pieces) if b"=" in line]
    said = b"".join(pieces).split(b"\n")
    short = [line[: MOST + 1] for line in said]
    # A long line has the mark in its begin, or it is as good as one without.
    assert [line for line in marked if b"=" in line] == [line for line in short if b"=" in line]


@given(st.text("a=\n", max_size=40).map(str.encode))
def test_where_it_is_cut_makes_no_difference(text: bytes) -> None:
    one_by_one = [text[at : at + 1] for at in range(len(text))]
    with_mark = [
        [line for line in (line[: MOST + 1] for line in looked(it)) if b"=" in line]
        for it in (one_by_one, [text])
    ]
    assert with_mark[0] == with_mark[1]


def test_a_block_without_the_mark_is_left_out() -> None:
    assert looked([b"a\nb\n", b"c\n", b"d=1", b"", b"\ne\n"]) == [b"d=1"]


def test_an_endless_line_takes_no_memory() -> None:
    lines = WholeLines(lambda _: None, b"=", MOST)
    buffer = bytearray(b"x=" * 1000)
    for _ in range(100):
        lines.look(buffer, len(buffer))
    assert len(lines._begun) <= MOST + 2
