# SPDX-License-Identifier: Apache-2.0
"""A collector that comes back: from the open directory to the text of its first scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import perf_counter

from benchmarks import node
from benchmarks.contender import Contender, Group, Timer


def restarts(count: int, label_sets: int) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        from shmetrics.render import text

        with ExitStack() as opened:
            directory = opened.enter_context(node.directory())

            def timer(loops: int) -> float:
                took = 0.0
                for _ in range(loops):
                    begun = perf_counter()
                    again = node.collector(directory)
                    size = len(text.render(again.tables(), {"hostname": "host-17"}))
                    took += perf_counter() - begun
                    again.close()
                    if size < count * label_sets * 100:
                        raise RuntimeError("not everything was shown")
                return took

            collector = node.collector(directory)
            node.lanes(collector, count, label_sets, opened, shared=False)
            collector.close()
            yield timer

    return stage


RESTART = Group(
    "restart",
    "A collector that comes back, to its first scrape",
    "Reads the store's log and every lane's dictionary, and renders all. Without starting Python.",
    "large",
    (
        Contender("large", "500 lanes, 10,000 label sets", restarts(500, 20)),
        Contender("small", "50 lanes, 1,000 label sets", restarts(50, 20)),
    ),
)
