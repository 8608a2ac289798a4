# SPDX-License-Identifier: Apache-2.0
"""A collector with 200,000 living series, to one with 10,000: what it drains, and its text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from time import thread_time
from typing import Any

from benchmarks import node
from benchmarks.contender import Contender, Effort, Group, Timer

LANES = 10  # each with a family of its own
FEW, MANY = 10_000, 200_000
RECORDS = 4096
STORE_BYTES = 1 << 30


def collector_of(directory: Any) -> Any:
    """A collector with room for all of it. It listens nowhere."""
    from shmetrics.collector.collector import Collector, Settings
    from shmetrics.lanes.grants import LaneSettings
    from shmetrics.lanes.lane_files import Sizes
    from shmetrics.store.self_metrics import SelfMetrics

    sizes = Sizes(RECORDS, 8 << 20, 1 << 20, 64)
    settings = Settings(store_bytes=STORE_BYTES, lanes=LaneSettings(sizes))
    return Collector(directory, settings, SelfMetrics("benchmark"))


def living(collector: Any, series: int, opened: ExitStack) -> list[Any]:
    """Lanes of living processes, which have so many series of histograms in all."""
    from shmetrics import layout
    from shmetrics.dictionary import Definition
    from shmetrics.registration.peer import Peer
    from shmetrics.registration.protocol import Hello
    from tests.nodes.hostile import LaneFile

    peer = Peer(os.getpid(), os.getuid(), os.getgid())
    lanes = []
    for number in range(LANES):
        granted = collector.grant(peer, Hello(layout.LAYOUT_VERSION, RECORDS, "service"))
        lane = opened.enter_context(closing(LaneFile(granted.lane_fd)))
        name = f"took_{number}_seconds"
        took = Definition(
            layout.TYPE_HISTOGRAM, name, "Time", "", "", ("host", "queue"), (0.1, 1.0, 10.0)
        )
        family = lane.family(took)
        for at in range(series // LANES):
            lane.series(took.type, family, f"host-{at}", f"queue-{at % 7}")
        lanes.append(lane)
    while sum(map(len, collector.families.of_emitters())) < series:
        collector.drain()
    return lanes


def draining(collector: Any, lanes: list[Any], series: int) -> float:
    """Processor time of draining an event of each series."""
    from shmetrics import layout

    kinds = {name: kind for kind, name in layout.KIND_NAMES.items()}
    seconds, of_a_lane = 0.0, series // LANES
    for first in range(0, of_a_lane, RECORDS):
        for lane in lanes:
            for at in range(first, min(first + RECORDS, of_a_lane)):
                lane.record(kinds["observe"], at + 1, 0.2)
        begun = thread_time()
        collector.drain()
        seconds += thread_time() - begun
    return seconds


def rendering(collector: Any) -> float:
    """Processor time of the text of all series."""
    from shmetrics.render import text

    begun = thread_time()
    for _ in text.pieces(collector.tables(), {"hostname": "host-17"}):
        pass
    return thread_time() - begun


def crowded(series: int, is_text: bool) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with ExitStack() as opened:
            collector = collector_of(opened.enter_context(node.directory()))
            opened.callback(collector.close)
            lanes = living(collector, series, opened)
            rendering(collector)  # label text is prepared once per series

            def timer(loops: int) -> float:
                if is_text:
                    return sum(rendering(collector) for _ in range(loops))
                return sum(draining(collector, lanes, series) for _ in range(loops))

            yield timer

    return stage


def contenders(is_text: bool) -> tuple[Contender, ...]:
    return (
        Contender("few", f"{FEW:,} series", crowded(FEW, is_text)),
        Contender("many", f"{MANY:,} series", crowded(MANY, is_text)),
    )


NOTE = f"Histograms of {LANES} lanes, with default settings but for a store of 1 GiB"
EFFORT = Effort(rounds=3, values=5, warmups=1, loops=1)
DRAIN = Group(
    "crowded-drain",
    "200,000 living series: draining an event of each",
    f"{NOTE}. Processor time.",
    "many",
    contenders(is_text=False),
    effort=EFFORT,
)
TEXT = Group(
    "crowded-text",
    "200,000 living series: their text",
    f"{NOTE}, from the cells to the last piece of text. Processor time.",
    "many",
    contenders(is_text=True),
    effort=EFFORT,
)
