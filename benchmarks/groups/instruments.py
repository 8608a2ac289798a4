# SPDX-License-Identifier: Apache-2.0
"""One event from Python: a counter, a histogram, a whole RPC."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import floor, operations, world
from benchmarks.contender import Contender, Group, Timer

Stage = Callable[[], AbstractContextManager[Timer]]


@dataclass(frozen=True)
class Operation:
    """One thing as each library does it: a timer made from the library's own objects."""

    records: int  # that shmetrics writes for it; 0: it adds to a total
    shmetrics: Callable[[Any], Timer]
    prometheus: Callable[[Any], Timer]
    floor: Callable[[Any], Timer] | None = None


def on_floor(operation: Operation, kind: str = "Nothing") -> Stage:
    """kind: the class of _floor.pyx that stands in for the instrument."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        assert operation.floor is not None
        yield operation.floor(getattr(floor.extension(), kind)())

    return stage


def ours(
    operation: Operation, around: Callable[[], AbstractContextManager[None]], bursts: bool = False
) -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with around():
            import shmetrics

            timer = operation.shmetrics(shmetrics)
            timer(100_000)  # register, and fill the ring if nobody drains it
            yield world.in_bursts(timer, operation.records) if bursts else timer

    return stage


def theirs(operation: Operation, multiprocess: bool) -> Stage:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as directory:
            if multiprocess:  # prometheus_client reads it when it is imported
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
            import prometheus_client

            yield operation.prometheus(prometheus_client)

    return stage


def shmetrics_rpc(shmetrics: Any) -> Timer:
    from shmetrics import rpc

    return operations.blocks(rpc.client_call(**operations.LABELS))


def shmetrics_labelled_rpc(shmetrics: Any) -> Timer:
    from shmetrics import rpc

    return operations.labelled_blocks(rpc.client_call)


def prometheus_families(library: Any) -> tuple[Any, Any, Any]:
    """Count what oslo.metrics counts for one RPC."""
    from shmetrics import DEFAULT_BUCKETS

    names = tuple(operations.LABELS)
    return (
        library.Counter("rpc_client_invocation_start", "Started", names),
        library.Counter("rpc_client_invocation_end", "Ended", names),
        library.Histogram("rpc_client_processing_seconds", "Took", names, buckets=DEFAULT_BUCKETS),
    )


def prometheus_rpc(library: Any) -> Timer:
    families = prometheus_families(library)
    return operations.threes(*(family.labels(**operations.LABELS) for family in families))


def prometheus_labelled_rpc(library: Any) -> Timer:
    return operations.labelled_threes(*prometheus_families(library))


def a_counter(library: Any) -> Timer:
    return operations.incs(library.Counter("jobs", "Jobs done", ["queue"]).labels("fast"))


def a_histogram(library: Any) -> Timer:
    from shmetrics import DEFAULT_BUCKETS

    family = library.Histogram("job_seconds", "Per job", ["queue"], buckets=DEFAULT_BUCKETS)
    return operations.observes(family.labels("fast"))


def a_family(library: Any, kind: str) -> Any:
    from shmetrics import DEFAULT_BUCKETS

    more = {"buckets": DEFAULT_BUCKETS} if kind == "Histogram" else {}
    return getattr(library, kind)(f"{kind.lower()}_jobs", "Jobs", ["queue", "kind"], **more)


def with_family(kind: str, use: Callable[[Any], Timer]) -> Callable[[Any], Timer]:
    return lambda library: use(a_family(library, kind))


def with_child(kind: str, use: Callable[[Any], Timer]) -> Callable[[Any], Timer]:
    return lambda library: use(a_family(library, kind).labels("fast", "mail"))


def decorated_call(library: Any) -> Timer:
    return operations.decorated(library.Calls("jobs", "Jobs", ["queue"]).labels("fast")())


def alike(records: int, make: Callable[[Any], Timer]) -> Operation:
    """An operation that both libraries spell alike."""
    return Operation(records, make, make)


INCS = alike(0, with_child("Counter", operations.incs))
LABELLED_INCS = alike(0, with_family("Counter", operations.labelled_incs))
NAMED_INCS = alike(0, with_family("Counter", operations.named_incs))
TIMED = alike(1, with_child("Histogram", operations.timed_blocks))
LABELLED_TIMED = alike(1, with_family("Histogram", operations.labelled_timed_blocks))
DECORATED = alike(1, with_child("Histogram", lambda child: operations.decorated(child.time())))
DECORATED_CALL = alike(2, decorated_call)

COUNTER = Operation(0, a_counter, a_counter, operations.incs)
HISTOGRAM = Operation(1, a_histogram, a_histogram, operations.observes)
CALL = Operation(2, shmetrics_rpc, prometheus_rpc, operations.blocks)
LABELLED_CALL = Operation(2, shmetrics_labelled_rpc, prometheus_labelled_rpc)


def ways(operation: Operation) -> Iterator[Contender]:
    if operation.records == 0:
        yield Contender("collector", "shmetrics", ours(operation, world.collector))
    else:
        yield Contender(
            "room", "shmetrics, ring with room", ours(operation, world.collector, bursts=True)
        )
        yield Contender("flat-out", "shmetrics, flat out", ours(operation, world.collector))
    yield Contender("alone", "shmetrics, no collector", ours(operation, world.no_collector))


def contenders(operation: Operation) -> tuple[Contender, ...]:
    return (
        Contender("floor", "floor: a compiled method that does nothing", on_floor(operation)),
        *ways(operation),
        Contender(
            "prometheus", "prometheus_client, one process", theirs(operation, multiprocess=False)
        ),
        Contender(
            "multiprocess", "prometheus_client, multiprocess", theirs(operation, multiprocess=True)
        ),
    )


WAYS = (
    "*Ring with room*: a collector drains between bursts, as in any real service. *Flat out*: "
    "records as fast as it can while a collector drains; most events are folded into totals. "
    "*No collector*: all of them are."
)

INC = Group(
    "inc",
    "Counter.inc()",
    "Added to its total in shared memory, whether a collector is there to read it or not.",
    "collector",
    contenders(COUNTER),
)
OBSERVE = Group("observe", "Histogram.observe(seconds)", WAYS, "room", contenders(HISTOGRAM))
RPC = Group(
    "rpc",
    "One RPC: start, end, duration, ten labels",
    f"{WAYS} shmetrics: `with call(): pass`; prometheus_client: two counters, a histogram and a "
    "clock. *Via labels*: the labels are given as keywords for each call. The floor is shmetrics's "
    "own block when it reads the two clocks and records nothing; the same with ordinary methods "
    "costs two objects more, and an empty block shows what of that are the clocks.",
    "room",
    (
        Contender("clocks", "floor: the same block, two clocks", on_floor(CALL, "Clocked")),
        Contender("ordinary", "an ordinary block, two clocks", on_floor(CALL, "Ordinary")),
        Contender("floor", "an ordinary block, empty", on_floor(CALL)),
        *contenders(CALL)[1:],
        Contender(
            "labels",
            "shmetrics via labels, ring with room",
            ours(LABELLED_CALL, world.collector, bursts=True),
        ),
        Contender(
            "prometheus-labels",
            "prometheus_client via labels, one process",
            theirs(LABELLED_CALL, multiprocess=False),
        ),
        Contender(
            "multiprocess-labels",
            "prometheus_client via labels, multiprocess",
            theirs(LABELLED_CALL, multiprocess=True),
        ),
    ),
    floor="clocks",
)


@contextmanager
def the_loop() -> Iterator[Timer]:
    yield operations.nothings()


LABELLED = Group(
    "labelled",
    "labels(...).inc()",
    "The child is looked up for each event, with two labels. The floor is the loop alone.",
    "position",
    (
        Contender("floor", "floor: the loop alone", the_loop),
        Contender("inc", "shmetrics, a child that is kept", ours(INCS, world.collector)),
        Contender("position", "shmetrics, by position", ours(LABELLED_INCS, world.collector)),
        Contender("name", "shmetrics, by name", ours(NAMED_INCS, world.collector)),
        Contender(
            "multiprocess",
            "prometheus_client multiprocess, by position",
            theirs(LABELLED_INCS, multiprocess=True),
        ),
        Contender(
            "multiprocess-name",
            "prometheus_client multiprocess, by name",
            theirs(NAMED_INCS, multiprocess=True),
        ),
    ),
)
TIMERS = Group(
    "timers",
    "Timers and decorators",
    "A block around nothing, and what a decorator adds to a function that does nothing; the ring "
    "has room. `with call():` is there to compare: it has a start, an end and a duration.",
    "time",
    (
        Contender("floor", "floor: the loop alone", the_loop),
        Contender("call", "shmetrics, `with call():`", ours(CALL, world.collector, bursts=True)),
        Contender(
            "time", "shmetrics, `with child.time():`", ours(TIMED, world.collector, bursts=True)
        ),
        Contender(
            "labels",
            "shmetrics, `with family.labels(...).time():`",
            ours(LABELLED_TIMED, world.collector, bursts=True),
        ),
        Contender(
            "decorated",
            "shmetrics, `@child.time()`, above the function",
            ours(DECORATED, world.collector, bursts=True),
        ),
        Contender(
            "decorated-call",
            "shmetrics, `@call()`, above the function",
            ours(DECORATED_CALL, world.collector, bursts=True),
        ),
        Contender(
            "multiprocess",
            "prometheus_client multiprocess, `with child.time():`",
            theirs(TIMED, multiprocess=True),
        ),
        Contender(
            "multiprocess-labels",
            "prometheus_client multiprocess, `with family.labels(...).time():`",
            theirs(LABELLED_TIMED, multiprocess=True),
        ),
        Contender(
            "multiprocess-decorated",
            "prometheus_client multiprocess, `@child.time()`, above the function",
            theirs(DECORATED, multiprocess=True),
        ),
    ),
)
