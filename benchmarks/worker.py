# SPDX-License-Identifier: Apache-2.0
"""Measures one contender in this process: `python -m benchmarks.worker GROUP KEY -o FILE`.

pyperf does the measuring: it warms up, finds how many repetitions make a readable time, and writes
the values as JSON. Sizes are not times, and are taken once.
"""

from __future__ import annotations

import pyperf

from benchmarks.groups import GROUPS


def main() -> None:
    runner = pyperf.Runner(
        program_args=("-m", "benchmarks.worker"),
        add_cmdline_args=lambda command, args: command.extend((args.group, args.key)),
    )
    runner.argparser.add_argument("group")
    runner.argparser.add_argument("key")
    args = runner.parse_args()
    group = GROUPS[args.group]
    name = f"{group.key}/{args.key}"
    if group.unit == "byte":
        with group[args.key].open() as measure:
            run = pyperf.Run([measure(1)], metadata={"name": name, "unit": "byte", "loops": 1})
        pyperf.Benchmark([run]).dump(args.output)
    elif args.worker:
        with group[args.key].open() as timer:
            runner.bench_time_func(name, timer)
    else:  # pyperf's parent process: it only starts the one above
        runner.bench_time_func(name, lambda loops: 0.0)


if __name__ == "__main__":
    main()
