# SPDX-License-Identifier: Apache-2.0
"""The cost of taking text files that are written for node_exporter."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import agents, world
from benchmarks.contender import Contender, Group, Timer
from benchmarks.groups.units import EFFORT, passes

FILES = 100
SERIES = 20  # of each
CONFIG = "[store]\nmax_series_per_lane = 100_000\n"


class _Files:
    """A directory of text files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._values = itertools.count()
        self.write()

    def write(self) -> None:
        """Write all anew, each with other values, and as programs do: to another name, renamed."""
        for number in range(FILES):
            path = self.directory / f"job-{number}.prom"
            lines = [f"# HELP job_{number}_seconds Time.", f"# TYPE job_{number}_seconds gauge"]
            lines += [
                f'job_{number}_seconds{{step="step-{step}"}} {next(self._values) / 8}'
                for step in range(SERIES)
            ]
            new = path.with_suffix(".new")
            new.write_text("\n".join(lines) + "\n")
            os.replace(new, path)


@contextmanager
def _files() -> Iterator[_Files]:
    with tempfile.TemporaryDirectory(prefix="shmetrics-bench-") as folder:
        yield _Files(Path(folder))


@contextmanager
def _gathered(before: Callable[[_Files], object]) -> Iterator[Timer]:
    with world.collector_process(CONFIG), _files() as files:
        from shmetrics.gatherer.samples import Samples
        from shmetrics.gatherer.textfiles import TextfileSeries

        refused: list[str] = []
        series = TextfileSeries([str(files.directory)], 3600.0, Samples(refused.append))
        series.record({})
        yield passes(lambda: series.record({}), lambda: before(files), FILES * SERIES)
        if refused:
            raise RuntimeError(f"not taken: {refused[0]}")


@contextmanager
def by_exporter() -> Iterator[Timer]:
    with _files() as files:
        port = agents.free_port()
        with agents.agent(agents.node_exporter(port, files.directory)) as agent:
            if agents.scrape(port).count("step=") != FILES * SERIES:
                raise RuntimeError("prometheus-node-exporter has not taken all files")

            def timer(loops: int) -> float:
                took = 0.0
                for _ in range(loops):
                    files.write()
                    before = agent.spent_seconds()
                    agents.scrape(port)
                    took += agent.spent_seconds() - before
                return took / FILES / SERIES

            yield timer


GROUP = Group(
    "textfiles",
    "Taking text files of node_exporter",
    f"Processor time per series, of {FILES} files with {SERIES} each. node_exporter reads all of "
    "them at each scrape, changed or not, and prints them. shmetrics gather reads those that have "
    "changed, and records them; that the collector prints them is not in here.",
    "changed",
    (
        Contender(
            "changed",
            "shmetrics gather, all files written anew",
            lambda: _gathered(_Files.write),
        ),
        Contender("same", "the same, no file written anew", lambda: _gathered(lambda files: None)),
        Contender(
            "exporter",
            "prometheus-node-exporter, a scrape",
            by_exporter,
            partial(agents.lacking, "prometheus-node-exporter"),
        ),
    ),
    effort=EFFORT,
)
