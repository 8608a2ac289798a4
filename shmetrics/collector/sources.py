# SPDX-License-Identifier: Apache-2.0
"""The sources that a configuration switches on. A new source is one more `yield`."""

from __future__ import annotations

from collections.abc import Iterator

from shmetrics.collector.collector import Collector
from shmetrics.config import Config
from shmetrics.sources.oslo_metrics import OsloMetrics
from shmetrics.sources.source import Source
from shmetrics.store.self_metrics import SelfMetrics


def wanted_sources(
    config: Config, collector: Collector, self_metrics: SelfMetrics
) -> Iterator[Source]:
    """Yield each source; it is made just before. Raises ShmetricsError."""
    if config.oslo_metrics_socket:
        yield OsloMetrics(
            config.oslo_metrics_socket,
            config.oslo_metrics_access(),
            collector.families,
            lambda result: self_metrics.datagrams.labels(result).inc(),
            collector,
        )
