# SPDX-License-Identifier: Apache-2.0
"""Columns line up, and nothing in them reaches the terminal as a command."""

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.cli.columns import printable, table
from shmetrics.figures import NARROW_SPACE, seconds


def test_columns_line_up() -> None:
    rows = [("nova-compute", 7, "open"), ("n", 1234, "quarantined")]
    assert table(("process", ">events", "state"), rows) == (
        "process       events  state\nnova-compute       7  open\nn               1234  quarantined"
    )


def test_what_a_terminal_would_obey_is_not_passed_on() -> None:
    assert printable("a\x1b[2Jb\nc\u202ed") == "a?[2Jb?c?d"
    assert table(("name",), [("\x1b]0;x\x07",)]) == "name\n?]0;x?"


def test_a_number_and_its_unit_stay_as_they_are() -> None:
    """The narrow space between them was shown as a question mark."""
    assert table((">duration",), [(seconds(0.222),)]) == f"duration\n  222{NARROW_SPACE}ms"


def test_one_long_name_does_not_widen_the_table() -> None:
    rows = [("a" * 200, 1), ("nova-compute", 20)]
    shown = table(("process", ">events"), rows).split("\n")
    assert shown == ["process       events", "a" * 200 + "       1", "nova-compute      20"]


@given(st.lists(st.tuples(st.text(), st.integers()), min_size=1))
def test_one_line_per_row(rows: list[tuple[str, int]]) -> None:
    shown = table(("text", ">number"), rows)
    assert len(shown.split("\n")) == len(rows) + 1
    assert shown.replace("\n", "").replace(NARROW_SPACE, "").isprintable()
