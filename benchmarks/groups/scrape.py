# SPDX-License-Identifier: Apache-2.0
"""From numbers in memory to the text of a scrape: RPC families of many label sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter
from typing import Any

from benchmarks import operations, scraped
from benchmarks.contender import Contender, Effort, Group, Timer, only_in_full

Stage = Callable[[], AbstractContextManager[Timer]]

FEW, LABEL_SETS, MANY = 1_000, 10_000, 100_000
CONSTANTS = {"hostname": "host-17"}
# A repetition of prometheus_client's takes seconds, so there are few; ours is many renderings.
RENDERINGS = 20


def repeated(consume: Callable[[], int], times: int) -> Timer:
    """consume() says how many bytes there were."""

    def timer(loops: int) -> float:
        begun = perf_counter()
        size_bytes = sum(consume() for _ in range(loops * times))
        took = perf_counter() - begun
        if not size_bytes:
            raise RuntimeError("nothing was rendered")
        return took / times

    return timer


def tables(count: int) -> list[Any]:
    """Return what the collector hands to its exposition."""
    import numpy as np

    import shmetrics
    from shmetrics.tables.table import Series, Table

    series = Series(operations.LABELS, scraped.label_sets(count))
    calls = np.arange(count, dtype=np.uint64) % np.uint64(5000)
    buckets = np.zeros((count, len(shmetrics.DEFAULT_BUCKETS) + 1), np.uint64)
    for bucket, part in ((6, 2), (7, 4), (8, 8), (9, 8)):
        buckets[:, bucket] = calls // np.uint64(part)
    prefix, help_ = "oslo_messaging_rpc_client", "RPC calls"
    return [
        Table(f"{prefix}_invocation_start", "counter", help_, series, values=calls),
        Table(f"{prefix}_invocation_end", "counter", help_, series, values=calls),
        Table(
            f"{prefix}_processing_seconds",
            "histogram",
            help_,
            series,
            bounds=shmetrics.DEFAULT_BUCKETS,
            buckets=buckets,
            sums=calls * np.float64(0.0123),
            created=np.full(count, 1.7e9),
        ),
    ]


def ours(count: int, openmetrics: bool = False) -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        from shmetrics.render import openmetrics as newer
        from shmetrics.render import text

        shown = tables(count)
        pieces = newer.pieces_with_created if openmetrics else text.pieces

        def render() -> int:
            return sum(len(piece) for piece in pieces(shown, CONSTANTS))

        render()  # label text is made once per series
        yield repeated(render, RENDERINGS)

    return stage


@contextmanager
def copied() -> Iterator[Timer]:
    """The text, finished, in pieces as they go out, copied one after the other."""
    from shmetrics.render import text

    pieces = list(text.pieces(tables(LABEL_SETS), CONSTANTS))

    def copy() -> int:
        return sum(len(bytearray(piece)) for piece in pieces)

    yield repeated(copy, RENDERINGS)


def theirs(count: int, openmetrics: bool = False) -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        import prometheus_client
        from prometheus_client.openmetrics import exposition

        from benchmarks.prometheus_service import count_calls

        library: Any = prometheus_client
        if not openmetrics:  # as text these would be gauges of their own, which we do not show
            library.disable_created_metrics()
        count_calls(library, count)
        generate: Any = exposition if openmetrics else library
        yield repeated(lambda: len(generate.generate_latest(library.REGISTRY)), 1)

    return stage


SCRAPE = Group(
    "scrape",
    f"Rendering the RPC client's families, {LABEL_SETS:,} label sets",
    "28 lines per label set: two counters, and a histogram of 23 bounds; 280,000 lines, 69 MB. "
    "Without the network. Ours comes in pieces of 256 KiB, each of which is gone before the next "
    "is made; the floor copies the finished pieces into as much new memory each, and lets it go.",
    "text",
    (
        Contender("floor", "floor: copying the text, piece by piece", copied),
        Contender("text", "shmetrics, text", ours(LABEL_SETS)),
        Contender("openmetrics", "shmetrics, OpenMetrics", ours(LABEL_SETS, openmetrics=True)),
        Contender("prometheus", "prometheus_client, text", theirs(LABEL_SETS)),
        Contender("text-few", f"shmetrics, text, {FEW:,} label sets", ours(FEW)),
        Contender("prometheus-few", f"prometheus_client, text, {FEW:,} label sets", theirs(FEW)),
        Contender(
            "prometheus-few-openmetrics",
            f"prometheus_client, OpenMetrics, {FEW:,} label sets",
            theirs(FEW, openmetrics=True),
        ),
        Contender("text-many", f"shmetrics, text, {MANY:,} label sets", ours(MANY), only_in_full),
    ),
    effort=Effort(rounds=3, values=1, warmups=0, loops=1),
)
