# SPDX-License-Identifier: Apache-2.0
"""Calls in flight: how many are open now, how old the oldest is, how many died with their process.

Told apart by side, topic and method: few enough to watch, whatever the labels of the calls are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from shmetrics import _ring
from shmetrics.collector.families import Families
from shmetrics.collector.family import CallFamily, Family
from shmetrics.collector.lane import Lane, OpenCall
from shmetrics.collector.log import StoreFull
from shmetrics.dictionary import Definition
from shmetrics.exposition.table import Series, Table

LABELS = ("side", "topic", "method")
ABANDONED = Definition(
    _ring.TYPE_COUNTER,
    "shmetrics_rpc_abandoned",
    "Calls whose process died inside them",
    "",
    "",
    LABELS,
    (),
)


class Kind(NamedTuple):
    """What tells calls in flight apart."""

    side: str
    topic: str
    method: str


def side_of(family: CallFamily) -> str:
    """client or server: the last word of the family's name."""
    return family.definition.name.rpartition("_")[2]


def label_of(family: CallFamily, values: tuple[str, ...], name: str) -> str:
    names = family.definition.label_names
    return values[names.index(name)] if name in names else ""


class InFlight:
    """The families of open calls."""

    def __init__(self, families: Families) -> None:
        """Raises StoreFull if the store cannot hold the one counter."""
        abandoned = families.define_own(ABANDONED)
        self._abandoned: Family = abandoned
        self._kinds: dict[CallFamily, dict[tuple[str, ...], Kind]] = {}

    def kind(self, family: CallFamily, values: tuple[str, ...]) -> Kind:
        known = self._kinds.setdefault(family, {})
        found = known.get(values)
        if found is None:
            if len(known) > 2 * len(family) + 1000:
                known.clear()  # most of them are gone
            topic, method = (label_of(family, values, name) for name in ("topic", "method"))
            found = known[values] = Kind(side_of(family), topic, method)
        return found

    def abandon(self, lane: Lane) -> None:
        """Counts the open calls of a dead process: they will never end."""
        for call in lane.calls():
            try:
                row = self._abandoned.counted_row(tuple(self.kind(call.family, call.values)))
            except StoreFull:
                continue  # the store is at its limit, which it shows itself
            lane.abandon(call, self._abandoned.cell(row))

    def tables(
        self, families: Iterable[Family], calls: Iterable[OpenCall], now_ns: int
    ) -> list[Table]:
        """In flight and oldest, for every kind of call that was ever seen."""
        count: dict[Kind, int] = {}
        oldest_ns: dict[Kind, int] = {}
        for family in families:
            if isinstance(family, CallFamily):
                for values in family.series.values:
                    count.setdefault(self.kind(family, values), 0)
        for call in calls:
            kind = self.kind(call.family, call.values)
            count[kind] = count.get(kind, 0) + 1
            oldest_ns[kind] = min(oldest_ns.get(kind, call.start_ns), call.start_ns)
        if not count:
            return []
        series = Series(LABELS)
        for kind in count:
            series.append(tuple(kind))
        ages_ns = [max(now_ns - oldest_ns.get(kind, now_ns), 0) for kind in count]
        return [
            Table(
                name="shmetrics_rpc_in_flight",
                kind="gauge",
                help="Calls that have begun and not ended",
                series=series,
                values=np.array(list(count.values()), np.float64),
            ),
            Table(
                name="shmetrics_rpc_oldest_in_flight_seconds",
                kind="gauge",
                help="Age of the oldest call that has not ended",
                unit="seconds",
                series=series,
                values=np.array(ages_ns, np.float64) / 1e9,
            ),
        ]
