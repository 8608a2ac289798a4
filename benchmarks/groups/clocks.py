# SPDX-License-Identifier: Apache-2.0
"""One reading of the clock in C: CLOCK_MONOTONIC, or the time stamp counter (clocks.c)."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks import floor
from benchmarks.contender import Contender, Group, Timer

AT_LEAST_READINGS = 100_000


def stage(way: str) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def open_() -> Iterator[Timer]:
        def timer(loops: int) -> float:
            readings = max(loops, AT_LEAST_READINGS)
            command = [str(floor.CLOCKS), way, str(readings)]
            seconds = float(subprocess.run(command, check=True, capture_output=True).stdout)
            return seconds * loops / readings

        yield timer

    return open_


def lacking() -> str:
    return "" if platform.machine() == "x86_64" else "the counter of this processor is not known"


CLOCK = Group(
    "clock",
    "One reading of the clock",
    "An RPC reads it twice. *After a fence*: when all that comes before it is done, as "
    "clock_gettime sees to as well. *Free*: the processor may read it before that.",
    "monotonic",
    (
        Contender("monotonic", "clock_gettime(CLOCK_MONOTONIC)", stage("monotonic")),
        Contender("ordered", "time stamp counter, after a fence", stage("ordered")),
        Contender("free", "time stamp counter, free", stage("free")),
    ),
    lacking=lacking,
)
