# SPDX-License-Identifier: Apache-2.0
"""Promise: what a collector shows of processes is what their groups are, and goes with them."""

from __future__ import annotations

import os
from pathlib import Path

from shmetrics.gatherer.instruments import Instruments
from shmetrics.gatherer.passes import Passes
from shmetrics.gatherer.process_series import ProcessSeries
from shmetrics.units.finder import Finder
from shmetrics.units.hierarchies import find
from shmetrics.units.processes import ProcessTable
from shmetrics.units.pss import Pss
from shmetrics.units.unit import Unit
from tests.nodes.loopback import Loopback
from tests.units.cgroups import Cgroups
from tests.units.test_processes import TICKS, put, rollup

PREFIX = "namedprocess_namegroup_"


def shown(loopback: Loopback, group: str) -> dict[tuple[str, ...], float]:
    """Return the values of one group, by name and the labels beside its own."""
    loopback.collector.tick()
    found = {}
    for (name, labels), value in loopback.samples().items():
        if name.startswith(PREFIX) and dict(labels)["groupname"] == group:
            rest = (text for label, text in labels if label != "groupname")
            key = (name.removeprefix(PREFIX), *rest)
            found[key] = value
    return found


def units(*names: str) -> dict[str, Unit]:
    return {f"/{name}": Unit("systemd", name, f"/{name}", 1) for name in names}


def test_a_group(loopback: Loopback, tmp_path: Path) -> None:
    name = f"{os.urandom(4).hex()}.service"
    put(tmp_path, 7, cgroup=f"/{name}", start=900)
    series = ProcessSeries(ProcessTable(str(tmp_path)), Pss(100, str(tmp_path)))
    rollup(tmp_path, 7, 40)
    series.record(units(name))
    assert shown(loopback, name)["memory_bytes", "proportionalResident"] == 40 * 1024
    put(tmp_path, 7, 900, cgroup=f"/{name}", user=3 * TICKS)
    put(tmp_path, 8, cgroup=f"/{name}", start=2000, system=TICKS, state="R")
    series.record(units(name))
    found = shown(loopback, name)
    assert found["num_procs",] == 2
    assert found["num_threads",] == 4
    assert found["cpu_seconds_total", "user"] == 3
    assert found["cpu_seconds_total", "system"] == 1
    assert found["states", "Running"] == found["states", "Sleeping"] == 1
    assert found["states", "Zombie"] == 0
    assert found["memory_bytes", "resident"] == 6 * os.sysconf("SC_PAGE_SIZE")
    assert ("memory_bytes", "proportionalResident") not in found  # 8 cannot be read


def test_a_group_without_processes_keeps_its_counters_while_its_unit_lives(
    loopback: Loopback, tmp_path: Path
) -> None:
    name = f"{os.urandom(4).hex()}.service"
    series = ProcessSeries(ProcessTable(str(tmp_path)))
    series.record(units(name))
    put(tmp_path, 7, cgroup=f"/{name}", user=3 * TICKS)
    series.record(units(name))
    assert shown(loopback, name)["num_procs",] == 1
    for file in (tmp_path / "7").iterdir():
        file.unlink()
    series.record(units(name))
    assert shown(loopback, name) == {
        ("cpu_seconds_total", "user"): 3,
        ("cpu_seconds_total", "system"): 0,
    }
    series.record({})
    assert shown(loopback, name) == {}


def test_a_group_goes_with_its_unit(loopback: Loopback, tmp_path: Path) -> None:
    name = f"{os.urandom(4).hex()}.service"
    put(tmp_path, 7, cgroup=f"/{name}")
    series = ProcessSeries(ProcessTable(str(tmp_path)))
    series.record(units(name))
    assert shown(loopback, name)
    series.record({})
    assert shown(loopback, name) == {}


def test_processes_follow_the_passes(loopback: Loopback, cgroups: Cgroups) -> None:
    name = f"{os.urandom(4).hex()}.service"  # other tests run beside this one
    one = Unit("static", name, cgroups.make(f"/{name}"))
    cgroups.worker(f"/{name}")
    finder = Finder(find(), kinds=(), static=[one])
    passes = Passes(finder, Instruments(), [ProcessSeries(ProcessTable())])
    passes.make()
    assert shown(loopback, name)["num_procs",] == 1
    passes.close()


def test_a_follower_that_fails_costs_only_itself(loopback: Loopback, tmp_path: Path) -> None:
    name = f"{os.urandom(4).hex()}.service"
    (tmp_path / "cgroup" / name).mkdir(parents=True)
    (tmp_path / "cgroup/cgroup.controllers").touch()
    put(tmp_path, 7, cgroup=f"/{name}")
    broken = ProcessSeries(ProcessTable(str(tmp_path / "gone")))
    sound = ProcessSeries(ProcessTable(str(tmp_path)))
    passes = Passes(Finder(find(str(tmp_path / "cgroup"))), Instruments(), [broken, sound])
    before = loopback.samples().sum("shmetrics_gather_failed_total")
    passes.make()
    assert loopback.samples().sum("shmetrics_gather_failed_total") == before + 1
    assert shown(loopback, name)["num_procs",] == 1
    passes.close()
