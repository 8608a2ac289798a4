# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.methods METHOD TIMES`: does it so often, in a lane with room.

METHOD: inc, observe, call; labels and names, which look up what inc has; time, a block, "labels and
time", which looks up what has it, and decorated, a function that does nothing; total, and totals,
which are set at once, per value; span, one that is recorded, and resting, the same where no trace
is.

For a program that counts instructions from outside; see instructions.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks import operations, world
from benchmarks.contender import Timer
from benchmarks.groups import instruments, observed, traces

Make = Callable[[Any], Timer]


def span(_: Any) -> Timer:
    profiler = traces.profiler(True, "shm://")
    profiler.init("key")
    return operations.spans(profiler)


def resting(_: Any) -> Timer:
    return operations.spans(traces.profiler(True, ""))


def totals(library: Any) -> Timer:
    return observed.an_array(library, 256)


MAKES: dict[str, tuple[Make, int]] = {  # and the slots that one takes; 0: no lane is needed
    "inc": (instruments.a_counter, 1),
    "observe": (instruments.a_histogram, 1),
    "call": (instruments.shmetrics_rpc, 2),
    "labels": (instruments.LABELLED_INCS.shmetrics, 1),
    "names": (instruments.NAMED_INCS.shmetrics, 1),
    "time": (instruments.TIMED.shmetrics, 1),
    "labels and time": (instruments.LABELLED_TIMED.shmetrics, 1),
    "decorated": (instruments.DECORATED.shmetrics, 1),
    "total": (observed.a_total, 0),
    "totals": (totals, 0),
    "span": (span, traces.SLOTS),
    "resting": (resting, 0),
}


def main() -> None:
    make, slots = MAKES[sys.argv[1]]
    times = int(sys.argv[2])
    with world.collector():
        import shmetrics

        timer = make(shmetrics)
        (world.in_bursts(timer, slots) if slots else timer)(times)


if __name__ == "__main__":
    main()
