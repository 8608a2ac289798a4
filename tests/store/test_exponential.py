# SPDX-License-Identifier: Apache-2.0
"""The bounds of native histograms, against exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shmetrics
from shmetrics.store.exponential import MAX_BOUNDS, ExponentialBounds, covering

bounds = st.lists(
    st.floats(0, allow_nan=False, allow_infinity=False), min_size=1, max_size=20, unique=True
).map(lambda found: tuple(sorted(found)))


def power(schema: int, index: int) -> float:
    """Return 2**(index * 2**-schema), as near as a double can be to it."""
    if schema <= 0:
        return float(Fraction(2) ** (index << -schema))
    doubling, part = divmod(index, 1 << schema)
    return math.ldexp(2.0 ** (part / (1 << schema)), doubling)


@pytest.mark.parametrize("schema", range(-4, 4))
def test_each_bound_is_that_power_of_two(schema: int) -> None:
    first = -1000 >> (3 - max(schema, 0)) if schema > 0 else -1000 >> -schema
    found = ExponentialBounds(schema, first, 2 * -first).bounds()
    for number, bound in enumerate(found):
        wanted = power(schema, first + number)
        assert abs(bound - wanted) <= math.ulp(wanted)


def test_bounds_are_the_same_to_the_bit_in_every_schema() -> None:
    finest = ExponentialBounds(3, -80, 161).bounds()
    for schema in (2, 1, 0):
        step = 1 << (3 - schema)
        coarser = ExponentialBounds(schema, -80 // step, 160 // step + 1).bounds()
        assert coarser == finest[::step]


def test_the_bounds_within_a_doubling_are_those_of_prometheus() -> None:
    assert ExponentialBounds(3, -8, 9).bounds() == (
        *(0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048, 0.7071067811865475),
        *(0.7711054127039704, 0.8408964152537144, 0.9170040432046711, 1.0),
    )


def test_the_default_bounds() -> None:
    found = covering(shmetrics.DEFAULT_BUCKETS)
    assert found == ExponentialBounds(3, -18 * 8, 26 * 8 + 1)
    assert (found.bound(0), found.bound(found.n - 1)) == (2.0**-18, 256.0)


@given(bounds)
def test_a_range_is_covered_as_finely_as_may_be(bounds: tuple[float, ...]) -> None:
    found = covering(bounds)
    if not any(bounds):
        assert found is None
        return
    assert found is not None
    made = found.bounds()
    assert 2 <= found.n <= MAX_BOUNDS
    assert sorted(set(made)) == list(made)
    smallest = next(bound for bound in bounds if bound > 0)
    if smallest > 2.0**-1000:
        assert smallest / 64 < made[0] <= smallest / 16 or found.schema < 0
    if bounds[-1] < 2.0**1000:
        assert made[-1] >= 2 * bounds[-1]
    if found.schema < 3:
        assert (found.n - 1) * 2 >= MAX_BOUNDS - 4


@pytest.mark.parametrize("bounds", [(), (0.0,), (-1.0,), (-1.0, 0.0, 1.0)])
def test_no_range_no_exponential_bounds(bounds: tuple[float, ...]) -> None:
    assert covering(bounds) is None


def test_a_wide_range_has_a_coarser_schema() -> None:
    assert covering((1.0, 1e3)) == ExponentialBounds(3, -4 * 8, 15 * 8 + 1)
    found = covering((1.0, 1e12))
    assert found is not None
    assert found.schema == 2
    found = covering((1e-300, 1e300))
    assert found is not None
    assert found.schema == -3
