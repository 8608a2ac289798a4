# SPDX-License-Identifier: Apache-2.0
"""Promise: what a collector shows of a unit is what its files say, in each of its lives.

The collector is in this process, and the passes record into a lane of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics.gatherer.cgroup_series import CgroupSeries
from shmetrics.gatherer.instruments import LABELS, Instruments
from shmetrics.gatherer.passes import Passes
from shmetrics.units.finder import Finder
from shmetrics.units.hierarchies import UNIFIED, Hierarchy, find
from shmetrics.units.unit import Unit
from tests.nodes.loopback import Loopback
from tests.units import trees
from tests.units.cgroups import Cgroups

USAGE = "container_cpu_usage_seconds_total"
MEMORY = "container_memory_usage_bytes"
LIMIT = "container_spec_memory_limit_bytes"
FAILED = "shmetrics_unit_reads_failed_total"


class Watched:
    """Passes over the units below a path, and what a collector shows after each."""

    def __init__(self, loopback: Loopback, hierarchies: list[Hierarchy], within: str) -> None:
        self._loopback = loopback
        self._within = within
        self.instruments = Instruments()
        self.finder = Finder(hierarchies)
        all_units = self.finder.units
        # Units of the machine that runs the tests are none of theirs.
        self.finder.units = lambda: {  # type: ignore[method-assign]
            path: unit for path, unit in all_units().items() if path.startswith(within)
        }
        self.passes = Passes(self.finder, self.instruments)
        self._failed = self._failures()

    def make(self) -> None:
        self.passes.make()

    def of(self, path: str) -> dict[tuple[str, ...], float]:
        """Return the values of one unit, by name and the labels that not every unit has."""
        self._loopback.collector.tick()
        found = {}
        for (name, labels), value in self._loopback.samples(created=True).items():
            by_name = dict(labels)
            if by_name.get("id") == self._within + path and name != "shmetrics_unit_info":
                key = (name, *(text for label, text in labels if label not in LABELS))
                found[key] = value
        return found

    def value(self, path: str, name: str, *labels: str) -> float | None:
        return self.of(path).get((name, *labels))

    def failures(self) -> dict[str, float]:
        """Return the failed reads since these passes began, by reason."""
        now = self._failures()
        return {
            why: n - self._failed.get(why, 0)
            for why, n in now.items()
            if n > self._failed.get(why, 0)
        }

    def _failures(self) -> dict[str, float]:
        found = self._loopback.samples().of(FAILED)
        return {dict(labels)["reason"]: value for labels, value in found.items()}


@pytest.fixture
def watched(loopback: Loopback, cgroups: Cgroups) -> Iterator[Watched]:
    """Yield passes over real cgroups of this test."""
    found = Watched(loopback, cgroups.hierarchies, cgroups.id)
    yield found
    found.passes.close()


class Tree(Watched):
    """Passes over a tree of files, with one unit in it."""

    def __init__(self, loopback: Loopback, root: Path) -> None:
        trees.root(root)
        self.name = f"/{root.parent.name}.slice"  # another one in each test
        self.directory = trees.write(Path(f"{root}{self.name}"), trees.V2)
        super().__init__(loopback, find(str(root)), self.name)

    def write(self, file: str, text: str) -> None:
        (self.directory / file).write_text(text)

    def cpu(self, usec: int) -> None:
        self.write("cpu.stat", f"usage_usec {usec}\nuser_usec 1\nsystem_usec 1\n")


@pytest.fixture
def tree(loopback: Loopback, tmp_path: Path) -> Iterator[Tree]:
    found = Tree(loopback, tmp_path / "cgroup")
    yield found
    found.passes.close()


class Many:
    """Three units in a tree, and passes that keep only so many descriptors."""

    def __init__(self, root: Path, most_files: int) -> None:
        trees.root(root)
        self.directories = [trees.write(root / f"{n}.service", trees.V2) for n in range(3)]
        self.passes = Passes(Finder(find(str(root))), Instruments(), (), most_files)

    @property
    def n_open(self) -> int:
        """Return how many files of units are open."""
        links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        targets = [os.readlink(link) for link in links if os.path.lexists(link)]
        return sum(target.startswith(str(self.directories[0].parent)) for target in targets)


@pytest.mark.parametrize("most_files", [0, 1, 20, 40, 1000])
def test_units_that_get_no_descriptor_are_read_all_the_same(
    loopback: Loopback, tmp_path: Path, most_files: int
) -> None:
    """Check that their counters do not fall either."""
    many = Many(tmp_path / "cgroup", most_files)
    for usec in (5_000_000, 6_000_000, 4_000_000):
        for directory in many.directories:
            (directory / "cpu.stat").write_text(f"usage_usec {usec}\n")
        many.passes.make()
        assert many.n_open <= most_files
    loopback.collector.tick()
    found = loopback.samples().of(USAGE)
    assert [n for labels, n in found.items() if dict(labels)["unit"][1:] == ".service"] == [6] * 3
    many.passes.close()
    assert many.n_open == 0


# ---- a unit that lives ------------------------------------------------------------------------


def test_a_pass_shows_each_family(tree: Tree) -> None:
    tree.make()
    found = tree.of("")
    assert found[USAGE,] == 7.000001
    assert found[MEMORY,] == 1048576000
    assert found["container_memory_working_set_bytes",] == 1_000_000_000
    assert found["container_memory_failures_total", "pgfault", "hierarchy"] == 12345
    assert found["container_fs_reads_bytes_total", "8:0"] == 4096
    assert found["container_fs_writes_total", "8:0"] == 2
    assert found["container_pressure_memory_waiting_seconds_total",] == 2
    assert found["container_threads_max",] == 4915
    assert found["container_start_time_seconds",] == os.stat(tree.directory).st_mtime
    assert (LIMIT,) not in found
    assert tree.failures() == {}


def test_a_unit_has_the_labels_that_dashboards_know(tree: Tree, loopback: Loopback) -> None:
    tree.make()
    [labels] = [
        dict(labels) for labels in loopback.samples().of(USAGE) if dict(labels)["id"] == tree.name
    ]
    name = tree.name.removeprefix("/")
    wanted = {"id": tree.name, "name": "", "image": "", "unit": name, "kind": "systemd"}
    assert labels == wanted


def test_values_change_from_pass_to_pass(tree: Tree) -> None:
    tree.make()
    tree.cpu(9_000_000)
    tree.write("memory.current", "5\n")
    tree.write("io.stat", "8:0 rbytes=5000 wbytes=8192 rios=2 wios=2\n")
    tree.make()
    found = tree.of("")
    assert found[USAGE,] == 9
    assert found[MEMORY,] == 5
    assert found["container_memory_working_set_bytes",] == 0
    assert found["container_fs_reads_bytes_total", "8:0"] == 5000
    assert ("container_fs_reads_bytes_total", "253:1") not in found  # unplugged


def test_a_counter_does_not_fall(tree: Tree) -> None:
    tree.make()
    tree.cpu(3_000_000)
    tree.write("io.stat", "8:0 rbytes=1 wbytes=8192 rios=1 wios=2\n")
    tree.make()
    found = tree.of("")
    assert found[USAGE,] == 7.000001
    assert found["container_fs_reads_bytes_total", "8:0"] == 4096
    tree.cpu(8_000_000)
    tree.make()
    assert tree.value("", USAGE) == 8


def test_a_limit_comes_and_goes(tree: Tree) -> None:
    tree.make()
    for text, value in (("4096\n", 4096.0), ("max\n", None), ("8192\n", 8192.0)):
        tree.write("memory.max", text)
        tree.make()
        assert tree.value("", LIMIT) == value


def test_new_keys_are_ignored_and_lost_ones_cost_themselves(tree: Tree) -> None:
    tree.make()
    tree.write("memory.stat", "something_new 4\nanon 77\n")
    tree.make()
    found = tree.of("")
    assert found["container_memory_rss",] == 77
    assert ("container_memory_cache",) not in found
    assert found[MEMORY,] == 1048576000
    assert tree.failures() == {}


def test_a_missing_file_costs_its_values_and_is_counted_once(
    loopback: Loopback, tmp_path: Path
) -> None:
    tree = Tree(loopback, tmp_path / "cgroup")
    (tree.directory / "memory.peak").unlink()
    for _ in range(3):
        tree.make()
    found = tree.of("")
    assert ("container_memory_max_usage_bytes",) not in found
    assert found[MEMORY,] == 1048576000
    assert tree.failures() == {"missing": 1}
    tree.passes.close()


def test_a_unit_that_cannot_be_recorded_costs_only_itself(
    watched: Watched,
    cgroups: Cgroups,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cgroups.make("/a.service")
    cgroups.make("/b.service")
    record = CgroupSeries.record

    def fail_for_a(series: CgroupSeries) -> None:
        if series.unit.name == "a.service":
            raise ZeroDivisionError("of the test")
        record(series)

    monkeypatch.setattr(CgroupSeries, "record", fail_for_a)
    with caplog.at_level(logging.WARNING):
        watched.make()
    assert (USAGE,) not in watched.of("/a.service")
    assert (USAGE,) in watched.of("/b.service")
    [line] = [each.getMessage() for each in caplog.records]
    assert line == "a.service is not recorded in this pass: ZeroDivisionError: of the test"


# ---- lives ------------------------------------------------------------------------------------


def born(found: dict[tuple[str, ...], float]) -> float | None:
    return found.get((USAGE.replace("_total", "_created"),))


def test_a_unit_that_was_there_before_has_no_known_start(watched: Watched) -> None:
    watched.make()
    assert born(watched.of("")) is None


def test_a_unit_that_comes_begins_then(watched: Watched, cgroups: Cgroups) -> None:
    watched.make()
    cgroups.make("/a.service")
    cgroups.worker("/a.service").tell("burn 0.05")
    watched.make()
    found = watched.of("/a.service")
    assert found[USAGE,] >= 0.05
    assert born(found) is not None


def test_a_unit_that_is_gone_takes_its_series_along(watched: Watched, cgroups: Cgroups) -> None:
    cgroups.make("/a.service")
    cgroups.make("/b.service")
    watched.make()
    assert watched.of("/a.service")
    cgroups.remove("/a.service")
    watched.make()
    assert watched.of("/a.service") == {}
    assert watched.of("/b.service")


def test_a_unit_that_is_born_again_counts_anew(watched: Watched, cgroups: Cgroups) -> None:
    cgroups.make("/a.service")
    cgroups.worker("/a.service").tell("burn 0.2")
    watched.make()
    first = watched.of("/a.service")
    cgroups.remove("/a.service")
    cgroups.make("/a.service")
    watched.make()
    second = watched.of("/a.service")
    assert second[USAGE,] < 0.1 < first[USAGE,]
    assert born(first) is None
    assert born(second) is not None
    assert watched.failures() == {}


def test_a_unit_born_again_in_the_middle_of_a_pass(watched: Watched, cgroups: Cgroups) -> None:
    """Let it happen after the units were found, and before they are read."""
    cgroups.make("/a.service")
    cgroups.worker("/a.service").tell("burn 0.2")
    watched.make()
    find_units = watched.finder.units

    def found_and_then() -> dict[str, Unit]:
        units = find_units()
        cgroups.remove("/a.service")
        cgroups.make("/a.service")
        return units

    watched.finder.units = found_and_then  # type: ignore[method-assign]
    watched.make()
    between = watched.of("/a.service")
    assert (USAGE,) not in between  # not those of another life
    assert watched.failures().keys() == {"gone"}
    watched.finder.units = find_units  # type: ignore[method-assign]
    watched.make()
    after = watched.of("/a.service")
    assert after[USAGE,] < 0.1
    assert born(after) is not None


def test_a_unit_that_dies_in_the_middle_of_a_pass_costs_only_itself(
    watched: Watched, cgroups: Cgroups
) -> None:
    cgroups.make("/a.service")
    cgroups.make("/b.service")
    watched.make()
    find_units = watched.finder.units

    def found_and_then() -> dict[str, Unit]:
        units = find_units()
        cgroups.remove("/a.service")
        return units

    watched.finder.units = found_and_then  # type: ignore[method-assign]
    watched.make()
    assert (MEMORY,) not in watched.of("/a.service")
    assert watched.of("/b.service")
    watched.finder.units = find_units  # type: ignore[method-assign]
    watched.make()
    assert watched.of("/a.service") == {}


def test_counters_go_on_through_the_death_of_children(watched: Watched, cgroups: Cgroups) -> None:
    cgroups.make("/a.service")
    worker = cgroups.worker("/a.service")
    watched.make()
    last = watched.value("/a.service", USAGE)
    for _ in range(3):
        worker.tell("fork 0.05")
        watched.make()
        now = watched.value("/a.service", USAGE)
        assert last is not None
        assert now is not None
        assert now >= last + 0.05
        last = now


def test_a_controller_that_vanishes_takes_its_values_along(
    watched: Watched, cgroups: Cgroups
) -> None:
    """Remove the cgroup of one hierarchy: its other controllers go on."""
    keys = {key for hierarchy in cgroups.hierarchies for key in hierarchy.keys}
    if not {"memory", "cpuacct"} <= keys:
        pytest.skip("this kernel has no two controllers in v1")
    path = cgroups.make("/a.service")
    watched.make()
    before = watched.of("/a.service")
    [memory] = [each.directory for each in cgroups.hierarchies if "memory" in each.keys]
    os.rmdir(memory + path)
    watched.make()
    after = watched.of("/a.service")
    assert {name for name, *_ in before.keys() - after.keys()} >= {MEMORY, "container_memory_rss"}
    assert (USAGE,) in after
    os.mkdir(memory + path)
    watched.make()
    assert watched.of("/a.service").keys() >= before.keys()


def test_a_controller_of_v2_that_is_switched_on_is_seen(tree: Tree) -> None:
    """A tree stands in: this kernel has v2's controllers in v1."""
    tree.write("cgroup.controllers", "cpu io pids\n")
    tree.make()
    assert (MEMORY,) not in tree.of("")
    tree.write("cgroup.controllers", "cpu io pids memory\n")
    for _ in range(10):
        tree.make()
    assert tree.value("", MEMORY) == 1048576000


def test_another_name_of_a_container_is_another_series(loopback: Loopback, tmp_path: Path) -> None:
    trees.root(tmp_path)
    path = f"/docker/{os.urandom(32).hex()}"
    trees.write(Path(f"{tmp_path}{path}"), trees.V2)
    names = iter(["first", "second"])
    finder = Finder(find(str(tmp_path)), describe=lambda *_: {"name": next(names), "image": "i"})
    passes = Passes(finder, Instruments())

    def shown() -> list[str]:
        found = [dict(labels) for labels in loopback.samples().of(MEMORY)]
        return [labels["name"] for labels in found if labels["id"] == path]

    passes.make()
    assert shown() == ["first"]
    directory = Path(f"{tmp_path}{path}")
    directory.rename(tmp_path / "aside")
    trees.write(directory, trees.V2)
    passes.make()
    assert shown() == ["second"]
    passes.close()


def test_a_unit_without_a_cgroup_has_its_info_and_no_numbers(
    loopback: Loopback, tmp_path: Path
) -> None:
    """Check a gear that is idle, and a static unit that has not begun."""
    trees.root(tmp_path)
    path = f"/openshift/{tmp_path.name}"
    gear = Unit("gear", tmp_path.name, path, uid=4321, home="/gears/x")
    finder = Finder(find(str(tmp_path)), gears=lambda: [gear])
    passes = Passes(finder, Instruments())

    def shown() -> dict[str, dict[str, str]]:
        found = {name: dict(labels) for name, labels in loopback.samples()}
        return {name: labels for name, labels in found.items() if labels.get("id") == path}

    passes.make()
    assert shown().keys() == {"shmetrics_unit_info"}
    assert shown()["shmetrics_unit_info"]["uid"] == "4321"
    trees.write(Path(f"{tmp_path}{path}"), trees.V2)
    passes.make()
    assert {MEMORY, USAGE, "shmetrics_unit_info"} <= shown().keys()
    passes.close()


# ---- on itself ----------------------------------------------------------------------------------


def test_units_are_counted_by_kind(tree: Tree, loopback: Loopback) -> None:
    tree.make()
    assert loopback.samples().value("shmetrics_units", kind="systemd") == 1
    tree.directory.rename(tree.directory.with_name("none"))
    tree.make()
    assert loopback.samples().value("shmetrics_units", kind="systemd") == 0
    assert loopback.samples().sum("shmetrics_gather_seconds_count") >= 2


def test_what_is_known_of_a_unit_is_its_info(loopback: Loopback, tmp_path: Path) -> None:
    trees.root(tmp_path)
    name = f"pod{os.urandom(8).hex()}"
    trees.write(tmp_path / f"kubepods/{name}", trees.V2)
    said = {"pod": "web-0", "namespace": "shop"}
    passes = Passes(Finder(find(str(tmp_path)), describe=lambda *_: said), Instruments())
    passes.make()
    [labels] = [
        dict(labels)
        for labels in loopback.samples().of("shmetrics_unit_info")
        if dict(labels)["id"] == f"/kubepods/{name}"
    ]
    assert (labels["pod"], labels["namespace"], labels["kind"]) == ("web-0", "shop", "pod")
    passes.close()


def test_a_path_that_is_no_utf8_is_shown_as_text(loopback: Loopback, tmp_path: Path) -> None:
    trees.root(tmp_path)
    os.mkdir(os.fsencode(tmp_path) + b"/\xff.service")
    passes = Passes(Finder([Hierarchy((UNIFIED,), str(tmp_path))]), Instruments())
    passes.make()
    shown = {dict(labels)["id"] for labels in loopback.samples().of("shmetrics_unit_info")}
    assert "/\ufffd.service" in shown
    passes.close()


def test_no_descriptor_stays_open(tree: Tree) -> None:
    """Make and end many lives; the account of each test finds what is left."""
    for n in range(5):
        tree.directory.rename(tree.directory.with_name(f"none-{n}"))
        tree.make()
        trees.write(tree.directory, trees.V2)
        tree.make()
