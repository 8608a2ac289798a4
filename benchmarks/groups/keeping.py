# SPDX-License-Identifier: Apache-2.0
"""The cost of a span that a collector keeps, and how long the metrics beside it wait."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks import world
from benchmarks.contender import SLOW, Contender, Effort, Group, Timer
from benchmarks.groups.instruments import a_histogram
from benchmarks.groups.lanes import processor_s
from benchmarks.span_service import SPANS_PER_TRACE

SPANS = 50_000
# More than half a ring, so that the collector is woken within the burst.
AFTER_KICK = 64
PATIENCE_S = 120.0
# Between two bursts: a million events per second.
PAUSE_S = 0.002


@dataclass(frozen=True)
class Service:
    """A process that makes spans whenever it is told to."""

    told: IO[str]
    says: IO[str]

    def begin(self) -> None:
        self.told.write("\n")
        self.told.flush()

    def done(self) -> None:
        self.says.readline()


@contextmanager
def service(rate: int, count: int) -> Iterator[Service]:
    command = [sys.executable, "-m", "benchmarks.span_service", str(rate), str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the service did not become ready")
        yield Service(process.stdin, process.stdout)
    finally:
        process.terminate()
        process.communicate()


def ended() -> int:
    """Spans in the trace store that have stopped."""
    path = Path(os.environ["SHMETRICS_RUNTIME_DIR"], "traces.db")
    if not path.exists():  # it is made for the first span
        return 0
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as store:
        (found,) = store.execute("SELECT coalesce(sum(spans - open), 0) FROM traces").fetchone()
    return int(found)


@contextmanager
def kept() -> Iterator[Timer]:
    """Processor seconds of the collector, per span."""
    with world.collector_process() as pid, service(0, SPANS) as emitter:
        while not ended():
            time.sleep(0.01)

        def timer(loops: int) -> float:
            had, before = ended(), processor_s(pid)
            deadline = time.monotonic() + PATIENCE_S
            emitter.begin()
            emitter.done()
            while ended() < had + SPANS:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{ended() - had} of {SPANS} spans were kept")
                time.sleep(0.05)
            return loops * (processor_s(pid) - before) / SPANS

        yield timer


def waiting(rate: int) -> Callable[[], AbstractContextManager[Timer]]:
    """Measure how long half a ring of observations waits, while so many spans come in."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with contextlib.ExitStack() as opened:
            opened.enter_context(world.collector_on_another_core())
            import shmetrics
            from shmetrics import _ring

            if rate:
                opened.enter_context(service(rate, 1 << 40)).begin()
            observe = a_histogram(shmetrics)
            world.register(observe)

            def timer(loops: int) -> float:
                seconds = 0.0
                for _ in range(loops):
                    time.sleep(PAUSE_S)
                    observe(world.BURST_RECORDS + AFTER_KICK)
                    begun = time.perf_counter()
                    while _ring.process_status()["waiting"] > AFTER_KICK:
                        pass
                    seconds += time.perf_counter() - begun
                return seconds

            yield timer

    return stage


@contextmanager
def other_writer() -> Iterator[None]:
    """Another process that writes the same spans."""
    command = [sys.executable, "-m", "benchmarks.span_writer"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the other process did not become ready")
        yield
    finally:
        process.communicate()


def drained(
    writes_spans: bool = False, beside: Callable[[], AbstractContextManager[None]] | None = None
) -> Callable[[], AbstractContextManager[Timer]]:
    """Measure the drain of half a ring, alone, while a thread writes spans, and beside others."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with contextlib.ExitStack() as opened:
            import shmetrics
            from benchmarks.span_writer import span_writer
            from shmetrics.collector.daemon import SWITCH_SECONDS

            sys.setswitchinterval(SWITCH_SECONDS)
            writer = opened.enter_context(span_writer())
            observe = a_histogram(shmetrics)
            if writes_spans:  # it has no file and no thread before
                writer.write(1)
            if beside:
                opened.enter_context(beside())

            def timer(loops: int) -> float:
                seconds, alone = 0.0, 0
                for _ in range(loops):
                    if writes_spans and writer.is_idle():
                        writer.write(100)
                    observe(world.BURST_RECORDS)
                    time.sleep(PAUSE_S)  # as a collector: its turn among the threads begins here
                    begun = time.perf_counter()
                    writer.collector.drain()
                    seconds += time.perf_counter() - begun
                    alone += writer.is_idle()
                if writes_spans and alone > loops / 10:
                    raise RuntimeError(f"beside {alone} of {loops} drains nothing was written")
                return seconds

            yield timer

    return stage


KEPT = Group(
    "kept",
    "A span on its way from the lane into the trace store",
    f"Processor time of a whole collector, per span: drained, decoded, assembled to traces of "
    f"{SPANS_PER_TRACE} and committed to its SQLite file. A core has room for as many per second "
    "as this fits into it.",
    "kept",
    (Contender("kept", "shmetrics", kept),),
    effort=SLOW,
)
DRAIN = Group(
    "drain-beside",
    "A drain of metrics while spans are written",
    f"{world.BURST_RECORDS} observations, from the lane into the store. *Beside spans*: another "
    "thread of the process decodes and stores spans all the time, as fast as it can. *Beside "
    "another process*: one that shares nothing with this one does the same, so that what remains "
    "is the cost of a processor that is busy.",
    "alone",
    (
        Contender("alone", "no spans", drained()),
        Contender("beside", "beside spans", drained(writes_spans=True)),
        Contender("process", "beside another process", drained(beside=other_writer)),
    ),
    effort=Effort(rounds=5, values=6, warmups=1, loops=200),
)
WAIT = Group(
    "wait-beside",
    "What metrics wait for while spans are kept",
    "From the end of a burst that fills half a ring with observations until a collector has taken "
    "them: waking up, its turn among its threads, and the drain. All that the collector does it "
    "does on one core; the spans come from another process.",
    "alone",
    (
        Contender("alone", "no spans", waiting(0)),
        Contender("10000", "10,000 spans per second", waiting(10_000)),
        Contender("50000", "50,000 spans per second", waiting(50_000)),
    ),
    effort=Effort(rounds=5, values=3, warmups=1, loops=100),
)
