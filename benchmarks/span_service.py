# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.span_service PER_SECOND COUNT`: for each line that it reads, so many spans.

A trace has ten of them, each with what a service says of a statement. PER_SECOND 0: as fast as the
ring has room. Says `ready` when it has a lane, and `done` after each time.
"""

from __future__ import annotations

import random
import sys
import time
import uuid

from benchmarks import world

SPANS_PER_TRACE = 10
INFO = {"host": "host-17", "db": {"statement": "SELECT id, name FROM servers WHERE id = :id"}}
# In a default ring of 4096 slots, of which a span takes four: what may wait when a burst begins,
# and how many traces are one. More than half of a ring wakes the collector.
FULL = 2100
TRACES = 40


def wait_for_room() -> None:
    from shmetrics import _ring

    while _ring.process_status()["waiting"] > FULL:
        time.sleep(0.0002)


def main() -> None:
    rate, count = int(sys.argv[1]), int(sys.argv[2])
    from shmetrics.emitter.spans import Spans

    spans = Spans("nova", "cloud", "host-17")
    numbers = random.Random(rate)

    def new() -> str:
        return str(uuid.UUID(int=numbers.getrandbits(128)))

    def one(times: int) -> float:
        base = new()
        for _ in range(times):
            id = new()
            spans.start("db", id, base, base, INFO)
            spans.stop("db", id, base, base)
        return 0.0

    world.register(one)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun, done = time.monotonic(), 0
        while done < count:
            due = int((time.monotonic() - begun) * rate) if rate else count
            for _ in range(min(max(due - done, 0) // SPANS_PER_TRACE, TRACES)):
                one(SPANS_PER_TRACE)
                done += SPANS_PER_TRACE
            wait_for_room()
            if rate:
                time.sleep(0.001)
        print("done", flush=True)


if __name__ == "__main__":
    main()
