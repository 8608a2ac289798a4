# SPDX-License-Identifier: Apache-2.0
"""Runs the contenders of a group in turn, round after round, each time in a new process."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyperf

from benchmarks.contender import Contender, Group

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Effort:
    """How long to look: processes per contender, values per process, seconds per value."""

    rounds: int
    values: int
    warmups: int
    value_s: float


FULL = Effort(rounds=6, values=5, warmups=2, value_s=0.05)
QUICK = Effort(rounds=2, values=2, warmups=1, value_s=0.01)


class ContenderFailed(Exception):
    """The contender's process ended badly; its last words are the message."""


def complaint(stderr: str) -> str:
    """The first line that names an exception: what comes after it is pyperf's own."""
    lines = stderr.strip().splitlines() or ["no output"]
    return next((line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)), lines[-1])


def measure(group: Group, contender: Contender, effort: Effort, loops: int) -> pyperf.Benchmark:
    """One process of one contender. loops: as in the round before, 0 to find out."""
    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as scratch:
        output = Path(scratch, "result.json")
        command = [sys.executable, "-m", "benchmarks.worker", group.key, contender.key]
        command += ["--processes=1", f"--values={effort.values}", f"--warmups={effort.warmups}"]
        command += [f"--min-time={effort.value_s}", "--quiet", f"--output={output}"]
        if loops:
            command += [f"--loops={loops}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode or not output.exists():
            raise ContenderFailed(f"{group.key}/{contender.key}: {complaint(done.stderr)}")
        return pyperf.Benchmark.load(str(output))


def run(
    group: Group, effort: Effort, tell: Callable[[str], None]
) -> tuple[dict[str, pyperf.Benchmark], dict[str, str]]:
    """All rounds of a group: results by contender key, and what kept the others from having any."""
    results: dict[str, pyperf.Benchmark] = {}
    failures: dict[str, str] = {}
    for turn in range(effort.rounds):
        for contender in group.contenders:
            key = contender.key
            if key in failures:
                continue
            tell(f"{group.key}: round {turn + 1} of {effort.rounds}: {contender.title}")
            known = results.get(key)
            loops = known.get_loops() if known and group.unit == "second" else 0
            try:
                found = measure(group, contender, effort, loops)
            except ContenderFailed as error:
                failures[key] = str(error)
                results.pop(key, None)
                continue
            if known:
                known.add_runs(found)
            else:
                results[key] = found
    return results, failures
