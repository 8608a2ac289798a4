# SPDX-License-Identifier: Apache-2.0
"""The cost of running the commands of units, from the wish of the gatherer to their end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time

from benchmarks.contender import Contender, Effort, Group, Timer

PROBES = 300  # of a minute, on a node with as many units
USER = 65534
COMMAND = ("/bin/true",)
CONFIG = f'[[gather.probe]]\nname = "true"\ncommand = ["{COMMAND[0]}"]\nuser = {USER}\n'
EFFORT = Effort(rounds=3, values=5, warmups=1, loops=1)

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def lacking() -> str:
    """Return the reason why commands cannot be run as another user here, or ""."""
    return "" if os.geteuid() == 0 else "only root may become another user"


def spent_seconds(pid: int) -> float:
    """Return the processor time of a process and of the children that it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * _TICK_S


@contextmanager
def spawned() -> Iterator[Timer]:
    from shmetrics.probes.callbacks import Callbacks
    from shmetrics.probes.limits import ProbeLimits
    from shmetrics.probes.probe import Owner, Probe
    from shmetrics.probes.probes import Probes
    from shmetrics.probes.spawner_client import SpawnerClient, Started

    ended: list[object] = []
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "gather.toml")
        config.write_text(CONFIG)
        way = Started(str(config))
        callbacks = Callbacks(lambda *_: None, lambda *_: None, lambda *_: None, ended.append)
        probes = Probes(SpawnerClient(way), callbacks, ProbeLimits())
        probes.set(
            Probe(Owner(f"unit-{number}", "probe", USER, "/"), "true", COMMAND)
            for number in range(PROBES)
        )
        loop = asyncio.new_event_loop()
        loop.run_until_complete(probes.once())  # starts the spawner
        guardian = way.pid
        worker = int(Path(f"/proc/{guardian}/task/{guardian}/children").read_text())

        def timer(loops: int) -> float:
            before = process_time() + spent_seconds(worker)
            for _ in range(loops):
                ended.clear()
                loop.run_until_complete(probes.once())
                if len(ended) != PROBES or +probes.counts.skipped:
                    raise RuntimeError(f"{len(ended)} have ended, {+probes.counts.skipped}")
            return (process_time() + spent_seconds(worker) - before) / PROBES

        try:
            yield timer
        finally:
            loop.run_until_complete(_close(probes.close))
            loop.close()


async def _close(close: Callable[[], None]) -> None:
    close()


@contextmanager
def by_subprocess() -> Iterator[Timer]:
    """As a daemon does it that is root itself."""

    def run() -> None:
        subprocess.run(
            COMMAND,
            user=USER,
            group=USER,
            extra_groups=[],
            start_new_session=True,
            capture_output=True,
            timeout=10,
            check=True,
        )

    yield _timer(run)


@contextmanager
def nothing_but_the_program() -> Iterator[Timer]:
    def run() -> None:
        os.waitpid(os.posix_spawn(COMMAND[0], COMMAND, {}), 0)

    yield _timer(run)


def _timer(run: Callable[[], None]) -> Timer:
    def timer(loops: int) -> float:
        own = os.getpid()
        before = spent_seconds(own)
        for _ in range(loops * PROBES):
            run()
        return (spent_seconds(own) - before) / PROBES

    return timer


RUN = Group(
    "probes",
    "Running the commands of units",
    f"Processor time per command, {COMMAND[0]}, of {PROBES}: of all processes that have to do with "
    "it, from the wish to run it until it is reaped.",
    "probe",
    (
        Contender("probe", "shmetrics gather and spawner: bounded, another user", spawned),
        Contender("subprocess", "Python's subprocess, by root: another user", by_subprocess),
        Contender("program", "of that, the program: posix_spawn", nothing_but_the_program),
    ),
    effort=EFFORT,
    lacking=lacking,
)
