# SPDX-License-Identifier: Apache-2.0
"""Spans of a service, in the process's lane: starts and stops of what belongs to traces."""

from __future__ import annotations

from typing import Any

from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition
from shmetrics.emitter.family import Family, family_of

# The family that every lane calls its spans by; the collector reads the labels in this order.
LABELS = ("name", "service", "project", "host")
_DEFINITION = Definition(_ring.TYPE_SPANS, "spans", "Spans of traces", "", "", LABELS, ())
_FAMILY: Family[_ring.SpanSeries] = family_of(
    _DEFINITION, lambda family, payload: _ring.SpanSeries(family.ring, payload)
)


class Spans:
    """The spans of a service: one series per name of them, made when it is first used.

    Ids are UUIDs as texts: of the span, of its trace (OSProfiler's base id), and of its parent,
    which is the trace itself for what is outermost. info: what is known of it, a dictionary of
    texts, numbers and more of them; what there is no room for is cut, and marked.
    """

    def __init__(self, service: str = "", project: str = "", host: str = "") -> None:
        self._rest = (service, project, host)
        self.series: dict[str, _ring.SpanSeries] = {}  # those that there are, by name

    def start(
        self, name: str, id: str, trace: str, parent: str, info: dict[str, Any] | None = None
    ) -> None:
        """A span of this name begins. Never raises, never waits; what is lost is counted."""
        try:
            series = self.series.get(name) or self.new_series(name)
            series.start(id, trace, parent, info)
        except Exception:
            _ring.process_count_drop(_ring.DROP_BAD_LABELS)

    def stop(
        self, name: str, id: str, trace: str, parent: str, info: dict[str, Any] | None = None
    ) -> None:
        """It ends."""
        try:
            series = self.series.get(name) or self.new_series(name)
            series.stop(id, trace, parent, info)
        except Exception:
            _ring.process_count_drop(_ring.DROP_BAD_LABELS)

    def new_series(self, name: str) -> _ring.SpanSeries:
        """The spans of a name that is not in `series`; from now on it is, if there is room."""
        values = (name, *self._rest)
        series = _FAMILY.children.get(values)
        if series is None:
            payload = _FAMILY.budget.payload(values)
            series = _ring.SpanSeries(_FAMILY.ring, payload, self._rest[-1])
            if payload is None:
                return series
            series = _FAMILY.children.setdefault(values, series)
        return self.series.setdefault(name, series)
