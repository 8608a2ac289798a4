# SPDX-License-Identifier: Apache-2.0
"""Traces in the collector: spans out of the lanes into the trace store, and the counts of both."""

from __future__ import annotations

from pathlib import Path

from shmetrics.collector.agent import Agent
from shmetrics.collector.spans import SpanRecords, Spans, events
from shmetrics.traces.store import Limits
from shmetrics.traces.traces import Traces


class Tracing:
    """What the daemon opens and closes."""

    def __init__(self, path: Path, limits: Limits, agent: Agent) -> None:
        self.traces = Traces(path, limits)
        self.spans = Spans(self._take, self.traces.lane_ended)
        self._agent = agent
        self._told: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Writes what waits."""
        self.traces.close()

    def _take(self, taken: SpanRecords) -> None:
        self.traces.add(lambda: events(taken), taken.n, len(taken.records))

    def count(self) -> None:
        """Adds to the agent's counts what there is since the last time."""
        for reason, total in {**self.traces.lost(), "buffer": self.spans.lost}.items():
            self._agent.spans_lost.labels(reason).inc(self._more("lost", reason, total))
        for limit, total in self.traces.expired().items():
            self._agent.traces_expired.labels(limit).inc(self._more("expired", limit, total))
        failures = self._more("failures", "", self.traces.failures())
        self._agent.trace_failures.inc(failures)

    def _more(self, what: str, why: str, total: int) -> int:
        more = total - self._told.get((what, why), 0)
        self._told[what, why] = total
        return more
