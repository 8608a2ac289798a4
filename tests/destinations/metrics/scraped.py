# SPDX-License-Identifier: Apache-2.0
"""Tables to send on, and what a scrape of the same moment shows of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from shmetrics.config import MetricsForward
from shmetrics.render import text
from shmetrics.tables.table import EXEMPLAR, Native, Series, Table

SECONDS = 60.0
NODE = {"hostname": "node-1"}
CREATED = 1_600_000_000.25
ODD = 'a b|c;d,e:f#g/h"i\\j%k~{l}\nm=é'

#: A sample: its name, and its labels in order.
Key = tuple[str, tuple[tuple[str, str], ...]]


def counter(name: str = "jobs", values: Sequence[float] = (5, 2.5), **more: Any) -> Table:
    labels = [("compute", ODD), ("volume", ""), ("api", "x")][: len(values)]
    return Table(
        name,
        "counter",
        "Jobs",
        more.pop("series", Series(("topic", "odd"), labels)),
        values=np.array(values, more.pop("dtype", np.float64)),
        created=np.full(len(values), CREATED),
        **more,
    )


def gauge(name: str = "depth", values: Sequence[float] = (-3.25, 0, 1e7)) -> Table:
    labels = [(f"q{n}",) for n in range(len(values))]
    return Table(name, "gauge", "Depth", Series(("queue",), labels), values=np.array(values, float))


def histogram(name: str = "latency_seconds") -> Table:
    """Return a histogram of two rows, one of them empty, with native buckets and an exemplar."""
    counts = np.zeros((2, 12), np.uint64)
    counts[0, [2, 3, 9]] = (3, 1, 2)
    exemplars = np.zeros(1, EXEMPLAR)
    exemplars["bucket"], exemplars["value"] = 1, 0.75
    exemplars["stamp_ns"] = 1_600_000_001_500_000_000
    exemplars["trace"], exemplars["span"] = 1, 2  # each byte
    return Table(
        name,
        "histogram",
        "Latency",
        Series(("method", "zone"), [("build", "z1"), ("reboot", "z1")]),
        unit="seconds",
        bounds=(0.5, 1.0),
        buckets=np.array([[3, 1, 2], [0, 0, 0]], np.uint64),
        sums=np.array([9.125, 0.0]),
        created=np.full(2, CREATED),
        native=Native(3, 2.0**-5, -4, np.array([0, 0], np.uint64), counts),
        exemplars=exemplars,
    )


def info() -> Table:
    return Table("build", "info", "Build", Series(("version",), [("1",)]), values=np.array([1.0]))


def all_kinds() -> list[Table]:
    return [
        counter(),
        gauge(),
        histogram(),
        info(),
        counter("ticks", [7, 1 << 40], dtype=np.uint64),
    ]


def scraped(tables: Sequence[Table], constants: Mapping[str, str] = NODE) -> dict[Key, float]:
    """Return the samples of a scrape, without labels that have no value: these are none."""
    found: dict[Key, float] = {}
    said = text.render(tables, constants).decode()
    for family in text_string_to_metric_families(said):
        for sample in family.samples:
            labels = sorted(pair for pair in sample.labels.items() if pair[1])
            found[sample.name, tuple(labels)] = sample.value
    return found


def finite(samples: Mapping[Key, float]) -> dict[Key, float]:
    return {key: value for key, value in samples.items() if math.isfinite(value)}


def wanted(to: str, **options: Any) -> MetricsForward:
    """Return a destination that is due as often as can be."""
    return MetricsForward(to=to, **{"interval_seconds": 1, "timeout_seconds": 5, **options})
