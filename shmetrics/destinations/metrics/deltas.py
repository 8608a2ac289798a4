# SPDX-License-Identifier: Apache-2.0
"""The growth of counters and histograms since the last snapshot.

No growth is counted twice, and none is negative. A series that was not in the last snapshot counts
from zero if it began after that; otherwise nobody knows what of it was sent already, for example
before a restart, and it counts from here on. So does one that has fallen without beginning anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shmetrics.destinations.metrics.snapshot import Snapshot
from shmetrics.tables.table import Series, Table

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Sent:
    """The totals of a table that were sent so far, by row of its series.

    Attributes:
        series: its series.
        numbers: the totals of each of its arrays, by row.
        created: the Unix time since when each row counts.
    """

    series: Series
    numbers: list[Numbers]
    created: npt.NDArray[np.float64]


class Deltas:
    """The growth of all tables from one snapshot to the next."""

    def __init__(self, begin_ns: int) -> None:
        """Begin; series that begin later, in nanoseconds since 1970, count from zero."""
        self._sent: dict[str, _Sent] = {}
        self._last_ns = begin_ns

    def take(self, snapshot: Snapshot) -> list[Table]:
        """Return the tables of a snapshot, with the growth of whatever only grows.

        The start of each row is the time of the last snapshot.
        """
        before, self._sent = self._sent, {}
        since = self._last_ns / 1e9
        self._last_ns = snapshot.time_ns
        return [
            self._growth(table, before.get(table.name), since)
            if table.kind in ("counter", "histogram")
            else table
            for table in snapshot.tables
        ]

    def _growth(self, table: Table, sent: _Sent | None, since: float) -> Table:
        numbers = _numbers(table)
        n = len(table)
        created = np.full(n, np.nan) if table.created is None else table.created
        base = [np.zeros_like(each) for each in numbers]
        is_known = np.zeros(n, np.bool_)
        is_new = created >= since
        if sent is not None and _are_alike(sent.numbers, numbers):
            rows, old_rows = _common(table.series, n, sent)
            is_known[rows] = True
            is_new[rows] = created[rows] > sent.created[old_rows]
            for each, old in zip(base, sent.numbers, strict=True):
                each[rows] = old[old_rows]
        # From zero, from what was sent, or from here.
        for each in base:
            each[is_new] = 0
        has_fallen = np.zeros(n, np.bool_)
        for each, now in zip(base, numbers, strict=True):
            has_fallen |= (now < each).any(axis=tuple(range(1, now.ndim)))
        from_here = has_fallen | ~(is_known | is_new)
        for each, now in zip(base, numbers, strict=True):
            each[from_here] = now[from_here]
        growth = [now - each for now, each in zip(numbers, base, strict=True)]
        # With the rounding of whoever adds up what is sent.
        totals = [each + grown for each, grown in zip(base, growth, strict=True)]
        self._sent[table.name] = _Sent(table.series, totals, created.copy())
        return _with(table, growth, np.full(n, since))


def _common(
    series: Series, n: int, sent: _Sent
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows that were sent before, and what their rows were then."""
    n_sent = len(sent.created)
    if sent.series is series:
        rows = np.arange(min(n, n_sent))
        return rows, rows
    found = {values: row for row, values in enumerate(sent.series.values[:n_sent])}
    if sent.series.names != series.names:
        found = {}
    pairs = [
        (row, found[values]) for row, values in enumerate(series.values[:n]) if values in found
    ]
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _numbers(table: Table) -> list[Numbers]:
    if table.kind == "counter":
        return [table.values]
    if table.native is None:
        return [table.buckets, table.sums]
    return [table.buckets, table.sums, table.native.zeros, table.native.counts]


def _with(table: Table, numbers: list[Numbers], created: npt.NDArray[np.float64]) -> Table:
    if table.kind == "counter":
        return replace(table, values=numbers[0], created=created)
    native = table.native
    if native is not None:
        native = replace(native, zeros=numbers[2], counts=numbers[3])
    return replace(table, buckets=numbers[0], sums=numbers[1], native=native, created=created)


def _are_alike(one: list[Numbers], other: list[Numbers]) -> bool:
    return [(each.dtype, each.shape[1:]) for each in one] == [
        (each.dtype, each.shape[1:]) for each in other
    ]
