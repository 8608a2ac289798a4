# SPDX-License-Identifier: Apache-2.0
"""One process goes from 10 label sets to 20,000: what it costs, and its longest event."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks import world
from benchmarks.contender import Contender, Effort, Group, Timer

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


def one_process() -> tuple[float, float]:
    """Return the seconds of all events, and of the longest one."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=dict(os.environ), capture_output=True, check=True
    )
    total, longest, overflowed = json.loads(done.stdout)
    if overflowed:
        raise RuntimeError(f"{overflowed:.0f} events overflowed")
    return float(total), float(longest)


def grows(config: str, figure: int) -> Callable[[], AbstractContextManager[Timer]]:
    """Return the stage of a process that grows; figure: 0 for the whole, 1 for the longest."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        with world.collector_process(config):
            yield lambda loops: sum(one_process()[figure] for _ in range(loops))

    return stage


def _group(key: str, title: str, text: str, figure: int) -> Group:
    return Group(
        key,
        title,
        f"One process, {SETS:,} label sets of calls, an event of each after the other, with a "
        f"collector beside it. {text}",
        "grows",
        (
            Contender("grows", "from a lane of the default size", grows("", figure)),
            Contender("large", "in a lane that is large from the start", grows(LARGE, figure)),
        ),
        effort=Effort(rounds=1, values=5, warmups=0, loops=1),
    )


WHOLE = _group("grow", "Growth to 20,000 label sets", "The time of all events.", 0)
LONGEST = _group(
    *("grow-longest", "Growth to 20,000 label sets: the longest event"),
    *("The time of the longest one, also of what the machine has done meanwhile.", 1),
)
