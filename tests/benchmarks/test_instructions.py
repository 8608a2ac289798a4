# SPDX-License-Identifier: Apache-2.0
"""The budgets of instructions: they can be exceeded, and their file can be read."""

import shutil
import sys

import pytest

from benchmarks import floor, instructions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

BUDGETS = {"add, emit": 50.0, "add, drain": 100.0}


def test_what_is_within_three_percent_is_not_over_budget() -> None:
    assert instructions.over(BUDGETS, {"add, emit": 51.4, "add, drain": 60.0}) == []


def test_what_is_over_budget_is_said() -> None:
    assert instructions.over(BUDGETS, {"add, emit": 51.6, "add, drain": 100.0}) == [
        "add, emit: 51.6 instructions, 50.0 budget"
    ]


def test_what_has_no_budget_is_said() -> None:
    assert instructions.over(BUDGETS, {"new": 1.0}) == ["new: 1.0 instructions, no budget"]


def test_budgets_are_read_as_they_were_written() -> None:
    found = tomllib.loads(instructions.written({"compiler": "gcc 12"}, BUDGETS))
    assert found == {"toolchain": {"compiler": "gcc 12"}, "instructions": BUDGETS}


@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
def test_one_more_instruction_shows() -> None:
    """A count is the same each time, and grows with the work."""
    floor.build()
    command = [str(floor.CORE), "observe", str(instructions.EVENTS)]
    counts = [
        instructions.count([f"measured_{side}"], command) for side in ("emit", "emit", "spill")
    ]
    assert counts[0] == counts[1]
    assert counts[2] - counts[0] >= instructions.EVENTS


@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
def test_what_is_never_called_is_not_counted_as_free() -> None:
    floor.build()
    with pytest.raises(instructions.CountFailed):
        instructions.count(["no_such_function"], [str(floor.CORE), "add", "1024"])


@pytest.mark.slow
def test_a_pattern_without_a_function_is_a_failure() -> None:
    (inc,) = instructions.named(["__pyx_pw_*CounterSeries*inc"])
    assert "CounterSeries" in inc
    with pytest.raises(instructions.CountFailed, match=r"no_such\*: no function"):
        instructions.named(["no_such*"])
