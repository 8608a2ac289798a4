# SPDX-License-Identifier: Apache-2.0
"""Tables and prometheus_client: tables in one of its registries, its metrics as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample, Timestamp
from prometheus_client.utils import floatToGoString

from shmetrics.tables.table import SUFFIXES, Kind, Series, Table


class StoreCollector:
    """A collector for a prometheus_client registry that shows tables."""

    def __init__(
        self,
        tables: Callable[[], Iterable[Table]],
        constant_labels: Mapping[str, str],
        *,
        created: bool = True,
    ) -> None:
        """Show tables in a registry.

        Rendered by prometheus_client, a registry with created=False gives the same text as
        text.render, and one with created=True the same as openmetrics.render.

        Args:
            tables: returns the tables as they are now.
            constant_labels: labels that every series gets.
            created: whether series say since when they count.
        """
        self._tables = tables
        self._constant_labels = dict(constant_labels)
        self._created = created

    def collect(self) -> Iterator[Metric]:
        """Yield the tables, as they are now, as metrics of prometheus_client."""
        for table in self._tables():
            metric = Metric(table.name, table.help, table.kind, table.unit)
            exemplars = _exemplars(table)
            for row in range(len(table)):
                labels = {**self._constant_labels, **table.series.labels(row)}
                add = _add_histogram if table.kind == "histogram" else _add_scalar
                add(metric, table, row, labels, exemplars.get(row, {}))
                if self._created and table.created is not None and table.has_created:
                    metric.add_sample(f"{table.name}_created", labels, float(table.created[row]))
            yield metric


def _exemplars(table: Table) -> dict[int, dict[int, Exemplar]]:
    """Return a table's exemplars by row and bucket."""
    by_row: dict[int, dict[int, Exemplar]] = {}
    for row, bucket, value, stamp_ns, trace, span in table.exemplars.tolist():
        labels = {"trace_id": bytes(trace).hex()}
        if any(span):
            labels["span_id"] = bytes(span).hex()
        stamp = Timestamp(*divmod(stamp_ns, 10**9))
        by_row.setdefault(row, {})[bucket] = Exemplar(labels, value, stamp)
    return by_row


def _add_scalar(
    metric: Metric, table: Table, row: int, labels: dict[str, str], exemplars: dict[int, Exemplar]
) -> None:
    """Add the sample of a row that is no histogram."""
    name, value = table.name + SUFFIXES[table.kind][0], table.values[row].item()
    metric.add_sample(name, labels, value, exemplar=exemplars.get(0))


def _add_histogram(
    metric: Metric, table: Table, row: int, labels: dict[str, str], exemplars: dict[int, Exemplar]
) -> None:
    """Add the samples of a histogram's row."""
    counts = np.cumsum(table.buckets[row], dtype=np.uint64).tolist()
    bounds = (*table.bounds, float("inf"))
    for bucket, (bound, count) in enumerate(zip(bounds, counts, strict=True)):
        with_le = {**labels, "le": _le(bound)}
        metric.add_sample(f"{table.name}_bucket", with_le, count, exemplar=exemplars.get(bucket))
    metric.add_sample(f"{table.name}_count", labels, counts[-1])
    if table.has_sum:
        metric.add_sample(f"{table.name}_sum", labels, float(table.sums[row]))


def _le(bound: float) -> str:
    """Return a bound as prometheus_client writes it."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


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
