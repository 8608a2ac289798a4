# SPDX-License-Identifier: Apache-2.0
"""The protobuf format: our encoder, and Google's runtime with the same messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any

from benchmarks.contender import Contender, Group, Timer
from benchmarks.groups.scrape import tables

LABEL_SETS = 1000
COLUMNS = 240  # 30 doublings
OBSERVATIONS = 200


def repeated(render: Callable[[], bytes]) -> Timer:
    def timer(loops: int) -> float:
        begun = perf_counter()
        size = sum(len(render()) for _ in range(loops))
        took = perf_counter() - begun
        if not size:
            raise RuntimeError("nothing was rendered")
        return took

    return timer


def native_tables(count: int) -> list[Any]:
    """Return what the collector hands to its exposition, each series with OBSERVATIONS in native
    buckets about the middle of them."""
    import numpy as np

    from shmetrics.tables.table import Native

    *counters, histogram = tables(count)
    places = np.random.default_rng(7).normal(COLUMNS / 2, 16, (count, OBSERVATIONS)).astype(int)
    counts = np.zeros((count, COLUMNS), np.uint64)
    np.add.at(counts, (np.arange(count)[:, None], places.clip(0, COLUMNS - 1)), np.uint64(1))
    buckets = histogram.buckets * np.uint64(OBSERVATIONS)
    native = Native(3, 2.0**-20, -159, np.zeros(count, np.uint64), counts)
    return [*counters, replace(histogram, buckets=buckets, native=native)]


def ours(count: int) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        from shmetrics.render import protobuf

        shown = native_tables(count)
        protobuf.render(shown, {"hostname": "host-17"})  # labels are made once per series
        yield repeated(lambda: protobuf.render(shown, {"hostname": "host-17"}))

    return stage


@contextmanager
def runtime() -> Iterator[Timer]:
    from tests.render import client_model

    shown = native_tables(LABEL_SETS)
    yield repeated(lambda: client_model.render(shown, {"hostname": "host-17"}))


PROTOBUF = Group(
    "protobuf",
    f"The same in Prometheus's protobuf format, {LABEL_SETS} label sets",
    f"With native histograms of {OBSERVATIONS} observations each, in some 80 of {COLUMNS} buckets.",
    "protobuf",
    (
        Contender("protobuf", "shmetrics", ours(LABEL_SETS)),
        Contender("protobuf-10", "shmetrics, ten times as many", ours(10 * LABEL_SETS)),
        Contender("runtime", "protobuf's own runtime (upb)", runtime),
    ),
)
