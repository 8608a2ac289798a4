# SPDX-License-Identifier: Apache-2.0
"""The waiting of tests: they look again and again, and fail if it takes too long.

The programs that tests run may import this module: it brings nothing along.
"""

import time
from collections.abc import Callable, Iterator

__all__ = ["PATIENT", "async_until", "until"]

POLL_SECONDS = 0.01

# What an emitting program begins with where a collector will answer. A service waits for its lane
# no longer than 50 ms, and a second at its end, in which a busy machine may not have come to it. A
# test that looks at a lane should not find that there is none yet.
PATIENT = """
import shmetrics.emitter.process
shmetrics.emitter.process.FIRST_WAIT_NS = 30_000_000_000
shmetrics.emitter.process.LAST_WAIT_NS = 30_000_000_000
"""


def until(true: Callable[[], object], what: Callable[[], object], seconds: float) -> None:
    """Poll *true*; if it is not so in *seconds*, fail with *what* was found instead."""
    for _ in _looks(true, what, seconds):
        time.sleep(POLL_SECONDS)


async def async_until(
    true: Callable[[], object], what: Callable[[], object], seconds: float
) -> None:
    """Poll *true* as `until` does, and let other tasks run meanwhile."""
    import asyncio

    for _ in _looks(true, what, seconds):
        await asyncio.sleep(POLL_SECONDS)


def _looks(
    true: Callable[[], object], what: Callable[[], object], seconds: float
) -> Iterator[None]:
    """Yield each time that *true* is not so."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s: {what()}")
        yield
