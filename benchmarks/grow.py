# SPDX-License-Identifier: Apache-2.0
"""One process goes from 10 label sets to 20,000: what it costs, and its longest event.

Run it as `python -m benchmarks.grow`. Each number is the median of five processes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from contextlib import AbstractContextManager

from benchmarks import world

RUNS = 5
SETS = 20_000
LARGE = "[lane]\ndictionary_bytes = 8388608\n"  # for all of them, from the start

# Made before: labels() costs the same in both lanes, and is not what is measured.
PROGRAM = f"""
import json, time
import shmetrics
calls = shmetrics.Calls("rpc", "Calls", ["server", "method"])
made = [calls.labels(f"compute-{{n:05}}.example", "build") for n in range({SETS})]
for one in made[:10]:
    one.end(one.start())
while not shmetrics.status()["connected"]:
    made[0].end(made[0].start())
took, clock = [], time.perf_counter
for one in made[10:]:
    begun = clock()
    token = one.start()
    between = clock()
    one.end(token)
    took += between - begun, clock() - between
deadline = clock() + 20
while shmetrics._ring.process_status()["waits"] and clock() < deadline:
    made[0].end(made[0].start())
print(json.dumps([sum(took), max(took), shmetrics.status()["overflowed"]]))
"""


def one_process() -> list[float]:
    """Return the seconds of all events, of the longest one, and how many events overflowed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=dict(os.environ), capture_output=True, check=True
    )
    found: list[float] = json.loads(done.stdout)
    return found


def measured(config: str) -> dict[str, float]:
    """Return the medians with a collector of this configuration."""
    collector: AbstractContextManager[object] = world.collector_process(config)
    with collector:
        runs = [one_process() for _ in range(RUNS)]
    total, longest, overflowed = (statistics.median(one) for one in zip(*runs, strict=True))
    return {"total_s": total, "longest_s": longest, "overflowed": overflowed}


if __name__ == "__main__":
    print(json.dumps({"grows": measured(""), "large": measured(LARGE)}, indent=1))
