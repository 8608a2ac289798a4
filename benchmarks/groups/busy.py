# SPDX-License-Identifier: Apache-2.0
"""An event in a process that does something else in between, and has to fetch everything anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter

from benchmarks import operations, world
from benchmarks.contender import Contender, Effort, Group, Timer

# What the work reads: more than the caches that a core has for itself.
MEMORY = bytes(4 << 20)
DOCUMENT = json.dumps([{**operations.LABELS, "id": number} for number in range(5)])


def work() -> None:
    """Some of what a request costs: a document each way, and a look at much memory."""
    json.dumps(json.loads(DOCUMENT))
    MEMORY.find(1)


def none() -> Callable[[], object]:
    return lambda: None


def inc() -> Callable[[], object]:
    import shmetrics

    method: Callable[[], object] = shmetrics.Counter("jobs", "Jobs done", ["queue"]).labels("x").inc
    return method


def observe() -> Callable[[], object]:
    import shmetrics

    child = shmetrics.Histogram("job_seconds", "Per job", ["queue"]).labels("fast")
    return lambda: child.observe(0.01)


def call() -> Callable[[], object]:
    from shmetrics import rpc

    series = rpc.client_call(**operations.LABELS)

    def block() -> None:
        with series():
            pass

    return block


def theirs() -> Callable[[], object]:
    import prometheus_client

    child = prometheus_client.Histogram("job_seconds", "Per job", ["queue"]).labels("fast")
    return lambda: child.observe(0.01)


def after_work(
    around: Callable[[], AbstractContextManager[None]], make: Callable[[], Callable[[], object]]
) -> Callable[[], AbstractContextManager[Timer]]:
    """The clock runs for the event alone."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with around():
            event = make()
            event()

            def timer(loops: int) -> float:
                seconds = 0.0
                for _ in range(loops):
                    work()
                    begun = perf_counter()
                    event()
                    seconds += perf_counter() - begun
                return seconds

            yield timer

    return stage


BUSY = Group(
    "busy",
    "An event between other work",
    "A document is decoded and encoded, 4 MiB of memory are read, then comes one event: what it "
    "needs has left the nearest caches. The *floor* is an empty function of Python, called as the "
    "others are, and the clock that is read twice for each event.",
    "observe",
    (
        Contender("floor", "floor: an empty function", after_work(nullcontext, none)),
        Contender("inc", "shmetrics, `Counter.inc()`", after_work(world.collector, inc)),
        Contender("observe", "shmetrics, `observe()`", after_work(world.collector, observe)),
        Contender("call", "shmetrics, `with call():`", after_work(world.collector, call)),
        Contender("prometheus", "prometheus_client, `observe()`", after_work(nullcontext, theirs)),
        Contender(
            "multiprocess",
            "prometheus_client multiprocess, `observe()`",
            after_work(world.multiprocess, theirs),
        ),
    ),
    effort=Effort(rounds=5, values=5, warmups=1, loops=400),
)
