# SPDX-License-Identifier: Apache-2.0
"""Requests that come together share an answer, which is never older than any of them."""

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.tables.table import Series, Table
from shmetrics.web.shared_answers import SharedAnswers

pytestmark = pytest.mark.slow


class World:
    """A source of events. An answer has the number of those that there were when it was begun."""

    def __init__(self) -> None:
        self.events = 0
        self.begun: list[str] = []
        self.shared = SharedAnswers(self.make)
        self.go_on = asyncio.Event()

    async def make(self, kind: str) -> int:
        self.begun.append(kind)
        seen = self.events
        await self.go_on.wait()
        return seen


@given(st.lists(st.sampled_from(["event", "ask", "ask other", "turn"]), max_size=60))
def test_an_event_before_a_request_is_in_its_answer(steps: list[str]) -> None:
    """Check any order of events, requests and turns of the loop, with answers that take their
    time."""

    async def run() -> None:
        world = World()
        asked: list[tuple[int, asyncio.Task[int]]] = []
        for step in steps:
            if step == "event":
                world.events += 1
            elif step == "turn":
                world.go_on.set()
                await asyncio.sleep(0)
                world.go_on.clear()
            else:
                asked.append((world.events, asyncio.create_task(world.shared.get(step))))
                await asyncio.sleep(0)
        world.go_on.set()
        for events, answer in asked:
            assert events <= await answer <= world.events

    asyncio.run(run())


def test_who_comes_while_one_is_made_shares_the_next() -> None:
    async def run() -> None:
        world = World()
        first = asyncio.create_task(world.shared.get("text"))
        while not world.begun:
            await asyncio.sleep(0)
        world.events = 1
        later = [asyncio.create_task(world.shared.get("text")) for _ in range(500)]
        await asyncio.sleep(0)
        world.go_on.set()
        assert await first == 0
        assert await asyncio.gather(*later) == [1] * 500
        assert world.begun == ["text", "text"]

    asyncio.run(run())


def test_each_kind_is_made_for_itself_one_at_a_time() -> None:
    async def run() -> None:
        world = World()
        asked = [asyncio.create_task(world.shared.get(kind)) for kind in "abcab"]
        for _ in range(10):
            await asyncio.sleep(0)
        assert world.begun == ["a"]
        world.go_on.set()
        await asyncio.gather(*asked)
        assert world.begun == ["a", "b", "c"]

    asyncio.run(run())


def test_who_leaves_takes_nothing_from_the_others() -> None:
    async def run() -> None:
        world = World()
        leaves, stays = (asyncio.create_task(world.shared.get("text")) for _ in range(2))
        await asyncio.sleep(0)
        leaves.cancel()
        world.go_on.set()
        assert await stays == 0
        with pytest.raises(asyncio.CancelledError):
            await leaves

    asyncio.run(run())


def test_an_error_is_everybodys_and_the_next_answer_is_well() -> None:
    async def run() -> None:
        outcomes = itertools.chain([ZeroDivisionError()], itertools.repeat("well"))

        async def make(kind: str) -> Any:
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        shared = SharedAnswers(make)
        together = await asyncio.gather(
            *(shared.get("x") for _ in range(3)), return_exceptions=True
        )
        assert [type(outcome) for outcome in together] == [ZeroDivisionError] * 3
        assert await shared.get("x") == "well"

    asyncio.run(run())


class Slow:
    """A source whose one table takes a while to make, and shows the number of events so far."""

    def __init__(self, source: Any) -> None:
        self.events = 0
        self._source = source

    def tables(self, native: bool = False) -> list[Table]:
        threading.Event().wait(0.05)
        value = np.array([float(self.events)])
        return [Table("events", "gauge", "", Series((), [()]), values=value)]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_two_hundred_scrapes_at_once_cost_a_few_renderings(
    site: Any, source: Any, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    slow = Slow(source)
    monkeypatch.setattr(source, "tables", slow.tables)
    lock = threading.Lock()
    start = threading.Barrier(200)

    def scrape(_: int) -> tuple[int, bytes]:
        start.wait()
        with lock:  # an event, and then the request
            slow.events += 1
            mine = slow.events
        body = site.ask("/metrics", accept_encoding=encoding).body
        return mine, gzip.decompress(body) if encoding == "gzip" else body

    with ThreadPoolExecutor(200) as threads:
        answers = list(threads.map(scrape, range(200)))
    for mine, body in answers:
        assert float(body.split()[-1]) >= mine
    assert len(source.scrapes) == 200
    assert source.renderings < 40
