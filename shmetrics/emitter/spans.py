# SPDX-License-Identifier: Apache-2.0
"""Spans of a service: their starts and stops, recorded in the lane of the process."""

from __future__ import annotations

from typing import Any

from shmetrics.binding import layout
from shmetrics.binding import ring as _ring
from shmetrics.dictionary import Definition
from shmetrics.emitter.family import Family, family_of

# The family of spans in every lane. The collector reads the labels in this order.
LABELS = ("name", "service", "project", "host")
_DEFINITION = Definition(layout.TYPE_SPANS, "spans", "Spans of traces", "", "", LABELS, ())
_FAMILY: Family[_ring.SpanSeries] = family_of(
    _DEFINITION, lambda family, payload: _ring.SpanSeries(family.ring, payload)
)


class Spans:
    """The spans of a service, with one series per name, made at its first use.

    Ids are UUIDs as texts: that of the span, that of its trace (OSProfiler's base id), and that of
    its parent, which is the trace itself for an outermost span. The info of a span is a dictionary
    of texts, numbers, and lists and dictionaries of these; info that is too long is cut and marked.

    Attributes:
        series: the series by name.
    """

    def __init__(self, service: str = "", project: str = "", host: str = "") -> None:
        self._rest = (service, project, host)
        self.series: dict[str, _ring.SpanSeries] = {}

    def start(
        self, name: str, id: str, trace: str, parent: str, info: dict[str, Any] | None = None
    ) -> None:
        """Record the start of a span.

        Never raises and never waits; a start that cannot be recorded is counted as dropped.
        """
        try:
            series = self.series.get(name) or self.new_series(name)
            series.start(id, trace, parent, info)
        except Exception:
            _ring.process_count_drop(layout.DROP_BAD_LABELS)

    def stop(
        self, name: str, id: str, trace: str, parent: str, info: dict[str, Any] | None = None
    ) -> None:
        """Record the stop of a span, as start() records its start."""
        try:
            series = self.series.get(name) or self.new_series(name)
            series.stop(id, trace, parent, info)
        except Exception:
            _ring.process_count_drop(layout.DROP_BAD_LABELS)

    def new_series(self, name: str) -> _ring.SpanSeries:
        """Return the series of a name that is not in `series`, and add it there if it fits."""
        values = (name, *self._rest)
        series = _FAMILY.children.get(values)
        if series is None:
            payload = _FAMILY.budget.payload(values)
            series = _ring.SpanSeries(_FAMILY.ring, payload, self._rest[-1])
            if payload is None:
                return series
            series = _FAMILY.children.setdefault(values, series)
        return self.series.setdefault(name, series)
