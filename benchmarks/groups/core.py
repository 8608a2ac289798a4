# SPDX-License-Identifier: Apache-2.0
"""One event in C, on either side of a lane (core.c)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks import floor
from benchmarks.contender import Contender, Group, Timer

BURST = 1024
# Below this the first touch of the memory would be a good part of what is seen.
AT_LEAST_EVENTS = 200 * BURST

SIDES = {
    "emit": "into a ring with room",
    "spill": "into totals, the ring being full",
    "drain": "out of the ring, into the store",
}


def stage(operation: str, side: str) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def open_() -> Iterator[Timer]:
        column = list(SIDES).index(side)

        def timer(loops: int) -> float:
            events = max(loops + BURST - loops % BURST, AT_LEAST_EVENTS)
            command = [str(floor.CORE), operation, str(events)]
            done = subprocess.run(command, check=True, capture_output=True)
            return float(done.stdout.split()[column]) * 1e-9 * loops

        yield timer

    return open_


OPERATIONS = {"add": "counter", "observe": "histogram", "call": "call, two records and two clocks"}

CORE = Group(
    "core",
    "One event in C",
    "64 label sets in turn, histograms of 23 bounds. Draining checks the record, notes what it is "
    "about to change, and folds it into totals and buckets; checked and noted, a kill of either "
    "side at any instruction leaves exact totals.",
    "add-emit",
    tuple(
        Contender(f"{key}-{side}", f"{what}: {way}", stage(key, side))
        for key, what in OPERATIONS.items()
        for side, way in SIDES.items()
    ),
)
