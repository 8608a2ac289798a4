# SPDX-License-Identifier: Apache-2.0
"""Promise: passes go on, on time, whatever one of them meets. The clock is the test's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest

from shmetrics.gatherer.instruments import Instruments
from shmetrics.gatherer.passes import Passes
from shmetrics.gatherer.unit_part import UnitPart
from tests.nodes.loopback import Loopback

INTERVAL_SECONDS = 60.0


class Clock:
    """A clock that a sleep moves, and a suspend."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.frozen_seconds = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds + self.frozen_seconds
        self.frozen_seconds = 0.0


class Recorded:
    """Passes that note when they are made, and do what the test wants."""

    def __init__(self, clock: Clock, what: Callable[[int], None]) -> None:
        self._clock = clock
        self._what = what
        self.times: list[float] = []
        self.closed = self.touched = 0
        self.has_new = False

    def make(self) -> bool:
        self.times.append(self._clock.now)
        self._what(len(self.times))
        return self.has_new

    def touch(self) -> bool:
        self.touched += 1
        return self.touched % 4 != 0

    def close(self) -> None:
        self.closed += 1


def run(clock: Clock, what: Callable[[int], None], passes: int, has_new: bool = False) -> Recorded:
    """Make passes until there were as many."""
    recorded = Recorded(clock, what)
    recorded.has_new = has_new

    async def until_made() -> None:
        part = UnitPart(
            *(cast(Passes, recorded), Instruments(), INTERVAL_SECONDS, clock, clock.sleep)
        )
        part.start()
        while len(recorded.times) < passes:
            await asyncio.sleep(0)
        await part.close()

    asyncio.run(until_made())
    assert recorded.closed == 1
    return recorded


def test_passes_do_not_drift() -> None:
    clock = Clock()

    def take_time(number: int) -> None:
        clock.now += 7.0 * number

    assert run(clock, take_time, 4).times == [1000, 1060, 1120, 1180]


def test_new_units_are_touched_again_and_the_next_pass_is_on_time() -> None:
    recorded = run(Clock(), lambda number: None, 3, has_new=True)
    assert [round(time) for time in recorded.times] == [1000, 1060, 1120]
    assert recorded.touched in (8, 9, 10, 11, 12)


def test_two_intervals_in_a_suspend_are_skipped_and_counted(loopback: Loopback) -> None:
    clock = Clock()
    before = loopback.samples().sum("shmetrics_gather_skipped_total")

    def freeze(number: int) -> None:
        clock.frozen_seconds = 2 * INTERVAL_SECONDS + 5 if number == 2 else 0.0

    assert run(clock, freeze, 4).times == [1000, 1060, 1245, 1300]
    assert loopback.samples().sum("shmetrics_gather_skipped_total") - before == 2


def test_a_sleep_that_ends_early_is_no_second_pass() -> None:
    clock = Clock()
    sleep = clock.sleep

    async def short(seconds: float) -> None:
        await sleep(seconds * 0.75 if seconds > 0.001 else seconds)

    clock.sleep = short  # type: ignore[method-assign]
    times = run(clock, lambda number: None, 3).times
    assert [round(time, 2) for time in times] == [1000, 1060, 1120]


def test_a_pass_that_fails_is_said_in_one_line_and_the_next_is_made(
    loopback: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    before = loopback.samples().sum("shmetrics_gather_failed_total")

    def fail(number: int) -> None:
        if number < 3:
            raise ZeroDivisionError("of the test")

    with caplog.at_level(logging.WARNING):
        run(Clock(), fail, 4)
    said: list[Any] = [record.getMessage() for record in caplog.records]
    assert said == ["a pass over units failed: ZeroDivisionError: of the test"]
    assert loopback.samples().sum("shmetrics_gather_failed_total") - before == 2


def test_a_part_that_was_not_started_can_be_closed() -> None:
    recorded = Recorded(Clock(), lambda number: None)
    part = UnitPart(cast(Passes, recorded), Instruments(), INTERVAL_SECONDS)
    asyncio.run(part.close())
    assert recorded.closed == 1
