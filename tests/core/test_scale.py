# SPDX-License-Identifier: Apache-2.0
"""A value's place among many bounds, against a linear search; and sums of runs of counts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shmetrics.store import exponential
from tests.core.test_buckets import slow

MAX = 1.7976931348623157e308
finite = st.floats(allow_nan=False, allow_infinity=False)
near = st.sampled_from([-0.0, 0.0, 5e-324, 2.2e-308, 0.001, 1.0, 256.0, MAX])
lists = st.one_of(
    st.lists(finite, max_size=40),
    st.lists(st.floats(1.0, 1.001), max_size=200),  # all in one slot
    st.lists(near, max_size=8),
)
EXPONENTIAL = exponential.covering((0.0001, 100.0))
assert EXPONENTIAL is not None


class Scale:
    def __init__(self, core: Any, bounds: list[float], classic: list[float]) -> None:
        self.lib = core.lib
        self.scale = core.ffi.new("struct shm_scale *")
        self.kept = (core.ffi.new("double[]", [*bounds, math.inf]),
                     core.ffi.new("double[]", classic))  # fmt: skip
        core.lib.shm_scale_init(self.scale, self.kept[0], len(bounds), self.kept[1], len(classic))

    def place(self, value: float) -> int:
        return int(self.lib.shm_scale_place(self.scale, value))


def around(value: float) -> list[float]:
    """The value and its neighbours, as far as they are finite."""
    found = [math.nextafter(value, -math.inf), value, math.nextafter(value, math.inf)]
    return [one for one in found if math.isfinite(one)]


@given(lists, st.lists(finite, max_size=20), st.booleans())
@example([], [1.0], False)
@example([MAX], [-MAX], False)
@example([5e-324, MAX], [0.0], True)
def test_the_place_is_that_of_the_first_bound_not_below(
    core: Any, bounds: list[float], values: list[float], is_native: bool
) -> None:
    extra = EXPONENTIAL.bounds() if EXPONENTIAL and is_native else ()
    sorted_bounds = sorted({*bounds, *extra})
    scale = Scale(core, sorted_bounds, [])
    near_bounds = [one for bound in sorted_bounds for one in around(bound)]
    for value in (*values, *near_bounds, -0.0, 0.0, 5e-324, -MAX, MAX):
        assert scale.place(value) == slow(sorted_bounds, value), value


def test_every_exponential_bound_is_inclusive(core: Any) -> None:
    assert EXPONENTIAL is not None
    bounds = list(EXPONENTIAL.bounds())
    scale = Scale(core, bounds, [])
    for index, bound in enumerate(bounds):
        assert [scale.place(value) for value in around(bound)] == [index, index, index + 1]


@pytest.mark.parametrize("bounds", [[], [1.0], [0.5, 2.0, 9.0], [-1.0, 0.0]])
def test_nothing_is_coarse_where_all_bounds_are_classic(core: Any, bounds: list[float]) -> None:
    scale = Scale(core, bounds, bounds)
    assert scale.scale.coarse_at == 0
    assert core.lib.shm_scale_counts(scale.scale) == len(bounds) + 1
    finer = Scale(core, [*bounds, 99.0], bounds)
    assert finer.scale.coarse_at == len(bounds) + 2
    assert core.lib.shm_scale_counts(finer.scale) == 2 * len(bounds) + 3


@given(st.lists(st.integers(0, 2**64 - 1), max_size=60), st.data())
def test_runs_add_up(core: Any, cells: list[int], data: st.DataObject) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(cells)), max_size=12)))
    before = data.draw(st.lists(st.integers(0, 9), min_size=len(ends), max_size=len(ends)))
    sums = core.ffi.new("uint64_t[]", before)
    core.lib.shm_sum_runs(cells, ends, len(ends), sums)
    begins = [0, *ends]
    assert list(sums) == [
        (had + sum(cells[begin:end])) % 2**64
        for had, begin, end in zip(before, begins, ends, strict=False)
    ]
