# SPDX-License-Identifier: Apache-2.0
"""What it costs to gather: a pass over many units, and a pass over all processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks import cgroups, world
from benchmarks.contender import Contender, Effort, Group, Timer

UNITS = 500
PROCESSES = 1000
CONFIG = "[store]\nmax_series_per_lane = 100_000\n"
# A pass is long, and so is making of units.
EFFORT = Effort(rounds=3, values=5, warmups=1, loops=3)


def passes(one: Callable[[], object], before: Callable[[], object], share: int) -> Timer:
    """Return a timer of passes, in processor time by *share*; what is *before* is off the clock."""

    def timer(loops: int) -> float:
        took = 0.0
        for _ in range(loops):
            before()
            begun = process_time()
            one()
            took += process_time() - begun
        return took / share

    return timer


@contextmanager
def gathered() -> Iterator[Timer]:
    with world.collector_process(CONFIG), cgroups.units(UNITS) as made:
        from shmetrics.gatherer.daemon import raise_file_limit
        from shmetrics.gatherer.instruments import Instruments
        from shmetrics.gatherer.passes import Passes
        from shmetrics.units.finder import Finder

        raise_file_limit()
        gatherer = Passes(Finder(made.hierarchies), Instruments())
        gatherer.make()
        yield passes(gatherer.make, made.work, UNITS)
        gatherer.close()


@contextmanager
def only_read() -> Iterator[Timer]:
    with cgroups.units(UNITS) as made, opened(made) as files:

        def read() -> None:
            for each in files:
                each.read()

        yield passes(read, made.work, UNITS)


@contextmanager
def opened(made: cgroups.Units) -> Iterator[list[Any]]:
    """Open the files of all units."""
    from shmetrics.gatherer.daemon import raise_file_limit
    from shmetrics.units.opening import controllers_of, open_files
    from shmetrics.units.scan import Scan

    raise_file_limit()
    found = Scan(made.hierarchies).units()
    files = [
        open_files(each.directories, controllers_of(each.directories), lambda why: None).files
        for path, each in found.items()
        if path.startswith(made.id)
    ]
    yield files
    for each in files:
        each.close()


@contextmanager
def plainly() -> Iterator[Timer]:
    """The same files by name, as a script reads them, and split into words."""
    with cgroups.units(UNITS) as made:
        from shmetrics.units.opening import controllers_of
        from shmetrics.units.plan import plan_of
        from shmetrics.units.scan import Scan

        paths = [
            Path(each.directories[file.key], file.name)
            for path, each in Scan(made.hierarchies).units().items()
            if path.startswith(made.id)
            for file in plan_of(frozenset(each.directories), controllers_of(each.directories)).files
        ]

        def read() -> None:
            for path in paths:
                for line in path.read_text().splitlines():
                    line.split()

        yield passes(read, made.work, UNITS)


@contextmanager
def processes() -> Iterator[Timer]:
    with cgroups.units(PROCESSES) as made:
        from shmetrics.units.processes import ProcessTable

        table = ProcessTable()
        ids = {f"{made.id}/unit-{number}.service" for number in range(PROCESSES)}
        if len(table.groups(ids)) != PROCESSES:
            raise RuntimeError("not every process was found")
        everybody = sum(name.isdigit() for name in os.listdir("/proc"))
        yield passes(partial(table.groups, ids), made.work, everybody)


@contextmanager
def processes_plainly() -> Iterator[Timer]:
    """The same of each process by name, as a script reads it."""
    with cgroups.units(PROCESSES) as made:

        def read() -> None:
            for pid in made.pids:
                for name in ("stat", "status", "cgroup"):
                    Path("/proc", str(pid), name).read_text().split()
                len(os.listdir(f"/proc/{pid}/fd"))

        yield passes(read, made.work, len(made.pids))


PASS = Group(
    "units",
    "A pass over the units of a node",
    f"Processor time per unit, of {UNITS} with a process in each, which has run since the pass "
    "before. All files of all hierarchies that this machine has.",
    "pass",
    (
        Contender("pass", "shmetrics gather: find, read, record", gathered),
        Contender("read", "of that, reading with kept descriptors", only_read),
        Contender("plain", "the same files by name, in Python", plainly),
    ),
    effort=EFFORT,
    lacking=cgroups.lacking,
)

TABLE = Group(
    "by-unit",
    "A pass over the processes of a node",
    f"Processor time per process, of {PROCESSES} in a unit each, and those of this machine.",
    "pass",
    (
        Contender("pass", "shmetrics gather: read and group by unit", processes),
        Contender("plain", "stat, status, cgroup and fd by name, in Python", processes_plainly),
    ),
    effort=EFFORT,
    lacking=cgroups.lacking,
)
