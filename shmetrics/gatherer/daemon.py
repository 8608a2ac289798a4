# SPDX-License-Identifier: Apache-2.0
"""The gatherer's process: one asyncio loop in which its parts run until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Callable, Sequence

from shmetrics.config.gather import GatherConfig
from shmetrics.gatherer import directory
from shmetrics.gatherer.instruments import Instruments
from shmetrics.gatherer.output_parts import open_output_parts
from shmetrics.gatherer.part import Part
from shmetrics.gatherer.passes import Passes
from shmetrics.gatherer.quota_series import QuotaSeries
from shmetrics.gatherer.selection import finder_of, followers_of
from shmetrics.gatherer.unit_part import UnitPart
from shmetrics.service_manager import beat_seconds, notify

log = logging.getLogger(__name__)


def parts_of(config: GatherConfig, path: str = "") -> list[Part]:
    """Open the parts of the gatherer.

    Args:
        config: what is gathered.
        path: its file; "": there is none.

    Raises:
        ShmetricsError: one cannot be opened; the message is one line for the user.
    """
    gather, instruments = config.gather, Instruments()
    followers = list(followers_of(gather))
    passes = Passes(finder_of(gather), instruments, followers)
    quotas = [one for one in followers if isinstance(one, QuotaSeries)]
    output = open_output_parts(config, path, lambda: passes.units, [passes, *quotas])
    passes.follow(output.followers)
    return [*output.parts, UnitPart(passes, instruments, gather.interval_seconds)]


async def serve(parts: Sequence[Part], ready: Callable[[], None]) -> None:
    """Run parts until SIGTERM or SIGINT, and close them, the last one first.

    Args:
        parts: what runs.
        ready: called once all have started.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    beating = loop.create_task(_beat())
    try:
        for part in parts:
            part.start()
        ready()
        await stop.wait()
    finally:
        notify("STOPPING=1")
        beating.cancel()
        for part in reversed(parts):
            await part.close()


async def _beat() -> None:
    """Tell the service manager's watchdog that the loop runs, if it wants to know."""
    pause = beat_seconds()
    while pause is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(pause)


def raise_file_limit() -> None:
    """Let this process open as many files as it may: each unit keeps some twenty."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(config: GatherConfig, path: str, ready: Callable[[str], None]) -> None:
    """Gather until a signal ends it.

    Args:
        config: what is gathered.
        path: its file; "": there is none.
        ready: called once all parts have started, with what they do.

    Raises:
        ShmetricsError: the gatherer cannot run; the message is one line for the user.
    """

    def announce() -> None:
        ready(f"units every {config.gather.interval_seconds} s")
        notify("READY=1")

    raise_file_limit()
    with directory.locked():
        asyncio.run(serve(parts_of(config, path), announce))
