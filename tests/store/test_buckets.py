# SPDX-License-Identifier: Apache-2.0
"""Rows of fine counts as classic and as native buckets, against loops over the values."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shmetrics
from shmetrics.store.buckets import Buckets, CountArray
from shmetrics.store.exponential import ExponentialBounds, covering

BOUNDS = [
    shmetrics.DEFAULT_BUCKETS,
    (1.0,),
    (0.0, 1.0, 2.0),
    (1.0, 1.01, 1.02, 64.0),  # several within one exponential bucket
    (0.25, 0.5, 1.0, 2.0),  # all of them exponential bounds themselves
    (1.0, 1e12),
    tuple(1.0 + n / 1000 for n in range(512)),
]
bounds_of_families = st.one_of(
    st.sampled_from(BOUNDS),
    st.lists(
        st.floats(0, allow_nan=False, allow_infinity=False), min_size=1, max_size=9, unique=True
    ).map(lambda found: tuple(sorted(found))),
)
values_near = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 300), st.integers(-1, 20)
)


def row_of(buckets: Buckets, bounds: tuple[float, ...], seen: list[float],
           spilled: list[float]) -> CountArray:  # fmt: skip
    """Return a row that has counted these values, as the drain does it."""
    row = np.zeros((1, buckets.n_counts), np.uint64)
    for value in seen:
        row[0, buckets.place(value)] += np.uint64(1)
    for value in spilled:
        row[0, buckets.scale.coarse_at + bisect_left(bounds, value)] += np.uint64(1)
    return row


def classic(bounds: tuple[float, ...], values: list[float]) -> list[int]:
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return counts


@given(bounds_of_families, st.lists(values_near, max_size=30), st.lists(values_near, max_size=30))
def test_classic_buckets_are_exact(
    bounds: tuple[float, ...], seen: list[float], spilled: list[float]
) -> None:
    for exponential in (None, covering(bounds)):
        buckets = Buckets(bounds, exponential)
        found = buckets.classic(row_of(buckets, bounds, seen, spilled))
        assert found.tolist() == [classic(bounds, seen + spilled)]


@given(bounds_of_families, st.lists(values_near, max_size=30))
def test_native_buckets_are_exact_for_what_came_through_a_ring(
    bounds: tuple[float, ...], seen: list[float]
) -> None:
    exponential = covering(bounds)
    if exponential is not None:
        buckets = Buckets(bounds, exponential)
        found = buckets.exponential(row_of(buckets, bounds, seen, []))
        assert found.tolist() == [classic(exponential.bounds(), seen)]


def nearest(bounds: tuple[float, ...], native: list[float], value: float) -> tuple[float, float]:
    """Return the bounds between which a value may be shown whose classic bucket alone is known."""
    bucket = bisect_left(bounds, value)
    low, high = (-math.inf, *bounds)[bucket], (*bounds, math.inf)[bucket]
    column = bisect_left(native, high)
    around_high = (-math.inf, *native)[column]
    return min(low, around_high) if low > 0 else around_high, (*native, math.inf)[column]


@given(bounds_of_families, st.lists(values_near, min_size=1, max_size=60))
def test_what_was_spilled_stays_in_its_classic_bucket_and_only_grows(
    bounds: tuple[float, ...], spilled: list[float]
) -> None:
    exponential = covering(bounds)
    if exponential is None:
        return
    buckets = Buckets(bounds, exponential)
    native = list(exponential.bounds())
    before = np.zeros(exponential.n + 1, np.int64)
    for n, value in enumerate(spilled, 1):
        row = row_of(buckets, bounds, [], spilled[:n])
        after = buckets.exponential(row)[0].astype(np.int64)
        assert after.sum() == n
        [column] = np.flatnonzero(after - before)
        assert (after - before)[column] == 1
        low, high = nearest(bounds, native, value)
        assert low <= (-math.inf, *native)[column] < (*native, math.inf)[column] <= high
        before = after


def test_what_was_spilled_is_laid_evenly() -> None:
    bounds = (1.0, 4.0)
    buckets = Buckets(bounds, ExponentialBounds(3, -32, 65))
    row = row_of(buckets, bounds, [], [2.0] * 40)
    [found] = buckets.exponential(row)
    laid = {int(column): int(found[column]) for column in np.flatnonzero(found)}
    assert laid == {column: 3 if column < 41 else 2 for column in range(33, 49)}


def test_rows_beside_each_other_do_not_mix() -> None:
    bounds = shmetrics.DEFAULT_BUCKETS
    buckets = Buckets(bounds, covering(bounds))
    values = [[0.001 * n] * n for n in range(20)]
    rows = np.concatenate([row_of(buckets, bounds, seen[::2], seen[1::2]) for seen in values])
    assert buckets.classic(rows).tolist() == [classic(bounds, seen) for seen in values]
    assert buckets.exponential(rows).sum(axis=1).tolist() == list(range(20))


coarse_or_not = st.booleans()


@given(
    bounds_of_families, bounds_of_families, coarse_or_not, coarse_or_not,
    st.lists(values_near, max_size=20), st.lists(values_near, max_size=20),
)  # fmt: skip
def test_counts_of_other_bounds_are_never_below_their_values(
    old: tuple[float, ...], new: tuple[float, ...], is_fine: bool, onto_fine: bool,
    seen: list[float], spilled: list[float],
) -> None:  # fmt: skip
    """Check that none is lost, and that up to a bound that both have the same values are
    counted."""
    buckets = Buckets(old, covering(old) if is_fine else None)
    onto = Buckets(new, covering(new) if onto_fine else None)
    row = row_of(buckets, old, seen, spilled)
    moved = buckets.projected(row, onto)
    assert moved.sum() == len(seen + spilled)
    for bound, count in zip(new, onto.classic(moved)[0].cumsum().tolist(), strict=False):
        least = sum(value <= bound for value in seen + spilled)
        assert count <= least
        if bound in old:
            assert count == least
    if is_fine and onto_fine and covering(old) and covering(new):
        assert onto.exponential(moved).sum() == len(seen + spilled)
    again = buckets.projected(np.vstack([row, row]), onto)
    assert (again == moved).all()
    assert buckets.projected(row, buckets) is row


@given(bounds_of_families, bounds_of_families, st.lists(values_near, max_size=30))
def test_native_bounds_that_both_have_keep_their_counts(
    old: tuple[float, ...], new: tuple[float, ...], seen: list[float]
) -> None:
    """Check that no native bucket falls when a new release has other bounds between."""
    first, then = covering(old), covering(new)
    if first is None or then is None:
        return
    buckets, onto = Buckets(old, first), Buckets(new, then)
    row = row_of(buckets, old, seen, [])
    before = buckets.exponential(row)[0].cumsum().tolist()
    after = onto.exponential(buckets.projected(row, onto))[0].cumsum().tolist()
    counts = dict(zip(first.bounds(), before, strict=False))
    for bound, count in zip(then.bounds(), after, strict=False):
        assert counts.get(bound, count) == count


def test_no_rows_no_numbers() -> None:
    buckets = Buckets((1.0, 2.0), covering((1.0, 2.0)))
    none = np.empty((0, buckets.n_counts), np.uint64)
    assert buckets.classic(none).shape == (0, 3)
    assert buckets.exponential(none).shape[0] == 0


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (math.nan,), (1.0, math.inf)])
def test_bounds_that_are_none_are_refused(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="bounds"):
        Buckets(bounds, None)
