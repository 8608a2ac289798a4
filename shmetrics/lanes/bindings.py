# SPDX-License-Identifier: Apache-2.0
"""The bindings of one lane: which cells of the store each of its series counts into.

A lane has a dictionary of its own, with its own ids. The collector reads it entry by entry, finds
or makes the family and the series of the node, and binds the id to their cells.

A series that its process removes is bound to nothing from then on, and leaves the store if no other
lane counts into it. A later collector, which reads all entries again, leaves it alone: the same
labels may have come back, in another series of the lane.

One lane may define only so much. A series beyond a limit is folded into the overflow series of its
family; a family beyond a limit is refused as a whole. Each of these is counted once, by the
collector that reads the entry first: the lane's ledger remembers it over restarts.

A family that is refused because a name is another process's waits: once that process is gone, its
series are bound, and count from then on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import NamedTuple

from shmetrics import layout
from shmetrics.dictionary import Definition, decode_definition, decode_strings
from shmetrics.errors import BrokenLane
from shmetrics.lanes import _drain
from shmetrics.lanes.lane_files import Owner
from shmetrics.lanes.left_behind import LeftBehind
from shmetrics.lanes.notices import Notices
from shmetrics.lanes.overflows import Overflows
from shmetrics.notices import Notice
from shmetrics.store._cells import Scale
from shmetrics.store.definitions import Refusal
from shmetrics.store.families import Families, parts_of
from shmetrics.store.family import OVERFLOW, Family
from shmetrics.store.gauges import Gauges
from shmetrics.store.histograms import CallFamily, HistogramFamily
from shmetrics.store.holders import Holder
from shmetrics.store.log import StoreFull
from shmetrics.store.packing import Moved
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.traces.event import SpanLabels

# The reasons of a refusal that are quotas. Each quota is logged once per lane.
_QUOTAS = ("families", "families_per_lane", "families_per_uid", "store_bytes_per_uid")


class _LaneFamily(NamedTuple):
    """A family as one lane defined it, and the family of the node that it belongs to.

    Attributes:
        type: the type in the lane's definition, `_ring.TYPE_*`.
        n_bounds: the number of bucket bounds in the lane's definition.
        n_labels: the number of label names in the lane's definition.
        family: the family of the node; None if it was refused, or if the entry is about spans.
        definition: the definition by which the lane holds the family; None without a family.
        waiting: what waits for the family; None if nothing does.
    """

    type: int
    n_bounds: int
    n_labels: int
    family: Family | None
    definition: Definition | None = None
    waiting: _Waiting | None = None


class _WaitingSeries(NamedTuple):
    """A series that waits for its family.

    Attributes:
        id: its id in the lane.
        values: its label values; of an exception, those of its calls.
        exception: the class of an exception; None if it is none.
    """

    id: int
    values: tuple[str, ...]
    exception: str | None = None


class _Waiting(NamedTuple):
    """A definition that waits until nobody holds the name that is in its way.

    Attributes:
        definition: the definition, as the lane has it.
        refusal: why it has to wait; None if its family is being removed by hand.
        series: its series, by their ids.
        is_ruled: whether label rules have been applied to their values.
    """

    definition: Definition
    refusal: Refusal | None
    series: dict[int, _WaitingSeries]
    is_ruled: bool = False


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
        self.refused: dict[str, int] = {}  # definitions that are not taken, by reason
        self._refusals: dict[tuple[str, str], Notice] = {}  # by metric and reason
        self.calls: dict[int, tuple[CallFamily, tuple[str, ...]]] = {}
        self.gauges: dict[int, tuple[Family, tuple[str, ...]]] = {}
        self.observed: dict[int, tuple[Family, tuple[str, ...]]] = {}
        self.spans: dict[int, SpanLabels] = {}
        self.gauges_may_share_labels = False  # label rules can give two gauges the same labels
        self.n_series = 0  # those that were removed are not among them
        # Returns the bindings of the lane that this one has replaced, as long as it is there.
        self.earlier: Callable[[], Bindings | None] = lambda: None
        self._owner = owner
        self._process_text = f"{owner.process} (pid {owner.pid_label})"
        self._drain = drain
        self.notices = Notices(drain)
        self.overflows = Overflows()
        self._families = families
        self._gauge_families = gauges
        self._self_metrics = self_metrics
        self._waiting: set[int] = set()  # the numbers of families that wait
        self._waiting_calls: dict[int, tuple[_Waiting, tuple[str, ...]]] = {}
        self._entries = 0
        self._lane_families: list[_LaneFamily] = []
        self._bound: dict[int, tuple[Family, int]] = {}
        self.left_behind = LeftBehind(families, drain.lane_id, self._process_text)
        self._beyond: set[int] = set()  # series beyond the limit of a lane, when they were read
        self._n_pointed = 0  # series that the drain knows
        self._is_again = False  # the series at hand have been read, and counted, before
        self._exceptions: dict[int, list[int]] = {}  # of a call series: the ids of its exceptions
        self._removed_before = drain.removed_before()
        self._has_removed = False  # and the ledger does not have it yet
        # Series that were removed, and are bound still.
        self._removed_bound: set[tuple[Family, int]] = set()

    @property
    def n_families(self) -> int:
        """Return the number of families that the lane has defined, with those that were refused."""
        return len(self._lane_families)

    @property
    def refusals(self) -> list[Notice]:
        """Return what is refused now, each family and reason once."""
        return list(self._refusals.values())

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
            self._entries += 1
            self._remove(of)
            return
        self.settle()
        self._entries += 1
        try:
            if kind == layout.ENTRY_FAMILY:
                self._define_family(type, of, payload)
            elif kind == layout.ENTRY_SERIES:
                self._count(id)
                self._define_series(id, self._lane_families[of - 1], payload)
            elif kind == layout.ENTRY_EXCEPTION:
                self._count(id)
                self._define_exception(id, of, payload)
        except (ValueError, struct.error) as error:  # UnicodeDecodeError is a ValueError
            raise BrokenLane(f"text: {error}") from None
        self._report_once()

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
            self._report_once()

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
        earlier = self.earlier()
        if earlier is not None:
            earlier.let_go(removed)

    def forget(self) -> None:
        """Release every series and family that the lane was bound to."""
        for family, row in self._bound.values():
            family.unbind(row)
        self._bound.clear()
        self.left_behind.forget()
        for number, known in enumerate(self._lane_families):
            self._release(number, known)
        self._lane_families.clear()

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
        for number in sorted(self._waiting):
            known = self._lane_families[number]
            waiting = known.waiting
            assert waiting is not None
            if waiting.refusal is None or waiting.refusal.obstacle in freed:
                self._is_again = True
                try:
                    self._try_again(number, known, waiting)
                finally:
                    self._is_again = False

    def _wait(self, number: int, known: _LaneFamily, waiting: _Waiting) -> None:
        """Let a family of the lane wait."""
        self._lane_families[number] = known._replace(family=None, waiting=waiting)
        self._waiting.add(number)

    def _try_again(self, number: int, known: _LaneFamily, waiting: _Waiting) -> None:
        """Take a definition that has waited, with its series, or let it wait on."""
        name, found = waiting.definition.name, self._find(waiting.definition)
        if waiting.refusal is not None:
            self._forget_refusal(name, waiting.refusal)
        if isinstance(found, Refusal):
            self._note_refusal(name, found)
            self._wait(number, known, waiting._replace(refusal=found))
        if waiting.refusal is not None and (name, waiting.refusal.reason) not in self._refusals:
            self.notices.tell(Notice(name, waiting.refusal.reason))
        if isinstance(found, Refusal):
            return
        self._hold(number, known, waiting.definition, found)
        for id, values, exception in waiting.series.values():
            values = values if waiting.is_ruled else found.ruling.values(values)
            if exception is None:
                self._waiting_calls.pop(id, None)
                self._place(id, known._replace(family=found), values)
                self._note_lane_overflow(found, values)
            elif isinstance(found, CallFamily):
                values = found.overflow_values if found.folds(values) else values
                self._place_exception(id, found, values, exception, waiting.is_ruled)

    def detach(self, families: Collection[Family]) -> None:
        """Let go of families that are about to be removed; heal() defines them again."""
        parts = {part: family for family in families for part in parts_of(family)}
        series: dict[Family, dict[int, _WaitingSeries]] = {}
        for id, (part, row) in list(self._bound.items()):
            if part not in parts:
                continue
            del self._bound[id]
            values = part.values(row)
            waits = _WaitingSeries(id, values)
            if part is not parts[part]:
                waits = _WaitingSeries(id, values[:-1], values[-1])
            series.setdefault(parts[part], {})[id] = waits
            part.unbind(row)
            self.calls.pop(id, None)
            self._drain.rebind(id)
        self.left_behind.detach(parts)
        for state in (self.gauges, self.observed):
            for id, (family, values) in list(state.items()):
                if family in parts:
                    series.setdefault(family, {})[id] = _WaitingSeries(id, values)
                    del state[id]
        for number, known in enumerate(self._lane_families):
            if known.family in parts and known.definition is not None:
                self._release(number, known)
                assert known.family is not None
                found = series.pop(known.family, {})
                self._wait(number, known, _Waiting(known.definition, None, found, is_ruled=True))

    # ---- families ---------------------------------------------------------------------------

    def _define_family(self, type: int, n_bounds: int, payload: bytes) -> None:
        """Find or make the node's family for a definition, or refuse it."""
        definition = decode_definition(type, n_bounds, payload)
        max_families = self._families.limits.families_per_lane
        if self.n_families >= max_families:
            self._refuse(
                Refusal(
                    "families_per_lane",
                    f"more than {max_families} families in one lane",
                ),
                definition.name,
            )
            self._lane_families.append(_LaneFamily(type, n_bounds, 0, None))
            return
        known = _LaneFamily(type, n_bounds, len(definition.label_names), None)
        number = len(self._lane_families)
        self._lane_families.append(known)
        if type == layout.TYPE_SPANS:  # spans are no metric: the node has no family for them
            return
        found = self._find(definition)
        if not isinstance(found, Refusal):
            self._hold(number, known, definition, found)
            return
        self._refuse(found, definition.name)
        if found.obstacle:
            self._wait(number, known, _Waiting(definition, found, {}))

    def _find(self, definition: Definition) -> Family | Refusal:
        """Find or make the node's family for a definition, or return why it is refused."""
        is_gauge = definition.type == layout.TYPE_GAUGE
        definer = self._gauge_families if is_gauge else self._families
        return definer.define(definition, self._owner.store_owner)

    def _hold(
        self, number: int, known: _LaneFamily, definition: Definition, family: Family
    ) -> None:
        """Hold the node's family of a family of the lane, and note it.

        Args:
            number: the family's number in the lane, from 0.
            known: what is noted about it so far.
            definition: the lane's definition.
            family: the node's family.
        """
        # Before reserve_cells(), which may let unused families go.
        self._families.hold(family, definition, self._holder(number))
        self._self_metrics.reserve_cells(family)
        self._lane_families[number] = known._replace(
            family=family, definition=definition, waiting=None
        )
        self._waiting.discard(number)

    def _release(self, number: int, known: _LaneFamily) -> None:
        """Release the node's family of a family of the lane, if it has one."""
        if known.family is not None and known.definition is not None:
            self._families.release(known.family, known.definition, self._holder(number))

    def _holder(self, number: int) -> Holder:
        """Return the lane as the holder of its family of this number."""
        return Holder(self._drain.lane_id, number, self._process_text)

    def _note_refusal(self, name: str, refusal: Refusal) -> None:
        """Note a definition that is not taken, for the emitter and for people."""
        self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
        cause = refusal.text.removeprefix(f"{repr(name)[1:-1]}: ")
        notice = Notice(name, refusal.reason, f"refused: {cause}", refusal.mend)
        self._refusals.setdefault((name, refusal.reason), notice)
        self.notices.tell(notice)

    def _forget_refusal(self, name: str, refusal: Refusal) -> None:
        """Undo _note_refusal()."""
        self.refused[refusal.reason] -= 1
        if not self.refused[refusal.reason]:
            del self.refused[refusal.reason]
        self._refusals.pop((name, refusal.reason), None)

    def _refuse(self, refusal: Refusal, name: str) -> None:
        """Count a definition that is not taken, once, and log it."""
        self._note_refusal(name, refusal)
        if (
            self._report_once(self._self_metrics.refused.cell(refusal.reason))
            and refusal.reason in _QUOTAS
        ):
            self._self_metrics.exceeded(refusal.reason).inc()
        if self.refused[refusal.reason] == 1 or refusal.reason not in _QUOTAS:
            kind = refusal.reason, refusal.text
            text = f"{self._process_text}: refused: {refusal.text}; {refusal.mend}"
            self._self_metrics.rate_limited.warning(kind, text, self._owner.uid)

    # ---- series -----------------------------------------------------------------------------

    def _define_series(self, id: int, lane_family: _LaneFamily, payload: bytes) -> None:
        """Bind a series, read its labels as those of spans, or note it as state."""
        type, family, waiting = lane_family.type, lane_family.family, lane_family.waiting
        if (family is None and waiting is None) or id in self._removed_before:
            self._point(id, type, lane_family.n_bounds)
            if type == layout.TYPE_SPANS and self._is_within_quota(id):
                self.spans[id] = self._span_labels(decode_strings(payload))
            return
        values = decode_strings(payload)
        if len(values) != lane_family.n_labels:
            raise ValueError(f"{len(values)} label values where {lane_family.n_labels} belong")
        if family is not None:
            self._place(id, lane_family, family.ruling.values(values))
            self._note_lane_overflow(family, values)
        elif waiting is not None:
            self._point(id, type, lane_family.n_bounds)
            waiting.series[id] = _WaitingSeries(id, values)
            if type == layout.TYPE_CALLS:
                self._waiting_calls[id] = waiting, values

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

    def _place(self, id: int, lane_family: _LaneFamily, values: tuple[str, ...]) -> None:
        """Bind a series with label values that follow the rules, or note it as state."""
        type, n_bounds, family = lane_family.type, lane_family.n_bounds, lane_family.family
        assert family is not None
        if type in (layout.TYPE_GAUGE, layout.TYPE_OBSERVED):
            # Read in the lane's own cells, never folded.
            self._point(id, type, n_bounds)
            if not self._is_within_quota(id) or not self._families.limits.allow(values):
                self._fold(id, family, values)
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
        calls, waiting = self.calls.get(of), self._waiting_calls.get(of)
        if calls is not None:
            (class_name,) = decode_strings(payload)
            self._place_exception(id, *calls, class_name)
            return
        self._point(id, layout.TYPE_EXCEPTION, 0)
        if waiting is not None:
            (class_name,) = decode_strings(payload)
            waiting[0].series[id] = _WaitingSeries(id, waiting[1], class_name)

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
        self._waiting_calls.pop(id, None)
        for number in self._waiting:
            waiting = self._lane_families[number].waiting
            assert waiting is not None
            for each in ids:
                waiting.series.pop(each, None)

    def _take_last(self, id: int) -> tuple[int, ...]:
        """Take the last of a series, and of its exceptions, and bind them to nothing.

        Returns:
            The ids of all of them.
        """
        ids = *self._exceptions.pop(id, ()), id
        self.gauges.pop(id, None)
        self.observed.pop(id, None)
        self.calls.pop(id, None)
        for each in ids:
            self._drain.remove(each)
            if each in self._bound:
                family, row = self._bound.pop(each)
                family.unbind(row)
                self.left_behind.discard((family, row))
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
            self._refuse(Refusal("store_full", str(error)), family.definition.name)
            self._point(id, type, n_bounds)
            return
        scale = family.scale if isinstance(family, HistogramFamily) else None
        self._point(id, type, n_bounds, scale, family.cell(row))
        family.bind(row)
        self._bound[id] = family, row
        if not self._is_within_quota(id) or family.folds(values):
            self._fold(id, family, values)

    def _fold(self, id: int, family: Family, values: tuple[str, ...]) -> None:
        """Count a series that is folded into the overflow series, once, and name the quota."""
        quota, text = self._quota_of(id, family, values)
        is_state = family.definition.type in (layout.TYPE_GAUGE, layout.TYPE_OBSERVED)
        becomes = "not shown" if is_state else "counted as __overflow__"
        notice = Notice(
            family.definition.name,
            quota,
            f"{text}; further ones are {becomes}",
            f"see store.max_{quota.removeprefix('store_')} and [[labels]]",
        )
        is_new = self.overflows.note(notice)
        if self._count_overflow(family):
            self._self_metrics.exceeded(quota).inc()
            if is_new:
                self._log_overflow(notice)
            self.notices.tell(notice)

    def _note_lane_overflow(self, family: Family, values: tuple[str, ...]) -> None:
        """Name a metric if the emitter itself has no room for its label sets, and defines this.

        The emitter knows the quota by which it was refused a larger lane, and has logged it.
        """
        if values and set(values) == {OVERFLOW}:
            notice = self.overflows.note_without_room(family.definition.name)
            if self._count_overflow(family):
                self._log_overflow(notice)

    def _count_overflow(self, family: Family) -> bool:
        """Count the series at hand as one that overflows.

        Returns:
            False if an earlier collector has counted it.
        """
        name = family.definition.name
        if self._is_again:
            self._self_metrics.overflow.labels(name).inc()
            return True
        return self._report_once(self._self_metrics.overflow.cell(name))

    def _log_overflow(self, notice: Notice) -> None:
        """Log a metric whose label sets overflow."""
        self._self_metrics.rate_limited.warning(
            (notice.reason, notice.metric),
            f"{self._process_text}: {repr(notice.metric)[1:-1]}: {notice.cause}; {notice.mend}",
            self._owner.uid,
        )

    def _quota_of(self, id: int, family: Family, values: tuple[str, ...]) -> tuple[str, str]:
        """Return the quota by which a series is folded: its name, and the cause in words."""
        limits, name = self._families.limits, family.definition.name
        if not self._is_within_quota(id):
            return "series_per_lane", f"more than {limits.series_per_lane} series"
        if not limits.allow(values):
            return "label_bytes", f"a label value of more than {limits.label_bytes} bytes"
        if family.has_reached_limit(self._owner.store_owner):
            return "series_per_family", f"{name} has {limits.series_per_family} series"
        if family.is_full_for is None:
            return "store_bytes", "the store is full"
        return "store_bytes_per_uid", f"uid {self._owner.uid} has its share of the store"

    def tell_what_is_over(self) -> None:
        """Tell the emitter which of all that earlier collectors have told is over."""
        self.notices.keep([*self._refusals.values(), *self.overflows])

    def _report_once(self, cell: int = -1) -> bool:
        """Count the entry at hand as read, and add 1 to a cell if no collector has done so before.

        Args:
            cell: the index of the cell in the store; -1 for none.

        Returns:
            False if an earlier collector has counted this entry.
        """
        return self._drain.report(_drain.REPORT_ENTRIES, self._entries, cell)
