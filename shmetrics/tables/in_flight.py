# SPDX-License-Identifier: Apache-2.0
"""Calls in flight: their number, the age of the oldest, and the number of abandoned ones.

They are told apart by side, topic and method. These are few enough to watch, whatever labels the
calls have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.lanes.lane import Lane, OpenCall
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.histograms import CallFamily
from shmetrics.store.log import StoreFull
from shmetrics.store.visible_rows import VisibleRows
from shmetrics.tables.table import Series, Table

LABELS = ("side", "topic", "method")
ABANDONED = Definition(
    layout.TYPE_COUNTER,
    "shmetrics_rpc_abandoned",
    "Calls whose process died inside them",
    "",
    "",
    LABELS,
    (),
)


class CallKind(NamedTuple):
    """The labels that tell calls in flight apart."""

    side: str
    topic: str
    method: str


class Description(NamedTuple):
    """A call as its label values tell: its kind, and how long its caller waits; 0: not known."""

    kind: CallKind
    timeout_ms: int


def side_label(family: CallFamily) -> str:
    """Return `client` or `server`: the last word of the family's name."""
    return family.definition.name.rpartition("_")[2]


def label_of(family: CallFamily, values: tuple[str, ...], name: str) -> str:
    """Return the value of a label of a call; "" if its family has no such label."""
    names = family.definition.label_names
    return values[names.index(name)] if name in names else ""


def timeout_ms(text: str) -> int:
    """Return the value of a label `timeout`, seconds, in milliseconds; 0 for what is none."""
    try:
        seconds = float(text)
    except ValueError:
        return 0
    return int(seconds * 1000) if 0 < seconds < math.inf else 0


class CallKinds:
    """Kinds of calls, in the order in which they came, as the series of a table."""

    def __init__(self) -> None:
        """Begin without kinds."""
        self.series = Series(LABELS)
        self._rows: dict[CallKind, int] = {}

    def row(self, kind: CallKind) -> int:
        """Return the row of a kind, which is added if it is new."""
        row = self._rows.setdefault(kind, len(self._rows))
        if row == len(self.series.values):
            self.series.append(tuple(kind))
        return row


class InFlight:
    """The source of the tables of open calls, which the collector counts itself."""

    def __init__(
        self,
        families: Families,
        calls: Callable[[], Iterable[OpenCall]],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Make the counter of abandoned calls.

        Args:
            families: all families of the node.
            calls: returns the calls that are open now.
            monotonic_ns: the monotonic clock.

        Raises:
            StoreFull: the store has no room for the counter.
        """
        self._families = families
        self._calls = calls
        self._monotonic_ns = monotonic_ns
        abandoned = families.define_own(ABANDONED)
        self._abandoned: Family = abandoned
        self._described: dict[CallFamily, dict[tuple[str, ...], Description]] = {}
        self._seen = CallKinds()
        self._visible: dict[CallFamily, VisibleRows] = {}
        self._looked_at: dict[CallFamily, int] = {}

    def kind(self, family: CallFamily, values: tuple[str, ...]) -> CallKind:
        """Return the kind of a call, by its family and its label values."""
        return self._describe(family, values).kind

    def timeout_ms(self, call: OpenCall) -> int:
        """Return how long the caller of an open call waits; 0 if that is not known.

        A client's call has it in its label `timeout`. A server's call has it beside its labels.
        """
        return call.timeout_ms or self._describe(call.family, call.values).timeout_ms

    def is_overdue(self, call: OpenCall, now_ns: int) -> bool:
        """Return whether a call is older than its own timeout, by the monotonic clock."""
        timeout_ms = self.timeout_ms(call)
        return 0 < timeout_ms * 1_000_000 < now_ns - call.start_ns

    def lateness(self, call: OpenCall, now_ns: int) -> str:
        """Return in words that a call is overdue, or "".

        A server's call begins after the client's. So if it is overdue, its client waits no more.
        """
        if not self.is_overdue(call, now_ns):
            return ""
        return "its client has given up" if side_label(call.family) == "server" else "overdue"

    def _describe(self, family: CallFamily, values: tuple[str, ...]) -> Description:
        known = self._described.setdefault(family, {})
        found = known.get(values)
        if found is None:
            if len(known) > 2 * len(family) + 1000:
                known.clear()  # most of these series are gone
            topic, method, timeout = (
                label_of(family, values, name) for name in ("topic", "method", "timeout")
            )
            kind = CallKind(side_label(family), topic, method)
            found = known[values] = Description(kind, timeout_ms(timeout))
        return found

    def forget(self, family: Family) -> None:
        """Forget the kinds of a family that is removed."""
        if isinstance(family, CallFamily):
            self._described.pop(family, None)

    def abandon(self, lane: Lane) -> None:
        """Count the open calls of a dead process as abandoned: they will never end."""
        for call in lane.calls():
            try:
                row = self._abandoned.counted_row(
                    tuple(self.kind(call.family, call.values)), lane.owner.store_owner
                )
            except StoreFull:
                continue  # the store is full, which shmetrics_quota_used shows
            lane.abandon(call, self._abandoned.cell(row))

    def tables(self, native: bool = False) -> list[Table]:
        """Return the tables of calls in flight, of overdue ones and of ages, by kind of call.

        Returns:
            Three tables; none before the first call.
        """
        kinds = self._kinds_of(self._families)
        open_calls = [
            (kinds.row(self.kind(call.family, call.values)), call) for call in self._calls()
        ]
        if not kinds.series.values:
            return []
        counts = np.zeros(len(kinds.series.values))
        overdue = np.zeros(len(kinds.series.values))
        ages_ns = np.zeros(len(kinds.series.values), np.int64)
        now_ns = self._monotonic_ns()
        for row, call in open_calls:
            counts[row] += 1
            overdue[row] += self.is_overdue(call, now_ns)
            ages_ns[row] = max(ages_ns[row], now_ns - call.start_ns)
        return [
            Table(
                name="shmetrics_rpc_in_flight",
                kind="gauge",
                help="Calls that have begun and not ended",
                series=kinds.series,
                values=counts,
            ),
            Table(
                name="shmetrics_rpc_overdue",
                kind="gauge",
                help="Open calls that are older than their own timeout",
                series=kinds.series,
                values=overdue,
            ),
            Table(
                name="shmetrics_rpc_oldest_in_flight_seconds",
                kind="gauge",
                help="Age of the oldest call that has not ended",
                unit="seconds",
                series=kinds.series,
                values=ages_ns / 1e9,
            ),
        ]

    def _kinds_of(self, families: Iterable[Family]) -> CallKinds:
        """Return the kinds of all calls that are shown.

        It examines only the series that came since the last time.
        """
        visible = {family: family.visible for family in families if isinstance(family, CallFamily)}
        if any(visible.get(family) is not known for family, known in self._visible.items()):
            self._seen = CallKinds()  # some series are shown no more
            self._visible.clear()
            self._looked_at.clear()
        for family in visible:
            values = family.series.values
            for row in range(self._looked_at.get(family, 0), len(values)):
                self._seen.row(self.kind(family, values[row]))
            self._looked_at[family] = len(values)
        self._visible = visible
        return self._seen
