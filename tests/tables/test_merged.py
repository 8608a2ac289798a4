# SPDX-License-Identifier: Apache-2.0
"""Several shapes as one table: where counts and exemplars go, and that it follows what comes."""

from __future__ import annotations

import numpy as np

from shmetrics.store.series import EXEMPLAR
from shmetrics.tables.merged import MergedSeries, Merging
from shmetrics.tables.table import Series, Table


def counter(series: Series, *values: float, exemplars: list[tuple[int, int, int]] = []) -> Table:  # noqa: B006
    """Return a table of a counter. exemplars: row, bucket, time."""
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
    """Check the rows, with which the text of the labels is kept."""
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
