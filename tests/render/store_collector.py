# SPDX-License-Identifier: Apache-2.0
"""Tables in a registry of prometheus_client, whose text is the reference for ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Timestamp
from prometheus_client.utils import floatToGoString

from shmetrics.tables.table import SUFFIXES, Table


class StoreCollector:
    """A collector for a prometheus_client registry that shows tables.

    created: whether series say since when they count. Rendered by prometheus_client, a registry
    with created=False gives what text.render gives, and one with created=True what
    openmetrics.render gives.
    """

    def __init__(
        self,
        tables: Callable[[], Iterable[Table]],
        constant_labels: Mapping[str, str],
        *,
        created: bool = True,
    ) -> None:
        self._tables = tables
        self._constant_labels = dict(constant_labels)
        self._created = created

    def collect(self) -> Iterator[Metric]:
        """Yield the tables as they are now."""
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
    """Return exemplars by row and bucket."""
    found: dict[int, dict[int, Exemplar]] = {}
    for row, bucket, value, stamp_ns, trace, span in table.exemplars.tolist():
        labels = {"trace_id": bytes(trace).hex()}
        if any(span):
            labels["span_id"] = bytes(span).hex()
        stamp = Timestamp(*divmod(stamp_ns, 10**9))
        found.setdefault(row, {})[bucket] = Exemplar(labels, value, stamp)
    return found


def _add_scalar(
    metric: Metric, table: Table, row: int, labels: dict[str, str], exemplars: dict[int, Exemplar]
) -> None:
    name, value = table.name + SUFFIXES[table.kind][0], table.values[row].item()
    metric.add_sample(name, labels, value, exemplar=exemplars.get(0))


def _add_histogram(
    metric: Metric, table: Table, row: int, labels: dict[str, str], exemplars: dict[int, Exemplar]
) -> None:
    counts = np.cumsum(table.buckets[row], dtype=np.uint64).tolist()
    bounds = (*table.bounds, float("inf"))
    for bucket, (bound, count) in enumerate(zip(bounds, counts, strict=True)):
        with_le = {**labels, "le": _le(bound)}
        metric.add_sample(f"{table.name}_bucket", with_le, count, exemplar=exemplars.get(bucket))
    metric.add_sample(f"{table.name}_count", labels, counts[-1])
    if table.has_sum:
        metric.add_sample(f"{table.name}_sum", labels, float(table.sums[row]))


def _le(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]
