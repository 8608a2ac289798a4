# SPDX-License-Identifier: Apache-2.0
"""From numbers in memory to the bytes of a scrape: RPC families of many label sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter
from typing import Any

from benchmarks import operations
from benchmarks.contender import Contender, Group, Timer
from benchmarks.groups.instruments import prometheus_families

LABEL_SETS = 1000


def label_sets(count: int) -> Iterator[tuple[str, ...]]:
    """Label values of that many methods."""
    for number in range(count):
        yield tuple((operations.LABELS | {"method": f"method_{number}"}).values())


def repeated(render: Callable[[], bytes]) -> Timer:
    def timer(loops: int) -> float:
        begun = perf_counter()
        size = sum(len(render()) for _ in range(loops))
        took = perf_counter() - begun
        if not size:
            raise RuntimeError("nothing was rendered")
        return took

    return timer


def tables(count: int) -> list[Any]:
    """What the collector hands to its exposition."""
    import numpy as np

    import shmetrics
    from shmetrics.exposition.table import Series, Table

    series = Series(operations.LABELS, label_sets(count))
    ones = np.ones(count)
    buckets = np.zeros((count, len(shmetrics.DEFAULT_BUCKETS) + 1), np.uint64)
    buckets[:, 6] = 1
    prefix, help_ = "oslo_messaging_rpc_client", "RPC calls"
    return [
        Table(f"{prefix}_invocation_start", "counter", help_, series, values=ones),
        Table(f"{prefix}_invocation_end", "counter", help_, series, values=ones),
        Table(
            f"{prefix}_processing_seconds",
            "histogram",
            help_,
            series,
            bounds=shmetrics.DEFAULT_BUCKETS,
            buckets=buckets,
            sums=ones * 0.0123,
            created=ones * 1.7e9,
        ),
    ]


def ours(count: int, openmetrics: bool) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        from shmetrics.exposition import openmetrics as newer
        from shmetrics.exposition import text

        shown = tables(count)
        render = (newer if openmetrics else text).render
        render(shown, {"hostname": "host-17"})  # label text is prepared once per series
        yield repeated(lambda: render(shown, {"hostname": "host-17"}))

    return stage


def theirs(openmetrics: bool) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        import prometheus_client
        from prometheus_client.openmetrics import exposition

        library: Any = prometheus_client
        if not openmetrics:  # as text these would be gauges of their own, which we do not show
            library.disable_created_metrics()
        start, end, seconds = prometheus_families(library)
        for values in label_sets(LABEL_SETS):
            start.labels(*values).inc()
            end.labels(*values).inc()
            seconds.labels(*values).observe(0.0123)
        generate: Any = exposition if openmetrics else library
        yield repeated(lambda: generate.generate_latest(library.REGISTRY))

    return stage


SCRAPE = Group(
    "scrape",
    f"Rendering the RPC client's families, {LABEL_SETS} label sets",
    "28 lines per label set: two counters, and a histogram of 23 bounds. Without the network.",
    "text",
    (
        Contender("text", "shmetrics, text", ours(LABEL_SETS, openmetrics=False)),
        Contender("openmetrics", "shmetrics, OpenMetrics", ours(LABEL_SETS, openmetrics=True)),
        Contender("text-10", "shmetrics, text, ten times as many", ours(10 * LABEL_SETS, False)),
        Contender("prometheus", "prometheus_client, text", theirs(openmetrics=False)),
        Contender(
            "prometheus-openmetrics", "prometheus_client, OpenMetrics", theirs(openmetrics=True)
        ),
    ),
)
