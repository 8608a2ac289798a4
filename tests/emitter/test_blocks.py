# SPDX-License-Identifier: Apache-2.0
"""Blocks: entered again, by threads, in recursion, without memory; and calls as decorators."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shmetrics
from shmetrics import _ring
from tests.emitter.recording import dropped, made, spend
from tests.nodes.loopback import Loopback


def test_a_block_that_is_entered_again_observes_both(loopback: Loopback, name: str) -> None:
    """The inner one first, with what it took; then the outer one."""
    block = made("Histogram", name).time()
    begun = perf_counter()
    with block:
        outer = perf_counter()
        spend()
        with block:
            inner = spend()
        outer_s = perf_counter() - outer
    around = perf_counter() - begun
    found = loopback.samples()
    assert found.value(f"{name}_count") == 2
    assert inner + outer_s <= found.value(f"{name}_sum") <= 2 * around


def test_a_gauge_that_is_entered_again_has_the_outer_time(loopback: Loopback, name: str) -> None:
    block = shmetrics.Gauge(name, "Seconds", multiprocess_mode="max").time()
    with block:
        begun = perf_counter()
        spend()
        with block:
            pass
        inside = perf_counter() - begun
    assert loopback.samples().value(name) >= inside


@pytest.mark.parametrize("leaves", [1, 3])
def test_a_block_that_was_not_entered_observes_nothing(
    loopback: Loopback, name: str, leaves: int
) -> None:
    block = made("Histogram", name).time()
    block.__enter__()
    for _ in range(leaves):
        block.__exit__(None, None, None)
    with block:
        pass
    assert loopback.samples().value(f"{name}_count") == 2
    assert dropped() == {}


@settings(deadline=None)
@given(steps=st.lists(st.booleans(), max_size=40))
def test_entries_and_exits_in_any_order(steps: list[bool]) -> None:
    """Each exit that has an entry observes; what is measured adds up, whoever left first."""
    block = made("Histogram", "any_order").time()
    recorded = shmetrics.status()["recorded"]
    depth = exits = 0
    for enters in steps:
        if enters:
            assert block.__enter__() is block
            depth += 1
        else:
            assert block.__exit__(None, None, None) is None
            exits += depth > 0
            depth = max(depth - 1, 0)
    found: Any = shmetrics.status()["recorded"]
    assert found - recorded == exits


def test_threads_that_share_a_block_observe_each_of_their_runs(
    loopback: Loopback, name: str
) -> None:
    histogram, gauge = made("Histogram", name), made("Gauge", f"{name}_busy", "one").labels("a")
    blocks = histogram.time(), gauge.track_inprogress()

    def work() -> None:
        for _ in range(2000):
            with blocks[0], blocks[1]:
                pass

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert loopback.samples().value(f"{name}_count") == 8000
    assert loopback.samples().sum(f"{name}_busy") == 0


def test_a_block_is_a_context_manager_that_nobody_else_makes() -> None:
    assert isinstance(_ring.no_block, contextlib.AbstractContextManager)
    for kind in (_ring.Block, _ring.Runs):
        with pytest.raises(TypeError):
            kind()
    with pytest.raises(TypeError):
        _ring.no_block(1, 2)  # type: ignore[call-arg, type-var]


def test_a_block_in_a_cycle_is_collected(name: str) -> None:
    """An exception class that holds the block that counts it."""
    counter = made("Counter", name)

    def cycle() -> None:
        kind: Any = type("Held", (Exception,), {})
        kind.block = counter.count_exceptions(kind)

    cycle()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(50):
        cycle()
    gc.collect()
    assert len(gc.get_objects()) - before < 50


# ---- calls as decorators ------------------------------------------------------------------------

TRACE = {"trace_id": "1" * 32, "span_id": "2" * 16}


def test_each_run_of_what_a_call_decorates_is_a_call(loopback: Loopback, name: str) -> None:
    call = made("Calls", name, "one").labels("a")

    @call()  # type: ignore[untyped-decorator]
    def work(depth: int) -> int:
        """Docs."""
        if depth == 7:
            raise KeyError(depth)
        return depth and work(depth - 1) + 1

    @call.traced(TRACE)  # type: ignore[untyped-decorator]
    async def later() -> int:
        await asyncio.sleep(0)
        return 7

    assert (work(3), work.__doc__, asyncio.run(later())) == (3, "Docs.", 7)
    with pytest.raises(KeyError, match="7"):
        work(7)
    found = loopback.samples()
    assert found.value(f"{name}_invocation_start_total", one="a") == 6
    assert found.value(f"{name}_invocation_end_total", one="a") == 6
    assert found.value(f"{name}_exception_total", one="a", exception="KeyError") == 1
    assert dropped() == {}


class Escape(BaseException):
    pass


@pytest.mark.parametrize("kind", [KeyError, StopIteration, GeneratorExit, Escape])
def test_what_a_run_raises_comes_out_as_it_is(
    loopback: Loopback, name: str, kind: type[BaseException]
) -> None:
    raised = kind("it")

    def fail() -> None:
        try:
            raise ValueError("first")
        except ValueError:
            raise raised from None

    counter = made("Counter", name)
    blocks = [
        made("Histogram", f"{name}_took").time(),
        made("Gauge", f"{name}_busy").track_inprogress(),
        counter.count_exceptions(BaseException),
        made("Calls", f"{name}_rpc")(),
    ]
    function = fail
    for block in blocks:
        function = block(function)
    with pytest.raises(kind) as found:
        function()
    assert found.value is raised
    assert isinstance(found.value.__context__, ValueError)
    assert found.traceback[-1].name == "fail"
    shown = loopback.samples()
    assert shown.value(f"{name}_total") == 1
    assert shown.value(f"{name}_took_count") == 1
    assert shown.value(f"{name}_rpc_exception_total", exception=kind.__name__) == 1
    assert sys.exc_info() == (None, None, None)


def test_arguments_of_every_kind_reach_what_is_decorated(name: str) -> None:
    @made("Histogram", name).time()  # type: ignore[untyped-decorator]
    def echo(*args: object, **kwargs: object) -> object:
        return args, kwargs

    assert echo(1, "a", function=2, args=3, self=4) == (
        (1, "a"),
        {"function": 2, "args": 3, "self": 4},
    )
    with pytest.raises(TypeError):
        made("Histogram", name).time()(abs)()
