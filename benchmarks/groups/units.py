# SPDX-License-Identifier: Apache-2.0
"""The cost of gathering: a pass over many units, and a pass over all processes."""

from __future__ import annotations

import os
import re
import sys
import time
from array import array
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

from benchmarks import agents, cgroups, floor, world
from benchmarks.contender import Contender, Effort, Group, Timer, in_full, only_in_full

if TYPE_CHECKING:
    from shmetrics.units.hierarchies import Hierarchy

UNITS = 500
CPUACCT_STAT = "cpuacct.stat"  # the one file that collectd reads
SOME = ("cpuacct", "memory", "blkio")  # the controllers whose files netdata reads
PROCESSES = 1000
MANY_PROCESSES = int(in_full(20_000, 2_000))
CONFIG = "[store]\nmax_series_per_lane = 100_000\n"
# A pass is long, and so is making of units.
EFFORT = Effort(rounds=3, values=5, warmups=1, loops=3)
LONG = Effort(rounds=1, values=1, warmups=0, loops=1)
AGENT_STARTS_S = 5.0
NETDATA_FINDS_S = 90.0
PASS_S = 10
N_PASSES = 3
DEFAULT_INTERVAL_S = 60
GATHER = """
[gather]
interval_seconds = {seconds}
[gather.processes]
enabled = true
[gather.textfile]
directories = ["{folder}"]
[[gather.probe]]
name = "echo"
command = ["/bin/echo", "echo.n=1"]
interval_seconds = {seconds}
user = "nobody"
[spawner]
socket = "{folder}/none"
"""
Stage = Callable[[], AbstractContextManager[Timer]]


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


def hierarchies_of(made: cgroups.Units, controllers: Collection[str]) -> list[Hierarchy]:
    """Return the hierarchies of some controllers of v1; without one: all hierarchies."""
    return [each for each in made.hierarchies if not controllers or {*each.keys} & {*controllers}]


@contextmanager
def gathered(controllers: Collection[str] = ()) -> Iterator[Timer]:
    """Gather. controllers: those of v1 whose files are read; none: all, and v2's files."""
    with world.collector_process(CONFIG), cgroups.units(UNITS) as made:
        from shmetrics.gatherer.daemon import raise_file_limit
        from shmetrics.gatherer.instruments import Instruments
        from shmetrics.gatherer.passes import Passes
        from shmetrics.units.finder import Finder

        raise_file_limit()
        gatherer = Passes(Finder(hierarchies_of(made, controllers)), Instruments())
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
def one_file_read() -> Iterator[Timer]:
    """Read what collectd reads of a unit, and as it does: processor time of programs and kernel."""
    with cgroups.units(UNITS) as made:
        from shmetrics.gatherer.daemon import raise_file_limit
        from shmetrics.units._files import KEYED, Files, Form

        raise_file_limit()
        form = Form([(KEYED, (b"user", b"system"), (0, 1), (100.0, 100.0))], 2)
        files = [
            Files(form, [os.open(path, os.O_RDONLY)])
            for path in paths_of(made, ("cpuacct",))
            if path.name == CPUACCT_STAT
        ]

        def read() -> None:
            for each in files:
                each.read()

        yield passes(read, made.work, UNITS)
        for each in files:
            each.close()


@contextmanager
def by_kernel(controllers: Collection[str] = (), name: str = "") -> Iterator[Timer]:
    """Read the same files, with kept descriptors, in C, and throw away what they say."""
    with cgroups.units(UNITS) as made:
        from shmetrics.gatherer.daemon import raise_file_limit

        raise_file_limit()
        paths = paths_of(made, controllers)
        fds = array("i", (os.open(path, os.O_RDONLY) for path in paths if name in path.name))
        yield passes(floor.extension().Reader(fds).read, made.work, UNITS)
        for fd in fds:
            os.close(fd)


def paths_of(made: cgroups.Units, controllers: Collection[str] = ()) -> list[Path]:
    """Return the files that are read of all units, of these controllers of v1, or of all."""
    from shmetrics.units.opening import controllers_of
    from shmetrics.units.plan import plan_of
    from shmetrics.units.scan import Scan

    return [
        Path(each.directories[file.key], file.name)
        for path, each in Scan(hierarchies_of(made, controllers)).units().items()
        if path.startswith(made.id)
        for file in plan_of(frozenset(each.directories), controllers_of(each.directories)).files
    ]


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
        paths = paths_of(made)

        def read() -> None:
            for path in paths:
                for line in path.read_text().splitlines():
                    line.split()

        yield passes(read, made.work, UNITS)


@contextmanager
def by_collectd() -> Iterator[Timer]:
    # It looks at the cgroups directly below the root of a hierarchy, and no further.
    with (
        cgroups.units(UNITS, is_flat=True) as made,
        agents.agent(agents.collectd(made.id.lstrip("/"))) as agent,
    ):
        time.sleep(AGENT_STARTS_S)
        agent.check()
        yield each_second(agent, made)


@contextmanager
def by_netdata() -> Iterator[Timer]:
    port = agents.free_port()
    with (
        cgroups.units(UNITS) as made,
        agents.agent(agents.netdata(port, 2 * UNITS)) as agent,
    ):
        deadline = time.monotonic() + NETDATA_FINDS_S
        found: set[str] = set()
        while len(found) < UNITS:
            if time.monotonic() > deadline:
                raise RuntimeError(f"netdata has found {len(found)} of {UNITS} units")
            time.sleep(1.0)
            agent.check()
            found = set(re.findall(r"unit-\d+-service", agents.scrape(port, "/api/v1/charts")))
        yield each_second(agent, made)


def each_second(agent: agents.Agent, made: cgroups.Units) -> Timer:
    """Return a timer of an agent that reads all units each second."""

    def timer(loops: int) -> float:
        took = 0.0
        for _ in range(loops):
            before = agent.spent_seconds()
            made.work()
            time.sleep(1.0)
            took += agent.spent_seconds() - before
        return took / UNITS

    return timer


@contextmanager
def gatherer() -> Iterator[tuple[agents.Agent, cgroups.Units]]:
    """A gatherer with all parts on, as an operator starts it, after its first pass."""

    def command(folder: Path) -> list[str]:
        (folder / "jobs.prom").write_text("".join(f'jobs{{n="{n}"}} {n}\n' for n in range(20)))
        path = folder / "gather.toml"
        path.write_text(GATHER.format(folder=folder, seconds=PASS_S))
        return [sys.executable, "-m", "shmetrics", "gather", "--config", str(path)]

    with (
        world.collector_process(),
        cgroups.units(UNITS) as made,
        agents.agent(command) as agent,
    ):
        time.sleep(1.5 * PASS_S)
        agent.check()
        yield agent, made


@contextmanager
def share_of_a_core() -> Iterator[Timer]:
    with gatherer() as (agent, made):

        def timer(loops: int) -> float:
            before = agent.spent_seconds()
            for _ in range(N_PASSES):
                made.work()
                time.sleep(PASS_S)
            return (agent.spent_seconds() - before) / N_PASSES / DEFAULT_INTERVAL_S

        yield timer


def memory(kind: str) -> Stage:
    """Return the stage of its memory. kind: as smaps_rollup names it."""

    @contextmanager
    def open_() -> Iterator[Timer]:
        with gatherer() as (agent, _):
            yield lambda loops: float(agent.memory_bytes(kind))

    return open_


@contextmanager
def processes_by_exporter() -> Iterator[Timer]:
    with cgroups.units(PROCESSES) as made:
        port = agents.free_port()
        with agents.agent(agents.process_exporter(port)) as agent:
            if 'groupname="sleep"' not in agents.scrape(port):
                raise RuntimeError("prometheus-process-exporter has not found our processes")
            everybody = sum(name.isdigit() for name in os.listdir("/proc"))

            def timer(loops: int) -> float:
                took = 0.0
                for _ in range(loops):
                    made.work()
                    before = agent.spent_seconds()
                    agents.scrape(port)
                    took += agent.spent_seconds() - before
                return took / everybody

            yield timer


@contextmanager
def many_processes() -> Iterator[Timer]:
    """Group many processes of one unit: children of one process, which are cheap to make."""
    from shmetrics.units.processes import ProcessTable

    with cgroups.crowd(MANY_PROCESSES) as unit:
        table = ProcessTable()
        if len(table.groups({unit})[unit].pids) < MANY_PROCESSES:
            raise RuntimeError("not every process was found")
        everybody = sum(name.isdigit() for name in os.listdir("/proc"))
        yield passes(partial(table.groups, {unit}), lambda: None, everybody)


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


SHARE = Group(
    "gatherer",
    "A gatherer at its default interval",
    f"Share of a core, of a gatherer of {UNITS} units with all parts on: processes, quotas, "
    f"probes, lines, text files. Measured with {PASS_S} seconds from pass to pass.",
    "gatherer",
    (Contender("gatherer", "shmetrics gather, every 60 s", share_of_a_core),),
    unit="share",
    effort=LONG,
    lacking=lambda: cgroups.lacking() or only_in_full(),
)

MEMORY = Group(
    "gatherer-memory",
    "Memory of the same gatherer",
    "What is shared with other processes counts in proportion, or is all counted.",
    "proportional",
    (
        Contender("proportional", "what is shared, in proportion (PSS)", memory("Pss")),
        Contender("resident", "all of it (RSS)", memory("Rss"), only_in_full),
    ),
    unit="byte",
    effort=LONG,
    lacking=cgroups.lacking,
)

PASS = Group(
    "units",
    "A pass over the units of a node",
    f"Processor time per unit, of {UNITS} with a process in each, which has run since the pass "
    "before. All files of all hierarchies that this machine has.",
    "pass",
    (
        Contender("pass", "shmetrics gather: find, read, record", gathered),
        Contender("read", "of that, reading with kept descriptors", only_read),
        Contender("kernel", "of that, the kernel's part: only reading", by_kernel),
        Contender("plain", "the same files by name, in Python", plainly),
        Contender(
            "some",
            "shmetrics gather, of cpuacct, memory and blkio alone: 10 files",
            partial(gathered, SOME),
        ),
        Contender(
            "some-kernel", "of that, the kernel's part: only reading", partial(by_kernel, SOME)
        ),
        Contender(
            "netdata",
            "netdata, cgroups: 9 files of these",
            by_netdata,
            partial(agents.lacking, "netdata"),
        ),
        Contender("cpuacct", "reading cpuacct.stat alone, with a kept descriptor", one_file_read),
        Contender(
            "cpuacct-kernel",
            "of that, the kernel's part: only reading",
            partial(by_kernel, ("cpuacct",), CPUACCT_STAT),
        ),
        Contender(
            "collectd",
            "collectd, cgroups: cpuacct.stat alone",
            by_collectd,
            partial(agents.lacking, "collectd"),
        ),
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
        Contender("many", f"the same, of {MANY_PROCESSES:,} processes in one unit", many_processes),
        Contender("plain", "stat, status, cgroup and fd by name, in Python", processes_plainly),
        Contender(
            "exporter",
            "prometheus-process-exporter, a scrape",
            processes_by_exporter,
            partial(agents.lacking, "prometheus-process-exporter"),
        ),
    ),
    effort=EFFORT,
    lacking=cgroups.lacking,
)
