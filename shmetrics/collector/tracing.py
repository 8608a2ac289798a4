# SPDX-License-Identifier: Apache-2.0
"""Traces in the collector: spans out of the lanes into the trace store, and from there to others;
and the counts of all that."""

from __future__ import annotations

from pathlib import Path

from shmetrics.destinations.forwarders import Forwarders
from shmetrics.lanes.spans import SpanRecords, Spans
from shmetrics.store.self_metrics import SelfMetrics
from shmetrics.traces.store import Limits
from shmetrics.traces.traces import Traces


class Tracing:
    """What the daemon opens and closes."""

    def __init__(
        self, path: Path, limits: Limits, self_metrics: SelfMetrics, forwarders: Forwarders
    ) -> None:
        """Takes the forwarders over."""
        self._forwarders = forwarders
        has_others = bool(forwarders.forwarders)
        pending = path.with_name(f"{path.name}.pending")
        self.traces = Traces(
            path, limits, ended=forwarders.put if has_others else None, pending=pending
        )
        self.spans = Spans(self._take, self.traces.lane_ended, self._end)
        self._self_metrics = self_metrics
        self._told: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Writes what waits, and then has it passed on."""
        self.traces.close()
        self._forwarders.close()

    def _end(self) -> None:
        self.close()
        self.count()

    def _take(self, taken: SpanRecords) -> None:
        self.traces.add(lambda: self.spans.events(taken), taken.n, len(taken.records))

    def count(self) -> None:
        """Add to the collector's own counters what is new since the last call."""
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
        more = total - self._told.get((what, which), 0)
        self._told[what, which] = total
        return more
