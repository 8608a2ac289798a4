# SPDX-License-Identifier: Apache-2.0
"""Measures in this process: `python -m benchmarks.worker GROUP KEY --output FILE`.

The values are written as pyperf's JSON. Sizes, shares and counts are taken once. Of contenders that
are measured together, KEY is that of any.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Mapping
from contextlib import ExitStack

import pyperf

from benchmarks.contender import Effort, Group, Timer
from benchmarks.groups import GROUPS

NOTHING = 1e-12  # pyperf takes no zero


def benchmark(group: Group, key: str, values: list[float], loops: int = 1) -> pyperf.Benchmark:
    unit = "byte" if group.unit == "byte" else "second"  # pyperf knows no others
    metadata = {"name": f"{group.key}/{key}", "unit": unit, "loops": loops}
    return pyperf.Benchmark([pyperf.Run([max(v, NOTHING) for v in values], metadata=metadata)])


def in_turns(timers: Mapping[str, Timer], values: int, effort: Effort) -> dict[str, list[float]]:
    """Return so many values of each: medians of turns, in an order that is drawn anew each turn."""
    order = random.Random()
    keys = list(timers)
    found: dict[str, list[float]] = {key: [] for key in keys}
    for _ in range(values):
        turns: dict[str, list[float]] = {key: [] for key in keys}
        for _ in range(effort.loops):
            order.shuffle(keys)
            for key in keys:
                turns[key].append(timers[key](1))
        for key, taken in turns.items():
            found[key].append(statistics.median(taken))
    return found


def measure_together(group: Group, values: int, warmups: int) -> pyperf.BenchmarkSuite:
    assert group.together is not None
    with ExitStack() as opened:
        opened.enter_context(group.together())
        timers = {c.key: opened.enter_context(c.open()) for c in group.contenders}
        in_turns(timers, warmups, group.effort)
        found = in_turns(timers, values, group.effort)
    loops = group.effort.loops
    return pyperf.BenchmarkSuite(
        [benchmark(group, key, taken, loops) for key, taken in found.items()]
    )


def enough(timer: Timer, value_s: float) -> int:
    """Return how many repetitions take at least so long, a power of two."""
    loops = 1
    while timer(loops) < value_s:
        loops *= 2
    return loops


def measure(group: Group, key: str, args: argparse.Namespace) -> pyperf.Benchmark:
    """Measure one contender. Times are those of one repetition."""
    with group[key].open() as timer:
        if group.unit != "second":
            return benchmark(group, key, [timer(1)])
        loops = args.loops or enough(timer, args.value_s)
        for _ in range(args.warmups):
            timer(loops)
        return benchmark(group, key, [timer(loops) / loops for _ in range(args.values)], loops)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    parser.add_argument("group")
    parser.add_argument("key")
    parser.add_argument("--values", type=int, required=True)
    parser.add_argument("--warmups", type=int, required=True)
    parser.add_argument("--loops", type=int, default=0, help="0: as many as take --value-s")
    parser.add_argument("--value-s", type=float, required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    group = GROUPS[args.group]
    if group.together:
        measure_together(group, args.values, args.warmups).dump(args.output)
    else:
        measure(group, args.key, args).dump(args.output)


if __name__ == "__main__":
    main()
