# SPDX-License-Identifier: Apache-2.0
"""Promise: whatever comes, goes, is born again or cannot be read, what is shown is what is there.

A model in plain Python goes beside the passes: which units live, and what each has shown.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from shmetrics.gatherer.instruments import Instruments
from shmetrics.gatherer.passes import Passes
from shmetrics.units.finder import Finder
from shmetrics.units.hierarchies import find
from tests.nodes.loopback import Loopback
from tests.units import trees

pytestmark = pytest.mark.slow

STEPS = 60
NAMES = tuple(f"unit-{n}.service" for n in range(6))
USAGE = "container_cpu_usage_seconds_total"
MEMORY = "container_memory_usage_bytes"
LIMIT = "container_spec_memory_limit_bytes"
INFO = "shmetrics_unit_info"


class Node:
    """Units as directories of files, and the model of what a collector has to show of each."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.root = trees.root(folder / "cgroup")
        (folder / "aside").mkdir()
        self.slice = f"/churn-{folder.name}.slice"
        (folder / f"cgroup{self.slice}").mkdir()
        self._aside = folder / "aside"
        self._random = random.Random(seed)
        self._n = 0
        # By name: what is shown of the unit that has it; None where there is no such value.
        self.shown: dict[str, dict[str, float | None]] = {}
        self._counted: dict[str, float] = {}  # what the files say of the time

    def directory(self, name: str) -> Path:
        return Path(f"{self.root}{self.slice}/{name}")

    def step(self) -> None:
        """Do something to one unit."""
        name = self._random.choice(NAMES)
        if name not in self.shown:
            self._make(name)
            return
        what = self._random.choice(["count", "fall", "memory", "limit", "lose", "end", "renew"])
        if what in ("end", "renew"):
            self._n += 1
            self.directory(name).rename(self._aside / str(self._n))  # its inode stays in use
            del self.shown[name]
            if what == "renew":
                self._make(name)
        elif what in ("count", "fall"):
            usec = self._random.randrange(10_000_000)
            (self.directory(name) / "cpu.stat").write_text(f"usage_usec {usec}\n")
            self._counted[name] = usec / 1e6
        elif what == "memory":
            value = self._random.randrange(1 << 30)
            (self.directory(name) / "memory.current").write_text(f"{value}\n")
            self.shown[name][MEMORY] = value
        elif what == "limit":
            limit = self._random.choice([None, 4096, 1 << 20])
            (self.directory(name) / "memory.max").write_text(f"{limit or 'max'}\n")
            self.shown[name][LIMIT] = limit
        else:
            (self.directory(name) / "memory.current").write_text("nonsense\n")
            self.shown[name][MEMORY] = None

    def _make(self, name: str) -> None:
        usec = self._random.randrange(1_000_000)
        trees.write(self.directory(name), {**trees.V2, "cpu.stat": f"usage_usec {usec}\n"})
        self.shown[name] = {USAGE: 0.0, MEMORY: 1048576000, LIMIT: None}
        self._counted[name] = usec / 1e6

    def settle(self) -> None:
        """Let a pass see what is there: a counter that it has shown does not fall."""
        for name, values in self.shown.items():
            values[USAGE] = max(values[USAGE] or 0.0, self._counted[name])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_what_is_shown_is_what_is_there(loopback: Loopback, tmp_path: Path, seed: int) -> None:
    node = Node(tmp_path, seed)
    passes = Passes(Finder(find(str(node.root))), Instruments())
    choice = random.Random(-1 - seed)
    for _ in range(STEPS):
        for _ in range(choice.randrange(3)):
            node.step()
        passes.make()
        node.settle()
        loopback.collector.tick()
        found: dict[str, dict[str, float]] = {}
        for (metric, labels), value in loopback.samples().items():
            path = dict(labels).get("id", "")
            if path.startswith(f"{node.slice}/") and metric in (USAGE, MEMORY, LIMIT, INFO):
                name = path.removeprefix(f"{node.slice}/")
                found.setdefault(name, {})[metric] = value
        wanted = {
            name: {metric: value for metric, value in values.items() if value is not None}
            | {INFO: 1.0}
            for name, values in node.shown.items()
        }
        assert found == wanted
    passes.close()
