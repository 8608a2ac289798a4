# SPDX-License-Identifier: Apache-2.0
"""The bindings of one lane: which cells of the store each of its series counts into.

A lane has a dictionary of its own, with its own ids. The collector reads it entry by entry, finds
or makes the family and the series of the node, and binds the id to their cells.

A series that its process removes is bound to nothing from then on, and leaves the store if no other
lane counts into it. A later collector, which reads all entries again, leaves it alone: the same
labels may have come back, in another series of the lane.

One lane may define only so much. A series beyond a limit is folded into the overflow series of its
family (overflows.py); a family beyond a limit is refused as a whole (refusals.py). A family that is
refused because a name is another process's waits (waiting.py): once that process is gone, its
series are bound, and count from then on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection

from shmetrics import layout
from shmetrics.dictionary import decode_strings
from shmetrics.errors import BrokenLane
from shmetrics.lanes import _drain
from shmetrics.lanes.lane_families import LaneFamilies, LaneFamily
from shmetrics.lanes.lane_files import Owner
from shmetrics.lanes.left_behind import LeftBehind
from shmetrics.lanes.notices import Notices
from shmetrics.lanes.overflows import Overflows
from shmetrics.lanes.reading import Reading
from shmetrics.lanes.refusals import Refusals
from shmetrics.lanes.waiting import WaitingFamily, WaitingSeries
from shmetrics.store._cells import Scale
from shmetrics.store.families import Families, parts_of, refusal_of
from shmetrics.store.family import Family
from shmetrics.store.gauges import Gauges
from shmetrics.store.histograms import CallFamily, HistogramFamily
from shmetrics.store.log import StoreFull
from shmetrics.store.packing import Moved
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.traces.event import SpanLabels


class Bindings:
    """The bindings of one lane, made entry by entry in the order of its dictionary."""

    def __init__(
        self,
        owner: Owner,
        drain: _drain.LaneDrain,
        families: Families,
        gauges: Gauges,
        self_metrics: SelfMetrics,
    ) -> None:
        """Begin without any binding.

        Args:
            owner: the process that the lane belongs to.
            drain: the lane's drain, which is told the cells of each series.
            families: all families of the node.
            gauges: the gauge families of the node.
            self_metrics: the counters of refusals and of exceeded quotas.
        """
        self.calls: dict[int, tuple[CallFamily, tuple[str, ...]]] = {}
        self.gauges: dict[int, tuple[Family, tuple[str, ...]]] = {}
        self.observed: dict[int, tuple[Family, tuple[str, ...]]] = {}
        self.spans: dict[int, SpanLabels] = {}
        self.gauges_may_share_labels = False  # label rules can give two gauges the same labels
        self.n_series = 0  # those that were removed are not among them
        # Returns the bindings of the lane that this one has replaced, as long as it is there.
        self.earlier: Callable[[], Bindings | None] = lambda: None
        self._owner = owner
        self._drain = drain
        self._reading = Reading(drain)
        self.notices = Notices(drain)
        told = self._reading, self.notices, self_metrics
        self.refusals = Refusals(owner, *told)
        self.overflows = Overflows(owner, families.limits, *told)
        self.lane_families = LaneFamilies(
            owner, drain.lane_id, families, gauges, self_metrics, self.refusals
        )
        self._families = families
        self._bound: dict[int, tuple[Family, int]] = {}
        self.left_behind = LeftBehind(families, drain.lane_id, owner.text)
        self._beyond: set[int] = set()  # series beyond the limit of a lane, when they were read
        self._n_pointed = 0  # series that the drain knows
        self._exceptions: dict[int, list[int]] = {}  # of a call series: the ids of its exceptions
        self._removed_before = drain.removed_before()
        self._has_removed = False  # and the ledger does not have it yet
        # Series that were removed, and are bound still.
        self._removed_bound: set[tuple[Family, int]] = set()

    def define(self, kind: int, type: int, id: int, of: int, payload: bytes) -> None:
        """Bind the next entry of the lane's dictionary.

        Args:
            kind: `layout.ENTRY_FAMILY`, `ENTRY_SERIES`, `ENTRY_EXCEPTION` or `ENTRY_REMOVED`; any
                other one defines nothing.
            type: the family's type; only a family has one.
            id: the id of the series or the family, counted up from 1; 0 for a removal.
            of: the family of a series, the call series of an exception, the series that is removed,
                or the number of bounds of a family.
            payload: the texts of the entry, see shmetrics/dictionary.py.

        Raises:
            BrokenLane: the payload cannot be decoded.
        """
        if kind == layout.ENTRY_REMOVED:
            self._reading.begin()
            self._remove(of)
            return
        self.settle()
        self._reading.begin()
        try:
            if kind == layout.ENTRY_FAMILY:
                self.lane_families.define(type, of, payload)
            elif kind == layout.ENTRY_SERIES:
                self._count(id)
                self._define_series(id, of - 1, payload)
            elif kind == layout.ENTRY_EXCEPTION:
                self._count(id)
                self._define_exception(id, of, payload)
        except (ValueError, struct.error) as error:  # UnicodeDecodeError is a ValueError
            raise BrokenLane(f"text: {error}") from None
        self._reading.count()

    def exception_name(self, id: int) -> str:
        """Return the class that an exception's series counts; "" if it is bound to nothing."""
        bound = self._bound.get(id)
        return bound[0].values(bound[1])[-1] if bound is not None else ""

    def _count(self, id: int) -> None:
        """Count a series of the lane, and note whether it is beyond the limit."""
        self.n_series += 1
        if self.n_series > self._families.limits.series_per_lane:
            self._beyond.add(id)

    def settle(self) -> None:
        """Remove from the store what the latest entries have removed, and then note it.

        A collector that is killed in between leaves it to the next one.
        """
        if self._has_removed:
            self._has_removed = False
            earlier = self.earlier()
            if earlier is not None and self._removed_bound:
                earlier.let_go(self._removed_bound)
            self._removed_bound.clear()
            self._families.leaving.remove()
            self._reading.count()

    def let_go(self, removed: Collection[tuple[Family, int]]) -> None:
        """Take the last of series that their process has removed in a later lane.

        Args:
            removed: their families and rows. With label rules a row may stand for other series of
                the process, too; it stays.
        """
        ids = [id for id, bound in self._bound.items() if bound in removed]
        for id in ids:
            if self._bound[id][0].ruling.is_idle:
                self._take_last(id)
        for family, row in removed:
            if (family, row) in self.left_behind and family.ruling.is_idle:
                self.left_behind.discard((family, row))
                if family.definition.type != layout.TYPE_EXCEPTION:  # these go with their calls
                    self._families.leaving.add(family, row)
        earlier = self.earlier()
        if earlier is not None:
            earlier.let_go(removed)

    def forget(self) -> None:
        """Release every series and family that the lane was bound to."""
        for family, row in self._bound.values():
            family.unbind(row)
        self._bound.clear()
        self.left_behind.forget()
        self.lane_families.forget()

    def inherit(self, earlier: Bindings) -> None:
        """Take over what only the lane is bound to that the process has left."""
        mine = {*self._bound.values(), *self.left_behind}
        left = set()
        for id, each in list(earlier._bound.items()):
            if each not in mine and each not in left:
                left.add(each)
                del earlier._bound[id]
        for family, row in (before := earlier.left_behind.give()) & (mine | left):
            family.unbind(row)
        self.left_behind.take(left | (before - mine))

    def follow(self, moved: Moved) -> None:
        """Bind series that have moved in the store to the cells where they are now."""
        self.left_behind.follow(moved)
        for id, (family, row) in self._bound.items():
            rows = moved.get(family)
            if rows is not None and row in rows:
                scale = family.scale if isinstance(family, HistogramFamily) else None
                self._drain.rebind(id, scale, family.cell(rows[row]))
                self._bound[id] = family, rows[row]

    # ---- again ------------------------------------------------------------------------------

    def heal(self, freed: Collection[str]) -> None:
        """Take definitions that have waited for one of these names, if that is possible now."""
        for number, waiting in self.lane_families.waiting.ready(freed):
            family = self.lane_families.try_again(number, waiting)
            if family is not None:
                self._reading.is_again = True
                try:
                    self._place_again(self.lane_families[number], family, waiting)
                finally:
                    self._reading.is_again = False

    def _place_again(self, known: LaneFamily, family: Family, waiting: WaitingFamily) -> None:
        """Bind the series of a family that has waited."""
        for id, values, exception in waiting.series.values():
            values = values if waiting.is_ruled else family.ruling.values(values)
            if exception is None:
                self.lane_families.waiting.forget_calls(id)
                self._place(id, known, values)
                self.overflows.note_lane(family, values)
            elif isinstance(family, CallFamily):
                values = family.overflow_values if family.folds(values) else values
                self._place_exception(id, family, values, exception, waiting.is_ruled)

    def detach(self, families: Collection[Family]) -> None:
        """Let go of families that are about to be removed; heal() defines them again."""
        parts = {part: family for family in families for part in parts_of(family)}
        series: dict[Family, dict[int, WaitingSeries]] = {}
        for id, (part, row) in list(self._bound.items()):
            if part not in parts:
                continue
            del self._bound[id]
            values = part.values(row)
            waits = WaitingSeries(id, values)
            if part is not parts[part]:
                waits = WaitingSeries(id, values[:-1], values[-1])
            series.setdefault(parts[part], {})[id] = waits
            part.unbind(row)
            self.calls.pop(id, None)
            self._drain.rebind(id)
        self.left_behind.detach(parts)
        for state in (self.gauges, self.observed):
            for id, (family, values) in list(state.items()):
                if family in parts:
                    series.setdefault(family, {})[id] = WaitingSeries(id, values)
                    del state[id]
        self.lane_families.detach(parts, series)

    # ---- series -----------------------------------------------------------------------------

    def _define_series(self, id: int, number: int, payload: bytes) -> None:
        """Bind a series of a family, read its labels as those of spans, or note it as state."""
        known, waiting = self.lane_families[number], self.lane_families.waiting
        type, family = known.type, known.family
        if (family is None and number not in waiting) or id in self._removed_before:
            self._point(id, type, known.n_bounds)
            if type == layout.TYPE_SPANS and self._is_within_quota(id):
                self.spans[id] = self._span_labels(decode_strings(payload))
            return
        values = decode_strings(payload)
        if len(values) != known.n_labels:
            raise ValueError(f"{len(values)} label values where {known.n_labels} belong")
        if family is not None:
            self._place(id, known, family.ruling.values(values))
            self.overflows.note_lane(family, values)
        else:
            self._point(id, type, known.n_bounds)
            waiting.add_series(number, id, values, type == layout.TYPE_CALLS)

    def _point(
        self, id: int, type: int, n_bounds: int, scale: Scale | None = None, cell: int = -1
    ) -> None:
        """Tell the drain the cells of a series, the first time or anew.

        Args:
            id: the series.
            type: the type in the lane's definition.
            n_bounds: the number of bucket bounds there.
            scale: the places of values in the row, for a family with buckets.
            cell: the first of its cells; -1 for none.
        """
        if id <= self._n_pointed:
            self._drain.rebind(id, scale, cell)
        else:
            self._drain.bind(type, n_bounds, scale, cell)
            self._n_pointed = id

    def _place(self, id: int, known: LaneFamily, values: tuple[str, ...]) -> None:
        """Bind a series with label values that follow the rules, or note it as state."""
        type, n_bounds, family = known.type, known.n_bounds, known.family
        assert family is not None
        if type in (layout.TYPE_GAUGE, layout.TYPE_OBSERVED):
            # Read in the lane's own cells, never folded.
            self._point(id, type, n_bounds)
            if not self._is_within_quota(id) or not self._families.limits.allow(values):
                self.overflows.fold(family, values, self._is_within_quota(id))
            elif type == layout.TYPE_OBSERVED:
                self.observed[id] = family, values
            else:
                self.gauges[id] = family, values
                self.gauges_may_share_labels |= not family.ruling.is_idle
            return
        self._bind(id, type, n_bounds, family, values)
        if isinstance(family, CallFamily):
            self.calls[id] = (
                family,
                family.interned(values) if self._is_within_quota(id) else family.overflow_values,
            )

    def _span_labels(self, values: tuple[str, ...]) -> SpanLabels:
        """Return the labels that the spans of one series share, cut to the longest length
        allowed.
        """
        if len(values) != len(SpanLabels._fields):
            raise ValueError(f"{len(values)} label values of spans")
        max_bytes = self._families.limits.label_bytes
        return SpanLabels(*(value[:max_bytes] for value in values))

    def _define_exception(self, id: int, of: int, payload: bytes) -> None:
        """Bind the counter of one exception class to the call series that it belongs to."""
        self._exceptions.setdefault(of, []).append(id)
        calls = self.calls.get(of)
        if calls is not None:
            (class_name,) = decode_strings(payload)
            self._place_exception(id, *calls, class_name)
            return
        self._point(id, layout.TYPE_EXCEPTION, 0)
        if self.lane_families.waiting.has_calls(of):
            (class_name,) = decode_strings(payload)
            self.lane_families.waiting.add_exception(id, of, class_name)

    def _place_exception(
        self,
        id: int,
        calls: CallFamily,
        values: tuple[str, ...],
        exception: str,
        is_ruled: bool = False,
    ) -> None:
        """Bind the counter of an exception class.

        Args:
            id: the series.
            calls: the family of its calls.
            values: the label values of its calls, which follow the rules.
            exception: the class.
            is_ruled: whether the class follows the rules, too.
        """
        family = calls.exceptions
        if family is None:
            self._point(id, layout.TYPE_EXCEPTION, 0)
        else:
            name = exception if is_ruled else calls.ruling.value("exception", exception)
            self._bind(id, layout.TYPE_EXCEPTION, 0, family, (*values, name))

    def _remove(self, id: int) -> None:
        """Take the last of a series that the process has removed, with its exceptions."""
        self._has_removed = True
        ids = self._take_last(id)
        self.n_series -= len(ids)
        self._beyond.difference_update(ids)
        self.lane_families.waiting.remove(ids)

    def _take_last(self, id: int) -> tuple[int, ...]:
        """Take the last of a series, and of its exceptions, and bind them to nothing.

        Exceptions stay as long as another process has their calls.

        Returns:
            The ids of all of them.
        """
        ids = id, *self._exceptions.pop(id, ())
        leaves = True
        self.gauges.pop(id, None)
        self.observed.pop(id, None)
        self.calls.pop(id, None)
        for each in ids:
            self._drain.remove(each)
            if each in self._bound:
                family, row = self._bound.pop(each)
                family.unbind(row)
                self.left_behind.discard((family, row))
                if each == id:
                    leaves = not family.is_bound(row)
                if leaves:
                    self._families.leaving.add(family, row)
                if family.is_bound(row):
                    self._removed_bound.add((family, row))
        return ids

    def _is_within_quota(self, id: int) -> bool:
        """Return whether the lane had no more series than it may have when this one was read."""
        return id not in self._beyond

    def _bind(
        self,
        id: int,
        type: int,
        n_bounds: int,
        family: Family,
        values: tuple[str, ...],
    ) -> None:
        """Bind a series id to its cells, or to those of the overflow series beyond a limit."""
        try:
            owner = self._owner.store_owner
            row = family.row(values, owner) if self._is_within_quota(id) else family.overflow_row()
        except StoreFull as error:
            self.refusals.refuse(family.definition.name, refusal_of(family.definition, error))
            self._point(id, type, n_bounds)
            return
        scale = family.scale if isinstance(family, HistogramFamily) else None
        self._point(id, type, n_bounds, scale, family.cell(row))
        family.bind(row)
        self._bound[id] = family, row
        if not self._is_within_quota(id) or family.folds(values):
            self.overflows.fold(family, values, self._is_within_quota(id))

    def tell_what_is_over(self) -> None:
        """Tell the emitter which of all that earlier collectors have told is over."""
        self.notices.keep([*self.refusals, *self.overflows])
