# SPDX-License-Identifier: Apache-2.0
"""The metrics of a prometheus_client registry as tables."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from shmetrics.tables.table import SUFFIXES, Kind, Series, Table


class RegistryTables:
    """The source of the tables of a prometheus_client registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Show this registry."""
        self._registry = registry

    def tables(self, native: bool = False) -> list[Table]:
        """Return the metrics as they are now, in the registry's order."""
        return tables_of(self._registry)


def tables_of(registry: CollectorRegistry) -> list[Table]:
    """Return the metrics of a registry as tables, in the registry's order.

    Raises:
        ValueError: a metric cannot be a table: a summary, an enum, or one whose label names differ
            between its samples.
    """
    return [_table_of(metric) for metric in registry.collect()]


def _table_of(metric: Metric) -> Table:
    """Return a metric as a table. Raises ValueError."""
    kind = _kind_of(metric)
    by_labels: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in metric.samples:
        labels = tuple(
            (name, value)
            for name, value in sample.labels.items()
            if kind != "histogram" or name != "le"
        )
        by_labels.setdefault(labels, []).append(sample)

    names = next(([name for name, _ in labels] for labels in by_labels), [])
    series = Series(names)
    for labels in by_labels:
        if [name for name, _ in labels] != names:
            raise ValueError(f"{metric.name}: label names differ between its samples")
        series.append(tuple(value for _, value in labels))

    rows = list(by_labels.values())
    name, help, unit = metric.name, metric.documentation, metric.unit
    created = _column(rows, f"{name}_created") if kind in ("counter", "histogram") else None
    if kind != "histogram":
        values = _column(rows, name + SUFFIXES[kind][0])
        if values is None:
            values = np.empty(0)
        return Table(name, kind, help, series, unit, values, created=created)
    bounds, buckets = _buckets(rows, f"{name}_bucket")
    sums = _column(rows, f"{name}_sum")
    if sums is None:
        sums = np.zeros(len(rows))
    return Table(
        name, kind, help, series, unit, bounds=bounds, buckets=buckets, sums=sums, created=created
    )


def _kind_of(metric: Metric) -> Kind:
    """Return the kind of a metric. Raises ValueError if a table cannot have it."""
    for kind in SUFFIXES:
        if metric.type == kind:
            return kind
    raise ValueError(f"{metric.name}: a {metric.type} cannot be shown")


def _column(rows: list[list[Sample]], name: str) -> np.ndarray | None:
    """Return the value of the sample of this name in each row; None unless all rows have one."""
    values = [[sample.value for sample in row if sample.name == name][:1] for row in rows]
    return np.array(values, np.float64)[:, 0] if values and all(values) else None


def _buckets(rows: list[list[Sample]], name: str) -> tuple[tuple[float, ...], np.ndarray]:
    """Return the finite bounds, which all rows share, and each bucket alone (rows, bounds + 1)."""
    buckets = [[sample for sample in row if sample.name == name] for row in rows]
    if not buckets:
        return (), np.empty((0, 1), np.uint64)
    bounds = tuple(float(sample.labels["le"]) for sample in buckets[0])
    cumulated = np.array([[sample.value for sample in row] for row in buckets], np.float64)
    return bounds[:-1], np.diff(cumulated, axis=1, prepend=0.0).astype(np.uint64)
