# SPDX-License-Identifier: Apache-2.0
"""A collector that comes back: from the open directory to the text of its first scrape."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.contender import Contender, Group, Timer

RECORDS = 64


def lanes(collector: Any, count: int, label_sets: int, opened: ExitStack) -> None:
    """Lanes of living processes, with so many label sets each; no two the same."""
    import os

    from shmetrics import _ring, rpc
    from shmetrics.registration.peer import Peer
    from shmetrics.registration.protocol import Hello
    from tests.collector.hostile import LaneFile

    peer = Peer(os.getpid(), os.getuid(), os.getgid())
    for number in range(count):
        granted = collector.grant(peer, Hello(_ring.LAYOUT_VERSION, RECORDS, "service"))
        lane = opened.enter_context(closing(LaneFile(granted.lane_fd)))
        family = lane.family(rpc.CLIENT)
        for method in range(label_sets):
            values = dict.fromkeys(rpc.CLIENT.label_names, "")
            values |= {"topic": f"topic_{number}", "method": f"method_{method}"}
            lane.series(rpc.CLIENT.type, family, *values.values())


def restarts(count: int, label_sets: int) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        from shmetrics.collector.agent import Agent
        from shmetrics.collector.collector import Collector, Settings
        from shmetrics.collector.directory import Directory
        from shmetrics.exposition import text

        def timer(loops: int) -> float:
            took = 0.0
            for _ in range(loops):
                begun = perf_counter()
                again = Collector(directory, Settings(), Agent("benchmark"))
                size = len(text.render(again.tables(), {"hostname": "host-17"}))
                took += perf_counter() - begun
                again.close()
                if size < count * label_sets * 100:
                    raise RuntimeError("not everything was shown")
            return took

        with ExitStack() as opened:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="shm-restart-"))
            directory = Directory(Path(folder) / "run")
            opened.callback(directory.close)
            collector = Collector(directory, Settings(), Agent("benchmark"))
            lanes(collector, count, label_sets, opened)
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
