# SPDX-License-Identifier: Apache-2.0
"""At which rate events begin to be folded into totals, because the ring is full."""

from __future__ import annotations

import ctypes
import mmap
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import world
from benchmarks.contender import Contender, Effort, Group, Timer, in_full
from benchmarks.groups.instruments import a_histogram

LOOK_S = 1.5
SLOT_S = 0.001
FLAT_OUT = 0
RATES = (10_000, 100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, FLAT_OUT)
# A default ring holds 4096 records, and the default tick is a second.
TICK_RATES = (4_000, 10_000, 100_000)


def rate_title(rate: int) -> str:
    return f"{rate:,} events per second" if rate else "flat out"


def paced(timer: Timer, rate: int, seconds: float) -> None:
    """Record so many events per second, a burst each millisecond; without a rate, in one burst."""
    begun = time.monotonic()
    done = 0
    while (now := time.monotonic() - begun) < seconds:
        due = int(now * rate) if rate else done + 100_000
        timer(due - done)
        done = due
        if rate:
            time.sleep(SLOT_S)


def mute_kicks() -> None:
    """From now on a lane that is granted has a kick that nobody hears."""
    from shmetrics import _ring

    ring: Any = _ring
    attach = ring.process_attach

    def muted(epoch: int, lane: Any) -> None:
        attach(epoch, lane)
        libc = ctypes.CDLL(None)
        for mapping in Path("/proc/self/maps").read_text().splitlines():
            if mapping.endswith(".lane"):
                end = int(mapping.split()[0].partition("-")[2], 16)
                libc.munmap(ctypes.c_void_p(end - mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE))

    ring.process_attach = muted


def shares(rate: int, kicks: bool) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with world.collector():
            import shmetrics

            if not kicks:
                mute_kicks()
            timer = a_histogram(shmetrics)
            world.register(timer)

            def share(loops: int) -> float:
                before = shmetrics.status()
                paced(timer, rate, in_full(LOOK_S, 0.3))
                after = shmetrics.status()
                events, spilled = (
                    int(str(after[kind])) - int(str(before[kind]))
                    for kind in ("recorded", "spilled")
                )
                return spilled / events

            yield share

    return stage


SPILL = Group(
    "spill",
    "Share of events that are spilled, by rate",
    "`Histogram.observe()` in bursts of a millisecond, one process, a default lane and collector. "
    "What is spilled keeps its place in every total, and nothing else. *No kick*: the collector is "
    "not woken when half the ring is full, and comes once per tick.",
    "1000000",
    (
        *(Contender(str(rate or "flat"), rate_title(rate), shares(rate, True)) for rate in RATES),
        *(
            Contender(f"tick-{rate}", f"{rate_title(rate)}, no kick", shares(rate, False))
            for rate in TICK_RATES
        ),
    ),
    unit="share",
    effort=Effort(rounds=3),
)
