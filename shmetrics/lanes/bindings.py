# SPDX-License-Identifier: Apache-2.0
"""The bindings of one lane: which cells of the store each of its series counts into.

A lane has a dictionary of its own, with its own ids. The collector reads it entry by entry, finds
or makes the family and the series of the node, and binds the id to their cells.

One lane may define only so much. A series beyond a limit is folded into the overflow series of its
family; a family beyond a limit is refused as a whole. Each of these is counted once, by the
collector that reads the entry first: the lane's ledger remembers it over restarts.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from shmetrics import layout
from shmetrics.dictionary import decode_definition, decode_strings
from shmetrics.errors import BrokenLane
from shmetrics.lanes import _drain
from shmetrics.lanes.lane_files import Owner
from shmetrics.store.definitions import Refusal
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.gauges import Gauges
from shmetrics.store.histograms import CallFamily, HistogramFamily
from shmetrics.store.log import StoreFull
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
    """

    type: int
    n_bounds: int
    n_labels: int
    family: Family | None


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
        self.refused: dict[str, int] = {}  # definitions that were not taken, by reason
        self.calls: dict[int, tuple[CallFamily, tuple[str, ...]]] = {}
        self.gauges: dict[int, tuple[Family, tuple[str, ...]]] = {}
        self.spans: dict[int, SpanLabels] = {}
        self.gauges_may_share_labels = False  # label rules can give two gauges the same labels
        self.n_series = 0
        self._owner = owner
        self._process_text = f"{owner.process} (pid {owner.pid})"
        self._drain = drain
        self._families = families
        self._gauge_families = gauges
        self._self_metrics = self_metrics
        self._entries = 0
        self._lane_families: list[_LaneFamily] = []
        self._bound: list[tuple[Family, int]] = []

    @property
    def n_families(self) -> int:
        """Return the number of families that the lane has defined, with those that were refused."""
        return len(self._lane_families)

    def define(self, kind: int, type: int, id: int, of: int, payload: bytes) -> None:
        """Bind the next entry of the lane's dictionary.

        Args:
            kind: `layout.ENTRY_FAMILY`, `ENTRY_SERIES`, `ENTRY_EXCEPTION` or `ENTRY_CELLS`; the last
                defines nothing.
            type: the family's type; only a family has one.
            id: the id of the series or the family, counted up from 1.
            of: the family of a series, the call series of an exception, or the number of bounds of
                a family.
            payload: the texts of the entry, see shmetrics/dictionary.py.

        Raises:
            BrokenLane: the payload cannot be decoded.
        """
        self._entries += 1
        try:
            if kind == layout.ENTRY_FAMILY:
                self._define_family(type, of, payload)
            elif kind == layout.ENTRY_SERIES:
                self.n_series = id
                self._define_series(id, self._lane_families[of - 1], payload)
            elif kind == layout.ENTRY_EXCEPTION:
                self.n_series = id
                self._define_exception(id, of, payload)
        except (ValueError, struct.error) as error:  # UnicodeDecodeError is a ValueError
            raise BrokenLane(f"text: {error}") from None
        self._report_once()

    def forget(self) -> None:
        """Release every series and family that the lane was bound to."""
        for family, row in self._bound:
            family.unbind(row)
        self._bound.clear()
        for known in self._lane_families:
            if known.family is not None:
                known.family.release()
        self._lane_families.clear()

    # ---- families ---------------------------------------------------------------------------

    def _define_family(self, type: int, n_bounds: int, payload: bytes) -> None:
        """Find or make the node's family for a definition, or refuse it."""
        max_families = self._families.limits.families_per_lane
        if self.n_families >= max_families:
            self._refuse(
                Refusal(
                    "families_per_lane",
                    f"more than {max_families} families in one lane; "
                    "see store.max_families_per_lane",
                )
            )
            self._lane_families.append(_LaneFamily(type, n_bounds, 0, None))
            return
        definition = decode_definition(type, n_bounds, payload)
        if type == layout.TYPE_SPANS:  # spans are no metric: the node has no family for them
            self._lane_families.append(
                _LaneFamily(type, n_bounds, len(definition.label_names), None)
            )
            return
        definer = self._families if type != layout.TYPE_GAUGE else self._gauge_families
        found = definer.define(definition, self._owner.store_owner)
        family = None
        if isinstance(found, Refusal):
            self._refuse(found)
        else:
            family = found
            family.hold()  # before the next line, which may let unused families go
            self._self_metrics.reserve_cells(family)
        self._lane_families.append(_LaneFamily(type, n_bounds, len(definition.label_names), family))

    def _refuse(self, refusal: Refusal) -> None:
        """Count a definition that is not taken, once, and log it."""
        self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
        if (
            self._report_once(self._self_metrics.refused.cell(refusal.reason))
            and refusal.reason in _QUOTAS
        ):
            self._self_metrics.exceeded(refusal.reason).inc()
        if self.refused[refusal.reason] == 1 or refusal.reason not in _QUOTAS:
            kind = refusal.reason, refusal.text
            text = f"{self._process_text}: refused: {refusal.text}"
            self._self_metrics.rate_limited.warning(kind, text, self._owner.uid)

    # ---- series -----------------------------------------------------------------------------

    def _define_series(self, id: int, lane_family: _LaneFamily, payload: bytes) -> None:
        """Bind a series, read its labels as those of spans, or note it as a gauge."""
        type, n_bounds, n_labels, family = lane_family
        if family is None:
            self._drain.bind(type, n_bounds)
            if type == layout.TYPE_SPANS and self._is_within_quota(id):
                self.spans[id] = self._span_labels(decode_strings(payload))
            return
        values = decode_strings(payload)
        if len(values) != n_labels:
            raise ValueError(f"{len(values)} label values where {n_labels} belong")
        values = family.ruling.values(values)
        if type == layout.TYPE_GAUGE:  # read in the lane's own cells, never folded
            self._drain.bind(type, n_bounds)
            if self._is_within_quota(id) and self._families.limits.allow(values):
                self.gauges[id] = family, values
                self.gauges_may_share_labels |= not family.ruling.is_idle
            else:
                self._fold(id, family, values)
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
        calls = self.calls.get(of)
        family = None if calls is None else calls[0].exceptions
        if calls is None or family is None:
            self._drain.bind(layout.TYPE_EXCEPTION, 0)
            return
        (class_name,) = decode_strings(payload)
        values = (*calls[1], calls[0].ruling.value("exception", class_name))
        self._bind(id, layout.TYPE_EXCEPTION, 0, family, values)

    def _is_within_quota(self, id: int) -> bool:
        """Return whether a lane may have so many series; ids count up from 1."""
        return id <= self._families.limits.series_per_lane

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
            self._refuse(Refusal("store_full", str(error)))
            self._drain.bind(type, n_bounds)
            return
        scale = family.scale if isinstance(family, HistogramFamily) else None
        self._drain.bind(type, n_bounds, scale, family.cell(row))
        family.bind(row)
        self._bound.append((family, row))
        if not self._is_within_quota(id) or family.folds(values):
            self._fold(id, family, values)

    def _fold(self, id: int, family: Family, values: tuple[str, ...]) -> None:
        """Count a series that is folded into the overflow series, once, and log the limit."""
        if not self._report_once(self._self_metrics.overflow.cell(family.definition.name)):
            return  # an earlier collector has logged it
        limits, name = self._families.limits, family.definition.name
        if not self._is_within_quota(id):
            quota, text = "series_per_lane", f"more than {limits.series_per_lane} series"
        elif not limits.allow(values):
            quota, text = "label_bytes", f"a label value of more than {limits.label_bytes} bytes"
        elif family.has_reached_limit(self._owner.store_owner):
            quota, text = "series_per_family", f"{name} has {limits.series_per_family} series"
        elif family.is_full_for is None:
            quota, text = "store_bytes", "the store is full"
        else:
            uid = self._owner.uid
            quota, text = "store_bytes_per_uid", f"uid {uid} has its share of the store"
        self._self_metrics.exceeded(quota).inc()
        option = "max_" + quota.removeprefix("store_")
        self._self_metrics.rate_limited.warning(
            (quota, name),
            f"{self._process_text}: {text}; further ones of {name} are counted as __overflow__; "
            f"see store.{option} and [[labels]]",
            self._owner.uid,
        )

    def _report_once(self, cell: int = -1) -> bool:
        """Count the entry at hand as read, and add 1 to a cell if no collector has done so before.

        Args:
            cell: the index of the cell in the store; -1 for none.

        Returns:
            False if an earlier collector has counted this entry.
        """
        return self._drain.report(_drain.REPORT_ENTRIES, self._entries, cell)
