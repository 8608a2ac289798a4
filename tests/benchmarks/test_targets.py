# SPDX-License-Identifier: Apache-2.0
"""The verdicts on targets: yes, no, or nothing. There is a contender behind every name."""

import pytest

from benchmarks import report
from benchmarks.contender import Unit
from benchmarks.groups import GROUPS
from benchmarks.summary import Difference, Figures, Part, Row, Summary
from benchmarks.targets import TARGETS, Target, verdict


def figures(median: float) -> Figures:
    return Figures(median, median, median, median / 2 + 0.1, 30)


def summary(unit: Unit = "second", difference: Difference | None = None, **rows: float) -> Summary:
    made = tuple(
        Row(key, key, figures(value), difference if key == "ours" else None)
        for key, value in rows.items()
    )
    return Summary("", "", False, (Part("g", "", "", unit, "than", "floor", made),))


@pytest.mark.parametrize(
    ("target", "found", "met", "median"),
    [
        (Target("", "g/ours", "g/than", least=60), summary(ours=1, than=60), True, "60.00 times"),
        (Target("", "g/ours", "g/than", least=60), summary(ours=1, than=59), False, "59.00 times"),
        (Target("", "g/ours", "g/than", most=1.4), summary(ours=1.4, than=1), True, "1.40 times"),
        (Target("", "g/ours", "g/than", most=1.4), summary(ours=1.5, than=1), False, "1.50 times"),
        (Target("", "g/ours", most=2), summary(ours=2), True, "2.00 s"),
        (
            Target("", "g/ours", most=1024, unit="byte"),
            summary("byte", ours=1025),
            False,
            "1.00 KiB",
        ),
        (
            Target("", "g/ours", most=0.005, unit="share"),
            summary("share", ours=0.004),
            True,
            "0.40 %",
        ),
        (
            Target("", "g/ours", "g/than", least=250, above="g/floor"),
            summary(ours=3, than=502, floor=1),
            True,
            "250 times",
        ),
        (
            Target("", "g/ours", "g/than", least=250, above="g/floor"),
            summary(ours=3, than=499, floor=1),
            False,
            "249 times",
        ),
        (Target("", "g/ours", "g/than", least=60), summary(ours=1), None, ""),
        (Target("", "g/ours", "h/than", least=60), summary(ours=1, than=2), None, ""),
    ],
)
def test_a_verdict(target: Target, found: Summary, met: bool | None, median: str) -> None:
    said = verdict(target, found)
    assert (said.met, said.median) == (met, median)


@pytest.mark.parametrize(
    ("low", "median", "high", "met"),
    [
        (-0.001, 0.001, 0.002, True),
        (0.0001, 0.001, 0.002, False),  # surely more
        (-0.002, -0.001, -0.0001, False),  # surely less: then something else differs, too
        (-0.01, 0.003, 0.01, False),  # nobody knows
    ],
)
def test_the_verdict_of_a_difference(low: float, median: float, high: float, met: bool) -> None:
    target = Target("", "g/ours", "g/than", most=0.002, sure=True)
    found = summary(difference=Difference(median, low, high, 1 + median), ours=1 + median, than=1)
    assert verdict(target, found).met is met


def test_a_ratio_in_pairs_is_that_of_most_pairs() -> None:
    """A machine that changes its pace meanwhile makes the ratio of the medians anything."""
    target = Target("", "g/ours", "g/than", most=1.25, paired=True)
    found = summary(difference=Difference(20.0, 19.0, 21.0, 1.2), ours=140, than=100)
    said = verdict(target, found)
    assert (said.met, said.median, said.best) == (True, "1.20 times", "1.40 times")


def test_the_table_says_what_was_not_measured() -> None:
    lines = list(report.verdicts([verdict(Target("it", "g/ours", "g/gone", least=2), summary())]))
    assert lines[-1] == "| it | 2 times less |  |  | not measured |"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.what)
def test_a_target_names_contenders_that_there_are(target: Target) -> None:
    for name in filter(None, (target.ours, target.than, target.above)):
        group, _, key = name.partition("/")
        assert key in {contender.key for contender in GROUPS[group].contenders}, name
        assert GROUPS[group].unit == target.unit or target.than, name
