# SPDX-License-Identifier: Apache-2.0
"""prometheus_client's own metrics as our tables, and back."""

from __future__ import annotations

import math

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    Summary,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition

from shmetrics.render import openmetrics, text
from shmetrics.tables.registry import tables_of
from tests.render.store_collector import StoreCollector


def agent() -> CollectorRegistry:
    """Return a registry with all metrics of an agent about itself."""
    registry = CollectorRegistry()
    drops = Counter("drops", 'Dropped "by" cause', ["cause"], registry=registry)
    drops.labels("full\n").inc(3)
    drops.labels("").inc(0.5)
    Counter("scrapes", "No labels", registry=registry).inc(2**60)
    lanes = Gauge("lanes", "By state", ["state", "kind"], registry=registry)
    lanes.labels("open", "x").set(-math.inf)
    seconds = Histogram(
        "drain_seconds", "Time", ["le_", "zone"], buckets=(0.001, 1), registry=registry
    )
    for value in (0.0005, 0.5, 0.5, 7.0):
        seconds.labels("a", "b").observe(value)
    seconds.labels("c", "d")
    Histogram("delta", "Negative", buckets=(-1, 1), registry=registry).observe(-3)
    Gauge("nothing_yet", "Labels, no series", ["x"], registry=registry)
    Histogram("nothing_either", "Labels, no series", ["x"], registry=registry)
    Gauge("size", "With a unit", unit="bytes", registry=registry).set(1)
    Info("build", "Version", registry=registry).info({"version": "1.0", "le": "label"})
    PlatformCollector(registry=registry)
    return registry


def test_openmetrics_says_what_prometheus_client_says() -> None:
    registry = agent()
    expected = exposition.generate_latest(registry)  # type: ignore[no-untyped-call]
    assert openmetrics.render(tables_of(registry), {}, created=True) == expected


def test_text_says_what_prometheus_client_says_but_created() -> None:
    registry = agent()
    families = generate_latest(registry).decode().split("# HELP ")[1:]
    kept = [
        f"# HELP {family}"
        for family in families
        if not family.partition(" ")[0].endswith("_created")
    ]
    assert text.render(tables_of(registry), {}).decode() == "".join(kept)


def test_numbers_of_the_process() -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    names = {table.name for table in tables_of(registry)}
    assert {"process_cpu_seconds", "process_resident_memory_bytes"} <= names


def test_back_in_a_registry() -> None:
    tables = tables_of(agent())
    registry = CollectorRegistry()
    registry.register(StoreCollector(lambda: tables, {"hostname": "n1"}))
    shown = exposition.generate_latest(registry)  # type: ignore[no-untyped-call]
    assert shown == openmetrics.render(tables, {"hostname": "n1"}, created=True)
    assert b'drops_total{cause="",hostname="n1"} 0.5' in shown


def test_created_can_be_left_out() -> None:
    tables = tables_of(agent())
    names = {
        sample.name
        for metric in StoreCollector(lambda: tables, {}, created=False).collect()
        for sample in metric.samples
    }
    assert not [name for name in names if name.endswith("_created")]
    assert "drops_total" in names


def test_what_a_table_cannot_hold_is_refused() -> None:
    for make in (
        lambda registry: Summary("s", "A summary", registry=registry),
        lambda registry: Enum("s", "An enum", states=["a"], registry=registry),
    ):
        registry = CollectorRegistry()
        make(registry)
        with pytest.raises(ValueError, match=r"s: a (summary|stateset) cannot be shown"):
            tables_of(registry)


def test_label_names_that_differ_are_refused() -> None:
    class Odd:
        def collect(self) -> list[Metric]:
            metric = Metric("odd", "", "gauge")
            metric.add_sample("odd", {"a": "1"}, 1)
            metric.add_sample("odd", {"b": "1"}, 1)
            return [metric]

    registry = CollectorRegistry()
    registry.register(Odd())
    with pytest.raises(ValueError, match="odd: label names differ"):
        tables_of(registry)
