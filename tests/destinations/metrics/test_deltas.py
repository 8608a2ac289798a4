# SPDX-License-Identifier: Apache-2.0
"""Growth between snapshots, against a slow twin: none is counted twice, and none is negative."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.destinations.metrics.deltas import Deltas
from shmetrics.destinations.metrics.snapshot import Snapshot
from shmetrics.tables.table import Native, Series, Table

from .scraped import histogram

BEGIN = 1000


class Seen(NamedTuple):
    """A series in a snapshot."""

    created: int
    value: float


# What of some series there is in each of some snapshots, at BEGIN + 1, + 2 and so on.
histories = st.lists(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.builds(Seen, st.integers(BEGIN - 2, BEGIN + 6), st.integers(0, 20).map(float)),
    ),
    max_size=6,
)


def snapshot(seconds: int, table: Table) -> Snapshot:
    return Snapshot(seconds * 10**9, 0.0, [table])


def twin(history: list[dict[str, Seen]]) -> list[dict[str, float]]:
    """Return the growth of each series in each snapshot, made slowly."""
    before: dict[str, Seen] = {}
    grown = []
    for at, now in enumerate(history, BEGIN):  # the time of the snapshot before
        found = {}
        for name, seen in now.items():
            # A start that is in this second counts if the last snapshot did not have it.
            since = before[name].created + 1 if name in before else at
            if seen.created >= since:
                found[name] = seen.value
            elif name in before and seen.value >= before[name].value:
                found[name] = seen.value - before[name].value
            else:
                found[name] = 0.0
        before = now
        grown.append(found)
    return grown


@given(histories, st.booleans())
def test_growth_is_that_of_the_twin(history: list[dict[str, Seen]], shuffles: bool) -> None:
    deltas = Deltas(BEGIN * 10**9)
    for at, (now, wanted) in enumerate(zip(history, twin(history), strict=True), BEGIN + 1):
        names = sorted(now, reverse=shuffles and at % 2 == 0)
        table = Table(
            "t",
            "counter",
            "",
            Series(("n",), [(name,) for name in names]),
            values=np.array([now[name].value for name in names], np.float64),
            created=np.array([now[name].created for name in names], np.float64),
        )
        (grown,) = deltas.take(snapshot(at, table))
        assert dict(zip(names, grown.values.tolist(), strict=True)) == wanted
        assert grown.created is not None
        assert (grown.created == at - 1).all()


def test_a_series_that_is_the_same_object_is_followed_by_its_rows() -> None:
    deltas = Deltas(BEGIN * 10**9)
    series = Series(("n",), [("a",)])
    for at, values in enumerate(([5.0], [7.0, 3.0], [7.0, 4.0]), BEGIN + 1):
        if len(values) > len(series.values):
            series.append(("b",))
        created = np.array([BEGIN, BEGIN + 2][: len(values)], np.float64)
        table = Table("t", "counter", "", series, values=np.array(values), created=created)
        (grown,) = deltas.take(snapshot(at, table))
        assert grown.values.tolist() == {1: [5], 2: [2, 3], 3: [0, 1]}[at - BEGIN]


def test_every_number_of_a_histogram_grows() -> None:
    deltas = Deltas(int(1.5e9) * 10**9)
    first, second = histogram(), histogram()
    second.buckets[1, 2] += 4
    second.sums[1] += 40.0
    assert isinstance(second.native, Native)
    second.native.counts[1, 11] += 4
    deltas.take(snapshot(1, first))
    (grown,) = deltas.take(snapshot(2, second))
    assert grown.buckets.tolist() == [[0, 0, 0], [0, 0, 4]]
    assert grown.sums.tolist() == [0.0, 40.0]
    assert grown.native is not None
    assert grown.native.counts.sum(axis=1).tolist() == [0, 4]


def test_what_is_added_up_is_the_total() -> None:
    """Check that rounding does not add up: a receiver's sum stays near the total."""
    deltas = Deltas(BEGIN * 10**9)
    total = received = 0.0
    series = Series((), [()])
    for at in range(1, 2000):
        total += 0.1 * at
        table = Table(
            "t", "counter", "", series, values=np.array([total]), created=np.array([BEGIN + 0.5])
        )
        (grown,) = deltas.take(snapshot(BEGIN + at, table))
        received += float(grown.values[0])
    assert abs(received - total) <= np.spacing(total)
