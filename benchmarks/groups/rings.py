# SPDX-License-Identifier: Apache-2.0
"""One record in C: a ring per producer, or one for all of them (rings.c)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks import floor
from benchmarks.contender import Contender, Group, Timer

# Below this the first touch of the memory would be most of what is seen.
AT_LEAST_EVENTS = 200_000


def stage(kind: str, producers: int) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def open_() -> Iterator[Timer]:
        def timer(loops: int) -> float:
            events = max(loops, AT_LEAST_EVENTS)
            command = [str(floor.RINGS), kind, str(producers), str(events)]
            seconds = float(subprocess.run(command, check=True, capture_output=True).stdout)
            return seconds * loops / events

        yield timer

    return open_


def contenders(producers: int) -> tuple[Contender, ...]:
    return (
        Contender("lane", "a lane for each producer", stage("lane", producers)),
        Contender("shared", "one ring, fetch-add", stage("shared", producers)),
    )


ONE = Group(
    "ring-1",
    "One record in C, one producer",
    "64-byte records, no clock, no consumer: claiming, filling and publishing alone.",
    "lane",
    contenders(1),
)
TWO = Group(
    "ring-2",
    "One record in C, two producers at once",
    "The same, per record of each producer, as the slower of the two saw it.",
    "lane",
    contenders(2),
)
