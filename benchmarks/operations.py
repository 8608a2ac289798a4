# SPDX-License-Identifier: Apache-2.0
"""The timed loops. Every contender for the same operation goes through the same one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from time import perf_counter
from typing import Any

from benchmarks.contender import Timer

# What oslo.messaging's client side says of a call.
LABELS = {
    "call_type": "call",
    "exchange": "nova",
    "topic": "compute",
    "namespace": "",
    "version": "5.0",
    "server": "host-17",
    "fanout": "False",
    "process": "nova-api",
    "method": "build_and_run_instance",
    "timeout": "60",
}
# Over the bounds of the RPC histogram, so that finding a bucket is not always the same work.
DURATIONS_S = tuple(0.00005 * 1.61**step for step in range(32))


def incs(counter: Any) -> Timer:
    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            counter.inc()
        return perf_counter() - begun

    return timer


def labelled_incs(counter: Any) -> Timer:
    """The labels are given for each of them, by position."""

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            counter.labels("fast", "mail").inc()
        return perf_counter() - begun

    return timer


def named_incs(counter: Any) -> Timer:
    """The same by name."""

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            counter.labels(queue="fast", kind="mail").inc()
        return perf_counter() - begun

    return timer


def observes(histogram: Any) -> Timer:
    def timer(loops: int) -> float:
        values = (DURATIONS_S * (loops // len(DURATIONS_S) + 1))[:loops]
        begun = perf_counter()
        for value in values:
            histogram.observe(value)
        return perf_counter() - begun

    return timer


def totals(set_total: Callable[[float], object]) -> Timer:
    """The same total each time: it is compared and stored as one that has risen."""

    def timer(loops: int) -> float:
        values = repeat(7.5, loops)
        begun = perf_counter()
        for value in values:
            set_total(value)
        return perf_counter() - begun

    return timer


def totals_at_once(together: Any, values: Any) -> Timer:
    """The time of one value."""
    n = len(values)

    def timer(loops: int) -> float:
        times = -(-loops // n)
        again = repeat(None, times)
        begun = perf_counter()
        for _ in again:
            together.set_totals(values)
        return (perf_counter() - begun) * loops / (times * n)

    return timer


def blocks(call: Any) -> Timer:
    """A start and an end around nothing."""

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            with call():
                pass
        return perf_counter() - begun

    return timer


def timed_blocks(histogram: Any) -> Timer:
    """A timer around nothing."""

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            with histogram.time():
                pass
        return perf_counter() - begun

    return timer


def labelled_timed_blocks(histogram: Any) -> Timer:
    """The same, and the labels are looked up for each."""

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            with histogram.labels("fast", "mail").time():
                pass
        return perf_counter() - begun

    return timer


def decorated(block: Any) -> Timer:
    """Return the time that a decorator adds to a function that does nothing."""

    def function() -> None:
        pass

    within = block(function)

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            within()
        seconds = perf_counter() - begun
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            function()
        return max(seconds - (perf_counter() - begun), 1e-9)

    return timer


def spans(profiler: Any) -> Timer:
    """A span around nothing."""

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            with profiler.Trace("rpc"):
                pass
        return perf_counter() - begun

    return timer


def calls(function: Callable[[object], object]) -> Timer:
    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            function(1)
        return perf_counter() - begun

    return timer


def nothings() -> Timer:
    """The loop alone."""

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            pass
        return perf_counter() - begun

    return timer


def labelled_blocks(call_for: Callable[..., Any]) -> Timer:
    """The same, and the labels are looked up for each call."""
    labels = LABELS

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            with call_for(**labels)():
                pass
        return perf_counter() - begun

    return timer


def threes(start: Any, end: Any, seconds: Any) -> Timer:
    """Write as a service does without calls: two counters and a histogram."""

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            start.inc()
            call_begun = perf_counter()
            end.inc()
            seconds.observe(perf_counter() - call_begun)
        return perf_counter() - begun

    return timer


def labelled_threes(start: Any, end: Any, seconds: Any) -> Timer:
    labels = LABELS

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            start.labels(**labels).inc()
            call_begun = perf_counter()
            end.labels(**labels).inc()
            seconds.labels(**labels).observe(perf_counter() - call_begun)
        return perf_counter() - begun

    return timer
