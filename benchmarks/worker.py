# SPDX-License-Identifier: Apache-2.0
"""Measures in this process: `python -m benchmarks.worker GROUP KEY -o FILE`.

pyperf does the measuring of times: it warms up, finds how many repetitions make a readable time,
and writes the values as JSON. Sizes, shares and counts are taken once. Of contenders that are
measured together, KEY is that of any.
"""

from __future__ import annotations

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
    """So many values of each: medians of turns, in an order that is drawn anew for each turn."""
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


def main() -> None:
    runner = pyperf.Runner(
        program_args=("-m", "benchmarks.worker"),
        add_cmdline_args=lambda command, args: command.extend((args.group, args.key)),
    )
    runner.argparser.add_argument("group")
    runner.argparser.add_argument("key")
    args = runner.parse_args()
    group = GROUPS[args.group]
    if group.together:
        measure_together(group, args.values, args.warmups).dump(args.output)
    elif group.unit != "second":
        with group[args.key].open() as measure:
            found = measure(1)
        benchmark(group, args.key, [found]).dump(args.output)
    elif args.worker:
        with group[args.key].open() as timer:
            runner.bench_time_func(f"{group.key}/{args.key}", timer)
    else:  # pyperf's parent process: it only starts the one above
        runner.bench_time_func(f"{group.key}/{args.key}", lambda loops: 0.0)


if __name__ == "__main__":
    main()
