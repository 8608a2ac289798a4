# SPDX-License-Identifier: Apache-2.0
"""Value to bucket, against a linear search."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

finite = st.floats(allow_nan=False, allow_infinity=False)


def slow(bounds: list[float], value: float) -> int:
    for index, bound in enumerate(bounds):
        if value <= bound:
            return index
    return len(bounds)


@given(st.lists(finite, max_size=40, unique=True), st.floats())
def test_bucket_is_the_first_bound_not_below(core: Any, bounds: list[float], value: float) -> None:
    bounds.sort()
    assert core.lib.shm_bucket(bounds, len(bounds), value) == slow(bounds, value)


@given(st.lists(finite, min_size=1, max_size=40, unique=True), st.data())
def test_bounds_are_inclusive(core: Any, bounds: list[float], data: st.DataObject) -> None:
    bounds.sort()
    index = data.draw(st.integers(0, len(bounds) - 1))
    assert core.lib.shm_bucket(bounds, len(bounds), bounds[index]) == index
    above = math.nextafter(bounds[index], math.inf)
    assert core.lib.shm_bucket(bounds, len(bounds), above) == slow(bounds, above)
