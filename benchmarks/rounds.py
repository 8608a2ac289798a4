# SPDX-License-Identifier: Apache-2.0
"""Runs the contenders of a group in turn, round after round, each time in a new process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyperf

from benchmarks.contender import Contender, Effort, Group

ROOT = Path(__file__).resolve().parent.parent
# Far more than any process of a contender takes: one that hangs shall not stop the others.
PATIENCE_S = 300.0

Results = dict[str, pyperf.Benchmark]
Failures = dict[str, str]


class ContenderFailed(Exception):
    """The contender's process ended badly; its last words are the message."""


def complaint(stderr: str) -> str:
    """The first line that names an exception, or the last."""
    lines = stderr.strip().splitlines() or ["no output"]
    return next((line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)), lines[-1])


def ran(command: list[str]) -> tuple[int, str]:
    """Status and stderr of a process that is ended, with all it started, if it takes too long."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=PATIENCE_S)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return 1, f"TimeoutError: not done after {PATIENCE_S:.0f} s"
            raise
    return process.returncode, said


def measure(
    group: Group, contender: Contender, effort: Effort, loops: int
) -> list[pyperf.Benchmark]:
    """One process of one contender, or of all that are measured together.

    loops: as in the round before, 0 to find out.
    """
    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as scratch:
        output = Path(scratch, "result.json")
        command = [sys.executable, "-m", "benchmarks.worker", group.key, contender.key]
        command += [f"--values={effort.values}", f"--warmups={effort.warmups}"]
        command += [f"--value-s={effort.value_s}", f"--loops={loops}", f"--output={output}"]
        status, said = ran(command)
        if status or not output.exists():
            raise ContenderFailed(f"{group.key}/{contender.key}: {complaint(said)}")
        return list(pyperf.BenchmarkSuite.load(str(output)))


def run(group: Group, effort: Effort, tell: Callable[[str], None]) -> tuple[Results, Failures]:
    """All rounds of a group: results by contender key, and what kept the others from having any."""
    results: Results = {}
    failures: Failures = {}
    contenders = group.contenders[:1] if group.together else group.present()
    try:
        with group.around():
            for turn in range(effort.rounds):
                for contender in contenders:
                    if contender.key not in failures:
                        tell(f"{group.key}: round {turn + 1} of {effort.rounds}: {contender.title}")
                        once(group, contender, effort, results, failures)
    except Exception as error:  # what stands around the group gave way: the other groups go on
        failures[group.key] = f"{group.key}: {type(error).__name__}: {error}"
    return results, failures


def once(
    group: Group, contender: Contender, effort: Effort, results: Results, failures: Failures
) -> None:
    known = results.get(contender.key)
    loops = known.get_loops() if known and group.unit == "second" else effort.loops
    try:
        measured = measure(group, contender, effort, loops)
    except ContenderFailed as error:
        failures[contender.key] = str(error)
        results.pop(contender.key, None)
        return
    for found in measured:
        key = found.get_name().partition("/")[2]
        if key in results:
            results[key].add_runs(found)
        else:
            results[key] = found
