# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks [--quick] [GROUP ...]`: measure, print, and write benchmarks/results/."""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

import pyperf

from benchmarks import floor, report, rounds
from benchmarks.groups import GROUPS

RESULTS = Path(__file__).parent / "results"


def tell(words: str) -> None:
    """What is going on, for someone who watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{words[:100]}")
        sys.stderr.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it works; figures are rough")
    parser.add_argument("--name", help="of the two files in benchmarks/results/; default: the time")
    parser.add_argument("group", nargs="*", metavar="GROUP", help=f"default: {', '.join(GROUPS)}")
    args = parser.parse_args()
    if unknown := set(args.group) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    effort = rounds.QUICK if args.quick else rounds.FULL
    floor.build()

    now = datetime.datetime.now(datetime.timezone.utc)
    kind = "quick look, rough figures" if args.quick else "full run"
    lines = [f"# Benchmarks, {now:%Y-%m-%d %H:%M} UTC, {kind}", "", report.machine(), ""]
    print("\n".join(lines))
    measured: list[pyperf.Benchmark] = []
    failed = False
    for key in args.group or GROUPS:
        results, failures = rounds.run(GROUPS[key], effort, tell)
        tell("")
        measured.extend(results.values())
        part = list(report.table(GROUPS[key], results, failures))
        print("\n".join(part), flush=True)
        lines += part
        failed = failed or bool(failures)

    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / (args.name or f"{now:%Y-%m-%dT%H-%M-%SZ}")
    path.with_suffix(".md").write_text("\n".join(lines))
    if measured:
        pyperf.BenchmarkSuite(measured).dump(str(path.with_suffix(".json")), replace=True)
    print(f"written: {path}.md, {path}.json")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
