# SPDX-License-Identifier: Apache-2.0
"""Many processes on one node: what they cost a collector that has nothing to do, and a scrape."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import crowd, node, world
from benchmarks.contender import SLOW, Contender, Effort, Group, Timer, in_full
from benchmarks.groups.instruments import prometheus_families
from benchmarks.scraped import label_sets

IDLE_S = 10.0
REGISTERED_S = 60.0
PROCESSES = 32


def processor_s(pid: int) -> float:
    """Return how long the threads of a process have run on any core, in seconds. The kernel counts
    in nanoseconds there, for each thread."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def hold_lanes(count: int, opened: ExitStack) -> None:
    """Registers so often, as that many processes would, and records nothing."""
    from shmetrics import layout, runtime_dir
    from shmetrics.registration.client import Attempt, Grant
    from shmetrics.registration.protocol import Hello

    path = f"{runtime_dir.choose()}/register.sock"
    deadline = time.monotonic() + REGISTERED_S
    while count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count} lanes were not granted")
        attempt = Attempt(path, Hello(layout.LAYOUT_VERSION, 0, "service"))
        found = attempt.answer(wait_ns=1_000_000_000)
        if isinstance(found, Grant):
            opened.callback(found.lane.close)
            count -= 1
        else:  # too many in this second
            attempt.close()
            time.sleep(0.05)


def idle(count: int) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with ExitStack() as opened:
            pid = opened.enter_context(world.collector_process())
            hold_lanes(count, opened)
            time.sleep(2.0)  # the first ticks read definitions

            def share(loops: int) -> float:
                begun, before = perf_counter(), processor_s(pid)
                time.sleep(in_full(IDLE_S, 2.0))
                return (processor_s(pid) - before) / (perf_counter() - begun)

            yield share

    return stage


IDLE = Group(
    "idle",
    "A collector that has nothing to do",
    f"Share of one core over {IDLE_S:g} s (a quick look: 2 s), at the default tick of one second, "
    "of a whole collector process. Each lane is held by a process that records nothing.",
    "lanes-500",
    (
        Contender("lanes-0", "no lane", idle(0)),
        Contender("lanes-50", "50 lanes", idle(50)),
        Contender("lanes-500", "500 lanes", idle(500)),
    ),
    unit="share",
    effort=Effort(rounds=3, values=1, warmups=0, loops=1),
)


def ours(count: int, sets: int) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        from shmetrics.render import text

        with ExitStack() as opened:
            collector = node.collector(opened.enter_context(node.directory()))
            opened.callback(collector.close)
            node.lanes(collector, count, sets, opened, shared=True)

            def timer(loops: int) -> float:
                begun = perf_counter()
                for _ in range(loops):
                    size = len(text.render(collector.tables(), {"hostname": "host-17"}))
                    if size < sets * 100:
                        raise RuntimeError("not everything was shown")
                return perf_counter() - begun

            timer(1)  # label text is prepared once per series
            yield timer

    return stage


def their_label_sets(sets: int) -> Timer:
    import prometheus_client

    families = prometheus_families(prometheus_client)

    def fill(times: int) -> float:
        for values in label_sets(sets):
            for family in families:
                child: Any = family.labels(*values)
                (child.observe if hasattr(child, "observe") else child.inc)(0.0123)
        return 0.0

    return fill


def theirs(processes: int, sets: int) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with world.multiprocess():
            crowd.at_once(processes, 1, lambda: their_label_sets(sets))
            from prometheus_client import CollectorRegistry, generate_latest
            from prometheus_client.multiprocess import MultiProcessCollector

            registry = CollectorRegistry()
            found: Any = MultiProcessCollector
            found(registry, os.environ["PROMETHEUS_MULTIPROC_DIR"])

            def timer(loops: int) -> float:
                begun = perf_counter()
                for _ in range(loops):
                    if len(generate_latest(registry)) < sets * 100:
                        raise RuntimeError("not everything was shown")
                return perf_counter() - begun

            yield timer

    return stage


SHARED = Group(
    "lanes",
    "A scrape of many processes with the same 200 label sets",
    "The RPC client's families, from every lane or file to the text, without the network. One call "
    "in each label set of each process.",
    "lanes-500",
    (
        Contender("lanes-500", "shmetrics, 500 lanes", ours(500, 200)),
        Contender("lanes-32", "shmetrics, 32 lanes", ours(32, 200)),
        Contender(
            "multiprocess", "prometheus_client, multiprocess, 32 processes", theirs(PROCESSES, 200)
        ),
    ),
    effort=SLOW,
)
