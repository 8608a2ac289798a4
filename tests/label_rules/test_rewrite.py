# SPDX-License-Identifier: Apache-2.0
"""Patterns: as Python's own where both have them, and in linear time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.label_rules.rewrite import MAX_PATTERN_CHARS, Pattern, Rewrite

ATOMS = st.sampled_from(["a", "b", "-", r"\d", "[ab]", ".", "(a|b)", "(b-)", "(.)", "é"])
parts = st.builds(str.__add__, ATOMS, st.sampled_from(["", "*", "+", "?", "{1,2}"]))
matches = st.lists(parts, min_size=1, max_size=5).map("".join)
values = st.text("ab-1é", max_size=8) | st.text()


@given(matches, values)
def test_a_pattern_is_what_python_makes_of_it(match: str, value: str) -> None:
    """`.` and the end of a line are what they are to Python with DOTALL but for line ends."""
    pattern = Pattern(match, "<$$|${0}>")
    text = value.encode("utf-8", "replace").decode()
    found = re.fullmatch(match, text, re.ASCII)
    assert pattern.rewritten(value) == (None if found is None else f"<$|{found[0]}>")


@given(values)
def test_groups_are_put_where_they_are_named(value: str) -> None:
    pattern = Pattern(r"(?s)(?P<first>a*)(b)?(.*)", "${3}.$2.${first}$1$$1")
    found = re.fullmatch(r"(?s)(a*)(b)?(.*)", value.encode("utf-8", "replace").decode())
    assert found is not None
    first, second, third = (found[n] or "" for n in (1, 2, 3))
    assert pattern.rewritten(value) == f"{third}.{second}.{first}{first}$1"


def test_the_first_pattern_that_matches_decides() -> None:
    rewrite = Rewrite([Pattern("a.*", "1"), Pattern("ab", "2"), Pattern("", "none")])
    assert [rewrite(value) for value in ("ab", "a", "b", "", "xab")] == [
        "1",
        "1",
        "b",
        "none",
        "xab",
    ]


def test_half_a_character_in_a_group_is_replaced() -> None:
    assert Pattern(r"(\C)\C", "$1").rewritten("é") == "�"


@pytest.mark.parametrize(
    ("match", "replace", "why"),
    [
        ("(", "", r"match: '\(' is not a pattern that RE2 takes: missing \): \("),
        (r"(a)\1", "", r"match: .* invalid escape sequence: \\1"),
        ("(?<=a)b", "", "match: .* invalid"),
        ("((a{100}){100}){100}", "", "match: .* invalid repetition size"),
        (r"\pL{100}", "", "match: .* pattern too large"),
        ("a" * (MAX_PATTERN_CHARS + 1), "", "match: 1001 characters are more than 1000"),
        ("\ud800", "", "match: .* is not Unicode"),
        ("a", "$1", "replace: there is no group '1'"),
        ("(a)", "$1b", "replace: there is no group '1b'"),
        ("(a)", "${b}", "replace: there is no group 'b'"),
        ("(a)", "${1", r"replace: write \$\$ for a dollar"),
        ("(a)", "100 $", r"replace: write \$\$ for a dollar"),
        ("(a)", "$2", "replace: there is no group '2'"),
        ("(a)", "${99999}", "replace: there is no group '99999'"),
        ("(a)", "$²", "replace: there is no group '²'"),
    ],
)
def test_what_is_no_pattern_is_refused_in_one_line(match: str, replace: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}") as caught:
        Pattern(match, replace)
    assert "\n" not in str(caught.value)


def test_no_value_makes_a_pattern_slow() -> None:
    """Check patterns that would never end with backtracking."""
    pattern = Pattern(r"(\w*)*(\w*)*(\w*)*-", "")
    assert pattern.rewritten("a" * 100_000) is None
