# SPDX-License-Identifier: Apache-2.0
"""The reference for renderings: prometheus_client, with the same tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition

from shmetrics.tables.table import Table
from tests.render.store_collector import StoreCollector


def text(
    tables: Iterable[Table], constant_labels: Mapping[str, str], escaping: str = "underscores"
) -> bytes:
    return generate_latest(_registry(tables, constant_labels, created=False), escaping)


def openmetrics(
    tables: Iterable[Table],
    constant_labels: Mapping[str, str],
    created: bool = False,
    escaping: str = "underscores",
) -> bytes:
    registry = _registry(tables, constant_labels, created)
    rendered: bytes = exposition.generate_latest(registry, escaping)  # type: ignore[no-untyped-call]
    return rendered


def _registry(
    tables: Iterable[Table], constant_labels: Mapping[str, str], created: bool
) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StoreCollector(lambda: tables, constant_labels, created=created))
    return registry


def samples(metrics: Iterable[Metric]) -> list[tuple[str, tuple[tuple[str, str], ...], str]]:
    """Return the name, labels and value of every sample, sorted; values as text, so that NaN is
    NaN."""
    return sorted(
        (sample.name, tuple(sorted(sample.labels.items())), repr(float(sample.value)))
        for metric in metrics
        for sample in metric.samples
    )
