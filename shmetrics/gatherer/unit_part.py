# SPDX-License-Identifier: Apache-2.0
"""The part of the gatherer that makes a pass over all units whenever one is due."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from shmetrics.gatherer.instruments import Instruments
from shmetrics.gatherer.passes import Passes
from shmetrics.gatherer.schedule import Schedule
from shmetrics.rate_limited_log import RateLimitedLog

log = logging.getLogger(__name__)

# How often something is recorded after new units, so that they reach the collector, and how long
# after each other: 5 seconds in all, and less if nothing waits any more.
_TOUCHES: Final = 50
_TOUCH_SECONDS: Final = 0.1


class UnitPart:
    """Passes over all units, the first one at once."""

    def __init__(
        self,
        passes: Passes,
        instruments: Instruments,
        interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Set what is done and when.

        Args:
            passes: makes a pass.
            instruments: counts passes that were skipped.
            interval_seconds: the time from one pass to the next.
            clock: returns seconds that only rise.
            sleep: waits for so many of them.
        """
        self._passes = passes
        self._instruments = instruments
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._sleep = sleep
        self._rate_limited = RateLimitedLog(log)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Make passes from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Make no more passes, and close the files of all units."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._passes.close()

    async def _run(self) -> None:
        schedule = Schedule(self._interval_seconds, self._clock())
        while True:
            await self._sleep(schedule.wait_seconds(self._clock()))
            now = self._clock()
            if schedule.wait_seconds(now) > 0:
                continue  # a sleep may end a little early
            missed = schedule.take(now)
            if missed:
                self._instruments.skipped.inc(missed)
            has_new = False
            try:
                has_new = self._passes.make()
            except Exception as error:  # one pass is lost, and the next one may go well
                self._instruments.failed.inc()
                text = f"a pass over units failed: {type(error).__name__}: {error}"
                self._rate_limited.warning(type(error).__name__, text)
            if has_new:
                await self._touch()

    async def _touch(self) -> None:
        for _ in range(_TOUCHES):
            await self._sleep(_TOUCH_SECONDS)
            if not self._passes.touch():
                return
