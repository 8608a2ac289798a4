# SPDX-License-Identifier: Apache-2.0
"""The units of the node, a row each, summed up from the families that `shmetrics gather` records.

A unit may have a series per device; its row has their sum.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from shmetrics.tables.table import Table

_KEY = ("kind", "unit", "id")
#: The family that says how manifests want metrics to be shown, as the gatherer names it.
INFO = "shmetrics_unit_metric_info"
_DESCRIPTION = ("kind", "unit", "metric", "display_name", "graph_type")
_FIELDS = {
    "container_cpu_usage_seconds": "cpu_seconds",
    "container_memory_working_set_bytes": "memory_bytes",
    "container_spec_memory_limit_bytes": "memory_limit_bytes",
    "container_processes": "processes",
    "container_fs_reads_bytes": "read_bytes",
    "container_fs_writes_bytes": "written_bytes",
    "container_oom_events": "oom_kills",
}


class UnitRow(msgspec.Struct):
    """The usage of one unit. A number is None if the kernel does not say it.

    Attributes:
        kind: what it is, such as `systemd` or `container`.
        unit: its name.
        id: the path of its control group.
        cpu_seconds: processor time since the group began.
        memory_bytes: the memory that it needs: without what the kernel may drop at once.
        memory_limit_bytes: the limit of its memory; None: it has none.
        processes: the number of its processes.
        read_bytes: what it has read from devices.
        written_bytes: what it has written to devices.
        oom_kills: its processes that were killed for lack of memory.
    """

    kind: str
    unit: str
    id: str
    cpu_seconds: float | None = None
    memory_bytes: float | None = None
    memory_limit_bytes: float | None = None
    processes: float | None = None
    read_bytes: float | None = None
    written_bytes: float | None = None
    oom_kills: float | None = None


def summarize(tables: Iterable[Table]) -> list[UnitRow]:
    """Make one row per unit, sorted by kind and name.

    Args:
        tables: all tables; those of units are found by their names.
    """
    rows: dict[tuple[str, str, str], UnitRow] = {}
    for table in tables:
        field = _FIELDS.get(table.name)
        names = table.series.names
        if field is None or any(name not in names for name in _KEY):
            continue
        kind, unit, id_ = (names.index(name) for name in _KEY)
        for labels, value in zip(
            table.series.values, np.asarray(table.values, np.float64).tolist(), strict=False
        ):
            key = labels[kind], labels[unit], labels[id_]
            row = rows.setdefault(key, UnitRow(*key))
            setattr(row, field, (getattr(row, field) or 0.0) + value)
    return [rows[key] for key in sorted(rows)]


class UnitMetric(msgspec.Struct):
    """A metric of a unit that its manifest describes.

    Attributes:
        kind: the kind of the unit.
        unit: its name.
        metric: the name of the metric.
        display_name: its name for people.
        graph_type: how it is to be drawn, as the manifest says.
        value: its value now; of several series, such as one per cartridge, the sum.
    """

    kind: str
    unit: str
    metric: str
    display_name: str
    graph_type: str
    value: float


def described(tables: Iterable[Table]) -> list[UnitMetric]:
    """Make one row per described metric of each unit, sorted by unit and metric.

    Args:
        tables: all tables; those of units are found by their names and labels.
    """
    by_name = {name: table for table in tables for name in (table.name, table.full_name)}
    info = by_name.get(INFO)
    if info is None or any(name not in info.series.names for name in _DESCRIPTION):
        return []
    places = [info.series.names.index(name) for name in _DESCRIPTION]
    sums: dict[str, dict[tuple[str, str], float]] = {}
    rows = []
    for labels in info.series.values[: len(info)]:
        kind, unit, metric, display_name, graph_type = (labels[place] for place in places)
        if metric not in sums:
            sums[metric] = _sums(by_name.get(metric))
        value = sums[metric].get((kind, unit))
        if value is not None:
            rows.append(UnitMetric(kind, unit, metric, display_name or metric, graph_type, value))
    return sorted(rows, key=lambda row: (row.kind, row.unit, row.metric))


def _sums(table: Table | None) -> dict[tuple[str, str], float]:
    """Return the sums of a table's values by kind and name of their units."""
    found: dict[tuple[str, str], float] = {}
    if table is None or any(name not in table.series.names for name in ("kind", "unit")):
        return found
    kind, unit = (table.series.names.index(name) for name in ("kind", "unit"))
    values = np.asarray(table.values, np.float64).tolist()
    for labels, value in zip(table.series.values, values, strict=False):
        key = labels[kind], labels[unit]
        found[key] = found.get(key, 0.0) + value
    return found
