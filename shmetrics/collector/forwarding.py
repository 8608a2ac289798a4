# SPDX-License-Identifier: Apache-2.0
"""Forwarding the metrics of the node, in the collector: when, and the families about it.

All numbers of a destination are of one moment, so that its sum is exact: what was made is what was
sent, what waits, and what was dropped. They begin anew with each collector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shmetrics.destinations.metrics.metrics_destinations import MetricsDestinations
from shmetrics.forwarding.report import REASONS
from shmetrics.tables.table import Table


async def forward(destinations: MetricsDestinations, tables: Callable[[], Sequence[Table]]) -> None:
    """Take a snapshot whenever a destination is due, until cancelled.

    Args:
        destinations: the destinations.
        tables: returns what a scrape shows.
    """
    while (seconds := destinations.seconds_to_next()) is not None:
        await asyncio.sleep(seconds)
        destinations.take(tables)


_NO_DROPS: Final = dict.fromkeys((*REASONS, "unfit"), 0)


class ForwardingMetrics(Collector):
    """The families about destinations, in a registry."""

    def __init__(self, destinations: MetricsDestinations) -> None:
        """Show these destinations."""
        self._destinations = destinations

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they are now."""
        to = ("to",)
        produced = CounterMetricFamily(
            "shmetrics_forward_series_produced", "Series made for a destination", labels=to
        )
        sent = CounterMetricFamily(
            "shmetrics_forward_series_sent", "Series that have arrived there", labels=to
        )
        dropped = CounterMetricFamily(
            "shmetrics_forward_series_dropped",
            "Series that have not, by reason",
            labels=("to", "reason"),
        )
        waiting = GaugeMetricFamily(
            "shmetrics_forward_series_waiting", "Series that wait or are being sent", labels=to
        )
        waiting_bytes = GaugeMetricFamily(
            "shmetrics_forward_waiting_bytes", "Memory of these", labels=to
        )
        attempts = CounterMetricFamily(
            "shmetrics_forward_series_retries", "Parts that had to be sent again", labels=to
        )
        for report in self._destinations.reports():
            name, counts = [report.to], report.counts
            produced.add_metric(name, report.produced)
            sent.add_metric(name, counts.sent)
            waiting.add_metric(name, counts.waiting)
            waiting_bytes.add_metric(name, counts.waiting_bytes)
            attempts.add_metric(name, counts.retries)
            for reason, n in sorted({**_NO_DROPS, **report.dropped}.items()):
                dropped.add_metric([report.to, reason], n)
        yield from (produced, sent, dropped, waiting, waiting_bytes, attempts)
