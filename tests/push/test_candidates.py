# SPDX-License-Identifier: Apache-2.0
"""No metric line is overlooked in a block, and few others are looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.lines.line import LIMITS, Refused, parse
from shmetrics.push._candidates import Candidates
from shmetrics.push.candidates import candidates, slow_candidates

keys = st.sampled_from(["a", "a.b", "gear", "unit", "x-y:z", "1", "", "é"])
values = st.sampled_from(
    ["1", "-2.5e3", ".5", "5.", "NaN", "-Infinity", "1e9", "", "G", "x=1", "1x"]
)
words = st.one_of(
    st.tuples(keys, values).map("=".join),
    st.sampled_from(["type=metric", "xtype=metricx", "text", "", "\r", "\0"]),
)
spaces = st.sampled_from([" ", "\t", "  "])
lines = st.builds(lambda words, space: space.join(words), st.lists(words, max_size=5), spaces)


def is_metric_line(text: bytes, is_typed: bool) -> bool:
    try:
        return parse(text, LIMITS._replace(is_typed=is_typed)) is not None
    except Refused:
        return True


@given(st.lists(lines, max_size=12), st.booleans())
def test_every_metric_line_is_a_candidate_once(said: list[str], is_typed: bool) -> None:
    block = "".join(f"{line}\n" for line in said).encode()
    found = list(Candidates(block, is_typed))
    assert found == list(slow_candidates(block, is_typed))
    wanted = [line for line in block.split(b"\n")[:-1] if is_metric_line(line, is_typed)]
    assert [line for line in found if is_metric_line(line, is_typed)] == wanted


@given(st.text("agi=1.- \t\r\n\0", max_size=60).map(str.encode), st.booleans())
def test_any_bytes_are_looked_at_in_the_same_way(block: bytes, is_typed: bool) -> None:
    assert list(Candidates(block, is_typed)) == list(slow_candidates(block, is_typed))


def test_what_programs_print_for_people_is_none() -> None:
    block = (
        b"a=1\nsome text b=2\n\n \tc=3\nc=4 and so on\n=4\nlevel=warn d=5\nx\n==\ne=6\r\n"
        b"ts=2026-11-30T10:00:00 level=info\nINFO type=metric g=7\nPATH=/bin\nlast=8"
    )
    assert list(Candidates(block)) == [
        *(b"a=1", b" \tc=3", b"e=6\r", b"INFO type=metric g=7", b"last=8"),
    ]
    assert list(Candidates(block, is_typed=True)) == [b"INFO type=metric g=7"]


def test_the_compiled_one_is_used() -> None:
    assert candidates is Candidates
    with pytest.raises(TypeError):
        Candidates("text")  # type: ignore[arg-type]
