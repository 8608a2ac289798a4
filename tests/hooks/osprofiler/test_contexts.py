# SPDX-License-Identifier: Apache-2.0
"""Contexts that run at the same time: each has its own place in its own trace."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import copy_context
from typing import Any

import pytest
from osprofiler import profiler

from tests.greenlets.test_greenlets import LIBRARIES, program
from tests.hooks.osprofiler.both import Heard, Payloads

AT_ONCE = 20
DEPTH = 4


def is_nested(payloads: Payloads) -> None:
    """Check each trace: a span begins below an open one, the innermost ends first, and the
    reporter is the one who began the trace."""
    open_spans: dict[str, list[Any]] = defaultdict(list)
    whose: dict[str, str] = {}
    for payload in payloads:
        who, _, what = payload["name"].rpartition("-")
        base = payload["base_id"]
        assert whose.setdefault(base, who) == who
        spans = open_spans[base]
        if what == "start":
            assert payload["parent_id"] == (spans[-1] if spans else base)
            spans.append(payload["trace_id"])
        else:
            assert spans.pop() == payload["trace_id"]
    assert not any(open_spans.values())


def nest(who: str, wait: Callable[[], object], depth: int = DEPTH) -> None:
    if depth == DEPTH:
        assert profiler.get() is None
        profiler.init("key")
    if depth:
        with profiler.Trace(who):
            wait()
            nest(who, wait, depth - 1)
            wait()


def test_threads(compiled: None) -> None:
    heard = Heard()
    turn = threading.Barrier(AT_ONCE)
    threads = [
        threading.Thread(target=nest, args=(f"thread-{n}", turn.wait)) for n in range(AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == 2 * DEPTH * AT_ONCE
    is_nested(heard)
    assert profiler.get() is None


GREENLETS = f"""
from osprofiler import notifier, profiler
import shmetrics.osprofiler
assert shmetrics.osprofiler.install()
from tests.hooks.osprofiler import test_contexts as test
heard = []
notifier.set(heard.append)
each = [spawn(test.nest, f"greenlet-{{n}}", lambda: sleep(0)) for n in range({AT_ONCE})]
for one in each:
    wait(one)
assert len(heard) == {2 * DEPTH * AT_ONCE}
order = [payload["base_id"] for payload in heard]
assert order != sorted(order, key=order.index)  # they did take turns
test.is_nested(heard)
"""


@pytest.mark.parametrize("library", LIBRARIES)
def test_greenlets(library: str, tmp_path: Any) -> None:
    from tests.nodes.node import Emitter

    program_ = "import warnings; warnings.simplefilter('ignore')\n" + program(library, GREENLETS)
    emitter = Emitter(program_, {"SHMETRICS_RUNTIME_DIR": str(tmp_path)})
    try:
        emitter.end()
    finally:
        emitter.abandon()


def run(main: Coroutine[Any, Any, None]) -> None:
    copy_context().run(asyncio.run, main)


def test_tasks(compiled: None) -> None:
    heard = Heard()

    async def nest(who: str, depth: int = DEPTH) -> None:
        if depth == DEPTH:
            profiler.init("key")
        if depth:
            with profiler.Trace(who):
                await asyncio.sleep(0)
                await nest(who, depth - 1)
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(nest(f"task-{n}") for n in range(AT_ONCE)))

    run(main())
    assert len(heard) == 2 * DEPTH * AT_ONCE
    is_nested(heard)


def parents(payloads: Payloads) -> dict[str, str]:
    """Return the name of the parent of each span, by its name."""
    started = [payload for payload in payloads if payload["name"].endswith("-start")]
    names = {payload["trace_id"]: payload["name"][: -len("-start")] for payload in started}
    return {
        names[payload["trace_id"]]: names.get(payload["parent_id"], "trace") for payload in started
    }


def test_a_task_goes_on_from_where_it_was_made(compiled: None) -> None:
    """Check a task whose place was left by then, with any task that begins first."""
    heard = Heard()

    async def child(name: str) -> None:
        with profiler.Trace(name):
            await asyncio.sleep(0)
            with profiler.Trace(f"below {name}"):
                await asyncio.sleep(0)

    async def main() -> None:
        mine = profiler.init("key")
        with profiler.Trace("first"):
            tasks = [asyncio.create_task(child("a"))]
        with profiler.Trace("second"):
            tasks.append(asyncio.create_task(child("b")))
            await asyncio.sleep(0)
            with profiler.Trace("own"):
                await asyncio.sleep(0)
            assert profiler.get() is mine
        await asyncio.gather(*tasks)

    run(main())
    assert parents(heard) == {
        "first": "trace",
        "second": "trace",
        "own": "second",
        "a": "first",
        "below a": "a",
        "b": "second",
        "below b": "b",
    }
    ends = [payload["name"] for payload in heard if payload["name"].endswith("-stop")]
    assert len(ends) == 7


def test_a_generator_that_is_left_open_belongs_to_where_it_runs(compiled: None) -> None:
    heard = Heard()

    async def lines() -> AsyncIterator[int]:
        with profiler.Trace("lines"):
            for n in range(2):
                with profiler.Trace("line"):
                    yield n

    async def main() -> None:
        profiler.init("key")
        with profiler.Trace("outer"):
            async for n in lines():
                with profiler.Trace(f"use {n}"):
                    pass

    run(main())
    assert parents(heard)["use 1"] == "line"
    assert len(heard) == 12


def test_a_thread_that_is_handed_a_profiler_sees_where_it_is(compiled: None) -> None:
    Heard()
    mine = profiler.init("key")
    seen: list[Any] = []
    mine.start("rpc")
    there = threading.Thread(target=lambda: seen.extend([mine.get_id(), profiler.get()]))
    there.start()
    there.join()
    assert seen == [mine.get_id(), None]


def test_what_another_context_does_with_a_profiler_does_not_move_this_one(compiled: None) -> None:
    Heard()
    mine = profiler.init("key")
    mine.start("here")
    here = mine.get_id()

    def there() -> None:
        mine.start("there")
        assert mine.get_id() != here
        assert mine.get_parent_id() == here

    copy_context().run(there)
    assert mine.get_id() == here
