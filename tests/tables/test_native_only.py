# SPDX-License-Identifier: Apache-2.0
"""Histograms without classic buckets: what is left counts the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.render import protobuf
from shmetrics.tables.native_only import native_only
from shmetrics.tables.table import EXEMPLAR, Native, Series, Table
from tests.render import client_model

BOUNDS = (0.5, 1.0, 2.0)

counts = st.lists(st.integers(0, 1000), min_size=4, max_size=4)
exemplars = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 3)), st.integers(1, 10**18), max_size=9
)


def table_of(rows: list[list[int]], stamps: dict[tuple[int, int], int], is_native: bool) -> Table:
    series = Series(("n",))
    for n in range(len(rows)):
        series.append((str(n),))
    places = sorted(place for place in stamps if place[0] < len(rows))
    given = np.zeros(len(places), EXEMPLAR)
    for at, (row, bucket) in enumerate(places):
        given[at]["row"], given[at]["bucket"] = row, bucket
        given[at]["stamp_ns"] = stamps[row, bucket]
    buckets = np.array(rows, np.uint64).reshape(len(rows), 4)
    native = Native(0, 0.25, -1, np.zeros(len(rows), np.uint64), buckets) if is_native else None
    sums = np.ones(len(rows))
    return Table(
        *("h", "histogram", "", series),
        bounds=BOUNDS,
        buckets=buckets,
        sums=sums,
        native=native,
        exemplars=given,
    )


@given(rows=st.lists(counts, max_size=5), stamps=exemplars)
def test_counts_stay_and_the_newest_exemplar_of_each_row(
    rows: list[list[int]], stamps: dict[tuple[int, int], int]
) -> None:
    table = table_of(rows, stamps, True)
    found = native_only(table)
    before = client_model.parse(protobuf.render([table], {}))
    after = client_model.parse(protobuf.render([found], {}))
    assert len(before) == len(after) == bool(rows)
    for one, other in zip(
        *(
            [metric.histogram for family in all_ for metric in family.metric]
            for all_ in (before, after)
        ),
        strict=True,
    ):
        assert one.sample_count == other.sample_count
        assert list(one.positive_delta) == list(other.positive_delta)
        assert [bucket.cumulative_count for bucket in other.bucket] == [one.sample_count]
    newest: dict[int, int] = {}
    for (row, _), stamp_ns in stamps.items():
        if row < len(rows):
            newest[row] = max(newest.get(row, 0), stamp_ns)
    kept = found.exemplars
    assert dict(zip(kept["row"].tolist(), kept["stamp_ns"].tolist(), strict=True)) == newest
    assert kept["row"].tolist() == sorted(newest)
    assert not kept["bucket"].any()


def test_a_family_without_native_buckets_stays() -> None:
    table = table_of([[1, 2, 3, 4]], {}, False)
    assert native_only(table) is table
