# SPDX-License-Identifier: Apache-2.0
"""Traces in the collector: spans go from the lanes into the trace store and on to other engines,
and what becomes of them is counted.
"""

from __future__ import annotations

from pathlib import Path

from shmetrics.destinations.forwarders import Forwarders
from shmetrics.lanes.spans import SpanRecords, Spans
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.traces.store import Limits
from shmetrics.traces.traces import Traces


class Tracing:
    """The trace store, the spans that come from lanes, and the spans that go to other engines."""

    def __init__(
        self, path: Path, limits: Limits, self_metrics: SelfMetrics, forwarders: Forwarders
    ) -> None:
        """Open the trace store.

        Args:
            path: the trace store's file.
            limits: how much the trace store keeps.
            self_metrics: the collector's metrics about itself.
            forwarding: passes spans on, and is closed with the rest.
        """
        self._forwarding = forwarding
        has_others = bool(forwarding.forwarders)
        pending = path.with_name(f"{path.name}.pending")
        self.traces = Traces(
            path, limits, ended=forwarders.put if has_others else None, pending=pending
        )
        self.spans = Spans(self._take, self.traces.lane_ended, self._end)
        self._self_metrics = self_metrics
        self._told: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Write what waits, and then let it be passed on."""
        self.traces.close()
        self._forwarders.close()

    def _end(self) -> None:
        """Close everything while the counts can still be written."""
        self.close()
        self.count()

    def _take(self, taken: SpanRecords) -> None:
        """Queue the spans of a drain, which are decoded by the thread that writes."""
        self.traces.add(lambda: self.spans.events(taken), taken.n, len(taken.records))

    def count(self) -> None:
        """Add to the collector's counters what is new since the last call."""
        spans = {"buffer": self.spans.lost, "series_per_lane": self.spans.nameless}
        for reason, total in {**self.traces.lost(), **spans}.items():
            self._self_metrics.spans_lost.labels(reason).inc(self._more("lost", reason, total))
        for reason, total in self.traces.cut().items():
            self._self_metrics.spans_cut.labels(reason).inc(self._more("cut", reason, total))
        for limit, total in self.traces.expired().items():
            self._self_metrics.traces_expired.labels(limit).inc(self._more("expired", limit, total))
        self._self_metrics.trace_failures.inc(self._more("failures", total=self.traces.failures()))
        self._self_metrics.traces_anew.inc(self._more("anew", total=self.traces.anew()))
        self._self_metrics.clock_steps.inc(self._more("steps", total=self.spans.clock_steps))
        for other in self._forwarders.forwarders:
            to = other.name
            self._self_metrics.forwarded.labels(to).inc(self._more("forwarded", to, other.sent))
            self._self_metrics.forward_retries.labels(to).inc(
                self._more("retries", to, other.retries)
            )
            for reason, total in other.lost.copy().items():
                more = self._more(to, reason, total)
                self._self_metrics.forward_lost.labels(to, reason).inc(more)

    def _more(self, what: str, which: str = "", total: int = 0) -> int:
        """Return how much a total has grown since the last call.

        Args:
            what: the kind of total.
            which: its label value, if it has one.
            total: the total now.
        """
        more = total - self._told.get((what, which), 0)
        self._told[what, which] = total
        return more
