# SPDX-License-Identifier: Apache-2.0
"""Runs of cells that are taken and given back, against a set of cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.store.extents import Extents

steps = st.lists(
    st.tuples(
        st.sampled_from(["find", "place", "give back"]), st.integers(0, 40), st.integers(1, 9)
    )
)


@given(steps)
def test_it_is_a_set_of_cells(steps: list[tuple[str, int, int]]) -> None:
    extents = Extents()
    runs: list[tuple[int, int]] = []
    for what, where, n in steps:
        used = {cell for first, size in runs for cell in range(first, first + size)}
        end = max(used, default=-1) + 1
        if what == "find":
            first = extents.find(n)
            fitting = (at for at in range(end + 1) if used.isdisjoint(range(at, at + n)))
            assert first == next(at for at in fitting if at + n <= end or at == end)
            extents.take(first, n)
            runs.append((first, n))
        elif what == "place":
            if used.isdisjoint(range(where, where + n)):
                extents.take(where, n)
                runs.append((where, n))
            else:
                with pytest.raises(ValueError, match="in use"):
                    extents.take(where, n)
        elif runs:
            extents.give_back(*runs.pop(where % len(runs)))
        assert extents.used == sum(size for _, size in runs)
        assert extents.end == max((first + size for first, size in runs), default=0)
