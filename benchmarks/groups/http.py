# SPDX-License-Identifier: Apache-2.0
"""A scrape over HTTP, from the request to the last byte, and what it leaves the process with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter

from benchmarks import scraped
from benchmarks.contender import Contender, Effort, Group, Timer, only_in_full
from benchmarks.groups.scrape import LABEL_SETS, MANY, Stage

Open = Callable[[int], AbstractContextManager[scraped.Node]]

SCRAPES = 3


def scrapes(open_: Open, count: int, times: int, encoding: str = "identity") -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with open_(count) as node:
            if times > 1:
                node.scrape(encoding)  # label text is made once per series

            def timer(loops: int) -> float:
                begun = perf_counter()
                for _ in range(loops * times):
                    if node.scrape(encoding) < 50 * count:
                        raise RuntimeError("not everything was shown")
                return (perf_counter() - begun) / times

            yield timer

    return stage


def resident(open_: Open, count: int, *, most: bool = False) -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        def measure(loops: int) -> float:
            with open_(count) as node:
                for _ in range(SCRAPES if count else 1):
                    node.scrape()
                return node.resident_bytes(most=most)

        yield measure

    return stage


HTTP = Group(
    "http",
    f"A scrape over HTTP, {LABEL_SETS:,} label sets",
    "A process with its own server on the loopback; the client reads all and parses nothing. Every "
    "lane drained, every number taken, text made, compressed and sent.",
    "gzip",
    (
        Contender("gzip", "shmetrics, gzip", scrapes(scraped.collector, LABEL_SETS, 10, "gzip")),
        Contender("text", "shmetrics, not compressed", scrapes(scraped.collector, LABEL_SETS, 10)),
        Contender(
            "prometheus",
            "prometheus_client, not compressed",
            scrapes(scraped.prometheus, LABEL_SETS, 1),
        ),
        Contender(
            "gzip-many",
            f"shmetrics, gzip, {MANY:,} label sets",
            scrapes(scraped.collector, MANY, 3, "gzip"),
            only_in_full,
        ),
    ),
    effort=Effort(rounds=3, values=1, warmups=0, loops=1),
)

MEMORY = Group(
    "memory",
    f"Memory of a process with {LABEL_SETS:,} label sets, after {SCRAPES} scrapes",
    "Resident, as the kernel counts it: anonymous, of files, and shared; ours includes the pages "
    "of the store, which is a file. *At most* is while the text was made.",
    "collector",
    (
        Contender("collector", "shmetrics", resident(scraped.collector, LABEL_SETS)),
        Contender(
            "collector-most",
            "shmetrics, at most",
            resident(scraped.collector, LABEL_SETS, most=True),
            only_in_full,
        ),
        Contender("collector-none", "shmetrics, no label set", resident(scraped.collector, 0)),
        Contender("prometheus", "prometheus_client", resident(scraped.prometheus, LABEL_SETS)),
        Contender(
            "prometheus-most",
            "prometheus_client, at most",
            resident(scraped.prometheus, LABEL_SETS, most=True),
            only_in_full,
        ),
        Contender(
            "collector-many",
            f"shmetrics, {MANY:,} label sets",
            resident(scraped.collector, MANY),
            only_in_full,
        ),
    ),
    unit="byte",
    effort=Effort(rounds=3, values=1, warmups=0, loops=1),
)
