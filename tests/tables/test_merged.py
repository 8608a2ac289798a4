# SPDX-License-Identifier: Apache-2.0
"""Several shapes as one table: where counts and exemplars go, and that it follows what comes."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from shmetrics.store.series import EXEMPLAR
from shmetrics.tables.merged import MergedSeries, Merging, project
from shmetrics.tables.table import Series, Table

bounds = st.lists(st.integers(-4, 4).map(float), unique=True, max_size=6).map(sorted)


@given(bounds, bounds, st.lists(st.integers(-5, 5).map(float), max_size=20))
@example([1.0], [], [0.5, 2.0])
@example([], [1.0], [0.5])
def test_a_count_goes_to_the_first_bound_that_is_not_lower(
    old: list[float], new: list[float], values: list[float]
) -> None:
    """So no count is lost, and none is in a bucket below its value."""
    counts = np.zeros((1, len(old) + 1), np.uint64)
    expected = np.zeros((1, len(new) + 1), np.uint64)
    for value in values:
        bucket = bisect_left(old, value)
        counts[0, bucket] += np.uint64(1)
        bound = (*old, float("inf"))[bucket]
        expected[0, bisect_left(new, bound)] += np.uint64(1)
    moved = project(counts, old, new)
    assert moved.tolist() == expected.tolist()
    assert moved.sum() == len(values)
    for bound, cumulated in zip(new, moved[0].cumsum().tolist(), strict=False):
        assert cumulated <= sum(value <= bound for value in values)


def counter(series: Series, *values: float, exemplars: list[tuple[int, int, int]] = []) -> Table:  # noqa: B006
    """exemplars: row, bucket, time."""
    found = np.zeros(len(exemplars), EXEMPLAR)
    for exemplar, (row, bucket, stamp_ns) in zip(found, exemplars, strict=True):
        exemplar["row"], exemplar["bucket"], exemplar["stamp_ns"] = row, bucket, stamp_ns
    created = np.arange(len(values), dtype=np.float64)
    return Table(
        "jobs",
        "counter",
        "",
        series,
        values=np.array(values, np.float64),
        created=created,
        exemplars=found,
    )


def rows(table: Table) -> dict[tuple[str, ...], float]:
    return dict(zip(table.series.values, table.values.tolist(), strict=True))


def test_what_comes_later_is_taken_in_and_what_was_there_keeps_its_row() -> None:
    """The text of its labels is kept with the series."""
    merging = Merging()
    new, old = Series(("q", "t"), [("a", "x")]), Series(("q",), [("a",)])
    merging.begin()
    first = merging.table([counter(new, 1), counter(old, 2)])
    assert rows(first) == {("a", "x"): 1, ("a", ""): 2}
    old.append(("b",))
    new.append(("b", ""))
    merging.begin()
    later = merging.table([counter(new, 1, 10), counter(old, 2, 20)])
    assert later.series is first.series
    assert rows(later) == {("a", "x"): 1, ("a", ""): 2, ("b", ""): 30}
    merging.begin()
    again = merging.table([counter(new, 1, 10), counter(Series(("q",), [("b",)]), 20)])
    assert again.series is not first.series
    assert rows(again) == {("a", "x"): 1, ("b", ""): 30}


def test_one_shape_is_its_own_table() -> None:
    table = counter(Series(("q",), [("a",)]), 1)
    assert Merging().table([table]) is table


def test_a_series_counts_since_the_first_of_its_shapes() -> None:
    new, old = Series(("q",), [("a",), ("b",)]), Series(("q",), [("b",)])
    merged = MergedSeries([new, old]).table([counter(new, 1, 2), counter(old, 3)])
    assert merged.created is not None
    assert merged.created.tolist() == [0, 0]


def test_of_two_exemplars_of_a_bucket_the_newest_is_shown() -> None:
    new, old = Series(("q",), [("a",), ("b",)]), Series(("q", "t"), [("b", ""), ("a", "")])
    merged = MergedSeries([new, old]).table(
        [
            counter(new, 1, 2, exemplars=[(0, 0, 5), (1, 0, 5)]),
            counter(old, 3, 4, exemplars=[(0, 0, 9), (1, 0, 1)]),
        ]
    )
    assert merged.exemplars[["row", "bucket", "stamp_ns"]].tolist() == [(0, 0, 5), (1, 0, 9)]
