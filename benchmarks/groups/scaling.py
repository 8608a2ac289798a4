# SPDX-License-Identifier: Apache-2.0
"""More of everything on one node: processes that record at once, and series in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle, islice
from time import perf_counter
from typing import Any

from benchmarks import crowd, world
from benchmarks.contender import Contender, Effort, Group, Timer
from benchmarks.groups.instruments import a_histogram

Stage = Callable[[], AbstractContextManager[Timer]]

PROCESSES = (1, 2, 4, 8)
EVENTS = 400_000
THEIR_EVENTS = 20_000
SERIES = (1, 10, 100, 1_000, 10_000)


def our_observes() -> Timer:
    import shmetrics

    return world.register(a_histogram(shmetrics))


def our_observes_with_room() -> Timer:
    return world.in_bursts(crowd.on_cpu(our_observes()), 1)


def their_observes() -> Timer:
    import prometheus_client

    return a_histogram(prometheus_client)


def their_observes_on_cpu() -> Timer:
    return crowd.on_cpu(their_observes())


def per_event(
    processes: int,
    events: int,
    around: Callable[[], AbstractContextManager[None]],
    prepare: Callable[[], Timer],
) -> Stage:
    """Return the stage of the processes' own timers, per event."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with around():
            yield lambda loops: crowd.at_once(processes, events, prepare)[0] / events * loops

    return stage


def of_all(
    processes: int,
    events: int,
    around: Callable[[], AbstractContextManager[None]],
    prepare: Callable[[], Timer],
) -> Stage:
    """Time that passes, by the events of all processes together."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with around():

            def timer(loops: int) -> float:
                _, took = crowd.at_once(processes, events, prepare)
                return took / (events * processes) * loops

            yield timer

    return stage


def title(processes: int) -> str:
    return f"{processes} process{'es' if processes > 1 else ''}"


PROCESSOR = Group(
    "processes",
    "Processor time per event, several processes at once",
    "`Histogram.observe()`, in bursts that the ring has room for. No process waits for another: "
    "what more of them cost each other is caches and, beyond the number of cores, being put aside.",
    "1",
    (
        *(
            Contender(
                str(n),
                f"shmetrics, {title(n)}",
                per_event(n, EVENTS, world.collector, our_observes_with_room),
            )
            for n in PROCESSES
        ),
        *(
            Contender(
                f"multiprocess-{n}",
                f"prometheus_client multiprocess, {title(n)}",
                per_event(n, THEIR_EVENTS, world.multiprocess, their_observes_on_cpu),
            )
            for n in (PROCESSES[0], PROCESSES[-1])
        ),
    ),
    effort=Effort(rounds=4, values=3, warmups=1, loops=1),
)
NODE = Group(
    "node",
    "Time per event of the whole node, several processes at once",
    "The same, flat out: time that passes, by the events of all processes. 10 ns are a hundred "
    "million events per second. One core is the collector's while it drains.",
    "1",
    (
        *(
            Contender(
                str(n), f"shmetrics, {title(n)}", of_all(n, EVENTS, world.collector, our_observes)
            )
            for n in PROCESSES
        ),
        *(
            Contender(
                f"multiprocess-{n}",
                f"prometheus_client multiprocess, {title(n)}",
                of_all(n, THEIR_EVENTS, world.multiprocess, their_observes),
            )
            for n in (PROCESSES[0], PROCESSES[-1])
        ),
    ),
    effort=Effort(rounds=4, values=3, warmups=1, loops=1),
)


def histograms(library: Any, count: int) -> Timer:
    """An observation in each of them in turn."""
    from shmetrics import DEFAULT_BUCKETS

    family = library.Histogram("job_seconds", "Per job", ["queue"], buckets=DEFAULT_BUCKETS)
    children = [family.labels(f"queue-{number}") for number in range(count)]
    for child in children:
        child.observe(0.01)
    turns = cycle(children)

    def timer(loops: int) -> float:
        chosen = list(islice(turns, loops))
        begun = perf_counter()
        for child in chosen:
            child.observe(0.01)
        return perf_counter() - begun

    return timer


def our_series(count: int) -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with world.collector():
            import shmetrics

            yield world.in_bursts(world.register(histograms(shmetrics, count)), 1)

    return stage


def their_series(count: int) -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with world.multiprocess():
            import prometheus_client

            yield histograms(prometheus_client, count)

    return stage


BY_SERIES = Group(
    "series",
    "Histogram.observe() by the number of series in turn",
    "One process, one after the other, so that each series has left the caches when its turn comes "
    "again. The lane grows with its series.",
    "1",
    tuple(
        Contender(f"{prefix}{n}", f"{library}, {n:,} series", make(n))
        for prefix, library, make, counts in (
            ("", "shmetrics", our_series, SERIES),
            ("multiprocess-", "prometheus_client multiprocess", their_series, SERIES[::2]),
        )
        for n in counts
    ),
    effort=Effort(rounds=4, values=3),
)
