# SPDX-License-Identifier: Apache-2.0
"""Series of units are summed up to a row each."""

from __future__ import annotations

import numpy as np

from shmetrics.tables.table import Series, Table
from shmetrics.tables.units import INFO, UnitMetric, UnitRow, described, summarize

WEB = ("systemd", "web.service", "/system.slice/web.service")
DB = ("container", "db", "/docker/0123")


def table(name: str, rows: dict[tuple[str, ...], float], *more: str) -> Table:
    series = Series(("kind", "unit", "id", *more), list(rows))
    return Table(name, "gauge", "", series, values=np.array(list(rows.values())))


def test_a_row_has_the_sum_over_devices() -> None:
    found = summarize(
        [
            table("container_cpu_usage_seconds", {WEB: 1.5, DB: 2.5}),
            table("container_memory_working_set_bytes", {DB: 100.0}),
            table("container_fs_reads_bytes", {(*WEB, "8:0"): 3.0, (*WEB, "8:16"): 4.0}, "device"),
        ]
    )
    assert found == [
        UnitRow(*DB, cpu_seconds=2.5, memory_bytes=100.0),
        UnitRow(*WEB, cpu_seconds=1.5, read_bytes=7.0),
    ]


def test_families_of_others_do_not_matter() -> None:
    names = Series(("name",), [("db",)])
    cadvisor = Table("container_processes", "gauge", "", names, values=np.array([3.0]))
    assert summarize([cadvisor, table("jobs", {WEB: 1.0})]) == []


def test_a_family_with_more_series_than_numbers() -> None:
    series = Series(("kind", "unit", "id"), [WEB, DB])
    processes = Table("container_processes", "gauge", "", series, values=np.array([3.0]))
    assert summarize([processes]) == [UnitRow(*WEB, processes=3.0)]


def test_metrics_that_manifests_describe() -> None:
    def gauge(name: str, names: tuple[str, ...], rows: dict[tuple[str, ...], float]) -> Table:
        series = Series(names, list(rows))
        return Table(name, "gauge", "", series, values=np.array(list(rows.values())))

    said: dict[tuple[str, ...], float] = {
        ("a", "gear", "uptime", "Uptime", "line"): 1.0,
        ("b", "gear", "uptime", "Uptime", "line"): 1.0,
        ("a", "gear", "jobs_total", "", "bar"): 1.0,
        ("a", "gear", "gone", "Gone", ""): 1.0,
    }
    info = gauge(INFO, ("unit", "kind", "metric", "display_name", "graph_type"), said)
    uptime: dict[tuple[str, ...], float] = {
        ("a", "gear", "x"): 2.0,
        ("a", "gear", "y"): 3.0,
        ("c", "gear", "x"): 9.0,
    }
    jobs = Table(
        "jobs", "counter", "", Series(("unit", "kind"), [("a", "gear")]), values=np.array([7.0])
    )
    tables = [info, gauge("uptime", ("unit", "kind", "cart"), uptime), jobs]
    assert described(tables) == [
        UnitMetric("gear", "a", "jobs_total", "jobs_total", "bar", 7.0),
        UnitMetric("gear", "a", "uptime", "Uptime", "line", 5.0),
    ]
    assert described([jobs]) == []


def test_the_gatherer_describes_metrics_under_the_name_that_is_read() -> None:
    from shmetrics.lines.recorder import INFO as WRITTEN

    assert WRITTEN == INFO
