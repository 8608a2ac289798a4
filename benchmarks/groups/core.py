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
    "drain": "out of the ring, into the store",
    "spill": "into totals, the ring being full",
}
ADDS = {"emit": "into its cell", "drain": "out of the cells, into the store"}  # they need no ring


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


OPERATIONS = {
    "add": ("counter", ADDS),
    "observe": ("histogram", SIDES),
    "call": ("call, two records and two clocks", SIDES),
}

CORE = Group(
    "core",
    "One event in C",
    "64 label sets in turn, histograms of 23 bounds. Draining checks the record, notes what it is "
    "about to change, and folds it into totals and buckets; checked and noted, a kill of either "
    "side at any instruction leaves exact totals.",
    "add-emit",
    tuple(
        Contender(f"{key}-{side}", f"{what}: {way}", stage(key, side))
        for key, (what, sides) in OPERATIONS.items()
        for side, way in sides.items()
    ),
)
