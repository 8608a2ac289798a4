# SPDX-License-Identifier: Apache-2.0
"""Observed totals of several processes, added up."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.store.family import Family
from shmetrics.store.observed import ObservedTotal, sum_up


class Shape:
    """A shape, of which only the label names count here."""

    def __init__(self, *label_names: str) -> None:
        self.definition = SimpleNamespace(label_names=label_names)


def family(*label_names: str) -> Family:
    return cast(Family, Shape(*label_names))


OLD, NEW = family("unit"), family("kind", "unit")


def total(shape: Family, values: tuple[str, ...], value: float, created: float) -> ObservedTotal:
    return ObservedTotal(shape, values, value, created)


def test_a_sum_began_with_the_latest_generation() -> None:
    totals = [total(OLD, ("a",), 5.0, 100.0), total(OLD, ("a",), 2.0, 300.0)]
    totals += [total(OLD, ("a",), 1.0, 200.0), total(OLD, ("b",), 9.0, 50.0)]
    assert sum_up([OLD], {OLD: totals}) == (
        ("unit",),
        {("a",): (8.0, 300.0), ("b",): (9.0, 50.0)},
    )


def test_a_sum_with_an_unknown_start_has_none() -> None:
    for starts in ((100.0, math.nan), (math.nan, 100.0), (100.0, math.nan, 200.0)):
        totals = [total(OLD, ("a",), 1.0, start) for start in starts]
        _, sums = sum_up([OLD], {OLD: totals})
        assert sums["a",][0] == len(starts)
        assert math.isnan(sums["a",][1])


def test_a_sum_stays_finite() -> None:
    totals = [total(OLD, ("a",), sys.float_info.max, 1.0)] * 2
    assert sum_up([OLD], {OLD: totals})[1] == {("a",): (sys.float_info.max, 1.0)}


def test_two_shapes_are_one_counter() -> None:
    """Check that it has the labels of both; a label that a shape does not have is empty, which
    is none."""
    names, sums = sum_up(
        [NEW, OLD],
        {
            OLD: [total(OLD, ("a",), 1.0, 10.0), total(OLD, ("b",), 2.0, 10.0)],
            NEW: [total(NEW, ("", "a"), 4.0, 20.0), total(NEW, ("cpu", "a"), 8.0, 30.0)],
        },
    )
    assert names == ("kind", "unit")
    assert sums == {("", "a"): (5.0, 20.0), ("cpu", "a"): (8.0, 30.0), ("", "b"): (2.0, 10.0)}


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 99), st.sampled_from([1.0, 2.0, math.nan]))
    )
)
def test_sums_are_those_of_a_slow_twin(processes: list[tuple[str, int, float]]) -> None:
    _, sums = sum_up([OLD], {OLD: [total(OLD, (unit,), n, at) for unit, n, at in processes]})
    assert set(sums) == {(unit,) for unit, _, _ in processes}
    for (unit,), (found, created) in sums.items():
        starts = [at for of, _, at in processes if of == unit]
        assert found == sum(n for of, n, _ in processes if of == unit)
        unknown = any(map(math.isnan, starts))
        assert math.isnan(created) if unknown else created == max(starts)
