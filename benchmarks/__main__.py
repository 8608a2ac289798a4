# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks [--quick] [GROUP ...]`: measure, print, and write benchmarks/results/."""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyperf

from benchmarks import floor, report, rounds, summary, targets
from benchmarks.contender import QUICK, Group
from benchmarks.groups import GROUPS
from benchmarks.summary import Part, Summary


def tell(words: str) -> None:
    """Tell someone who watches what is going on."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{words[:100]}")
        sys.stderr.flush()


class Run:
    """The run so far, in three files: every value, the summary, and its tables."""

    def __init__(self, stem: Path, quick: bool, measured: str) -> None:
        self._stem = stem
        self._values: list[pyperf.Benchmark] = []
        self.summary = Summary(measured, report.machine(), quick, ())

    def begin(self) -> str:
        kind = "quick look, rough figures" if self.summary.quick else "full run"
        return f"# Benchmarks, {self.summary.measured} UTC, {kind}\n\n{self.summary.machine}\n"

    def measure(self, group: Group) -> Part:
        effort = group.effort.quick() if self.summary.quick else group.effort
        if absent := group.lacking():
            return summary.part(group, {}, {}, absent)
        results, failures = rounds.run(group, effort, tell)
        tell("")
        self._values += results.values()
        return summary.part(group, results, failures)

    def add(self, part: Part) -> str:
        """Written after each group, so that a run which is ended early has not been for nothing."""
        more = replace(self.summary, parts=(*self.summary.parts, part))
        self.summary = replace(more, verdicts=targets.verdicts(more))
        self._write()
        return "\n".join(report.section(part))

    def verdict(self) -> str:
        return "\n".join(["## Targets", "", *report.verdicts(self.summary.verdicts), ""])

    def _write(self) -> None:
        sections = (line for part in self.summary.parts for line in report.section(part))
        text = "\n".join([self.begin(), *sections, self.verdict()])
        self._stem.with_suffix(".md").write_text(text)
        summary.write(self.summary, self._stem.with_suffix(".summary.json"))
        if self._values:
            suite = pyperf.BenchmarkSuite(self._values)
            suite.dump(str(self._stem.with_suffix(".json")), replace=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it works; figures are rough")
    parser.add_argument("--name", help="of the files in benchmarks/results/; default: the time")
    parser.add_argument("group", nargs="*", metavar="GROUP", help=f"default: {', '.join(GROUPS)}")
    args = parser.parse_args()
    if unknown := set(args.group) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # and clean up
    if args.quick:
        os.environ[QUICK] = "1"
    floor.build()
    summary.RESULTS.mkdir(exist_ok=True)

    now = datetime.datetime.now(datetime.timezone.utc)
    stem = summary.RESULTS / (args.name or f"{now:%Y-%m-%dT%H-%M-%SZ}")
    run = Run(stem, args.quick, f"{now:%Y-%m-%d %H:%M}")
    print(run.begin())
    for key in args.group or GROUPS:
        begun = time.monotonic()
        print(run.add(run.measure(GROUPS[key])))
        print(f"({key} took {time.monotonic() - begun:.0f} s)\n", flush=True)
    print(run.verdict())
    print(f"written: {stem}.md, {stem}.json, {stem}.summary.json")
    return 1 if any(part.failures for part in run.summary.parts) else 0


if __name__ == "__main__":
    sys.exit(main())
