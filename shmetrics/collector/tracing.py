# SPDX-License-Identifier: Apache-2.0
"""Traces in the collector: from the lanes into the trace store, and on to other engines.

What becomes of spans on this way is counted here.
"""

from __future__ import annotations

from pathlib import Path

from shmetrics.destinations.traces.trace_destinations import TraceDestinations
from shmetrics.forwarding.report import REASONS
from shmetrics.lanes.spans import SpanRecords, Spans
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.traces.store import Limits
from shmetrics.traces.traces import Traces


class Tracing:
    """The trace store, the spans that come from lanes, and the spans that go to other engines.

    Attributes:
        traces: the trace store.
        spans: the spans of lanes.
        destinations: the engines that spans are forwarded to.
    """

    def __init__(
        self, path: Path, limits: Limits, self_metrics: SelfMetrics, destinations: TraceDestinations
    ) -> None:
        """Open the trace store.

        Args:
            path: the trace store's file.
            limits: how much the trace store keeps.
            self_metrics: the collector's metrics about itself.
            destinations: spans are forwarded to them; they are closed with the rest.
        """
        self.destinations = destinations
        has_forwarders = bool(destinations.forwarders)
        pending = path.with_name(f"{path.name}.pending")
        self.traces = Traces(
            path, limits, ended=destinations.put if has_forwarders else None, pending=pending
        )
        self.spans = Spans(self._take, self.traces.lane_ended, self._end)
        self._self_metrics = self_metrics
        self._counted: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Write what waits, and then let it be forwarded."""
        self.traces.close()
        self.destinations.close()

    def _end(self) -> None:
        """Close everything while the counts can still be written."""
        self.close()
        self.count()

    def _take(self, span_records: SpanRecords) -> None:
        """Queue the spans of a drain, which are decoded by the thread that writes."""
        self.traces.add(
            lambda: self.spans.events(span_records), span_records.n, len(span_records.records)
        )

    def count(self) -> None:
        """Add to the collector's counters what is new since the last call."""
        metrics = self._self_metrics
        spans = {"buffer": self.spans.lost, "series_per_lane": self.spans.nameless}
        for reason, total in {**self.traces.lost(), **spans}.items():
            metrics.spans_lost.labels(reason).inc(self._growth("lost", reason, total))
        for reason, total in self.traces.cut().items():
            metrics.spans_cut.labels(reason).inc(self._growth("cut", reason, total))
        for limit, total in self.traces.expired().items():
            metrics.traces_expired.labels(limit).inc(self._growth("expired", limit, total))
        metrics.trace_failures.inc(self._growth("failures", total=self.traces.failures()))
        metrics.traces_anew.inc(self._growth("anew", total=self.traces.anew()))
        metrics.clock_steps.inc(self._growth("steps", total=self.spans.clock_steps))
        for forwarder in self.destinations.forwarders:
            destination = forwarder.name
            metrics.forwarded.labels(destination).inc(
                self._growth("forwarded", destination, forwarder.sent)
            )
            metrics.forward_retries.labels(destination).inc(
                self._growth("retries", destination, forwarder.retries)
            )
            for reason, total in {**dict.fromkeys(REASONS, 0), **forwarder.counts().lost}.items():
                growth = self._growth(destination, reason, total)
                metrics.forward_lost.labels(destination, reason).inc(growth)

    def _growth(self, kind: str, label: str = "", total: int = 0) -> int:
        """Return how much a total has grown since the last call.

        Args:
            kind: the kind of total.
            label: its label value, if it has one.
            total: the total now.
        """
        growth = total - self._counted.get((kind, label), 0)
        self._counted[kind, label] = total
        return growth
