# SPDX-License-Identifier: Apache-2.0
"""Promise: each number of a unit is what the kernel says, under the name that dashboards know.

Cgroups of this kernel are real: those of v1, and v2 where it has no controllers. V2's controllers
(memory, io, pids, cpu.max) are trees of files in the formats of the kernel's documentation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from math import isnan
from pathlib import Path

import pytest

from shmetrics.units._files import BLKIO_COUNTS
from shmetrics.units.families import BY_NAME, FAMILIES
from shmetrics.units.hierarchies import UNIFIED, Hierarchy, find
from shmetrics.units.measures import FILES
from shmetrics.units.opening import controllers_of, open_files
from shmetrics.units.plan import Slot, plan_of
from shmetrics.units.readings import read
from shmetrics.units.scan import Scan
from shmetrics.units.unit import Unit
from tests.servers.patience import until
from tests.units import trees, twin
from tests.units.cgroups import Cgroups

# The table of the feature's design, word for word.
WANTED = {
    *(f"container_cpu_{what}_seconds" for what in ("usage", "user", "system")),
    *(
        f"container_cpu_cfs_{what}"
        for what in ("periods", "throttled_periods", "throttled_seconds")
    ),
    *("container_memory_usage_bytes", "container_memory_max_usage_bytes"),
    "container_memory_working_set_bytes",
    *(f"container_memory_{what}" for what in ("rss", "cache", "mapped_file", "swap", "failures")),
    *("container_memory_events_high", "container_memory_events_max", "container_oom_events"),
    *("container_fs_reads_bytes", "container_fs_reads"),
    *("container_fs_writes_bytes", "container_fs_writes"),
    *(
        f"container_pressure_{what}_{how}_seconds"
        for what in ("cpu", "memory", "io")
        for how in ("waiting", "stalled")
    ),
    *("container_processes", "container_threads", "container_threads_max"),
    *("container_spec_memory_limit_bytes", "container_spec_cpu_quota", "container_spec_cpu_period"),
    "container_start_time_seconds",
}


def directories(cgroups: Cgroups, path: str) -> dict[str, str]:
    """Return the directories of a cgroup of the test, by key."""
    return {
        key: hierarchy.directory + path
        for hierarchy in cgroups.hierarchies
        for key in hierarchy.keys
        if os.path.isdir(hierarchy.directory + path)
    }


def values(found: Mapping[str, str]) -> dict[Slot, float]:
    """Return what is read of a unit with these directories."""
    [reading] = read([Unit("systemd", "x", "/x", 1, found)])
    return reading.values


def said(found: Mapping[str, str]) -> dict[Slot, float]:
    """Return the same by the plain twin, without what is no value."""
    wanted = twin.v2(found[UNIFIED], lambda name: False) if UNIFIED in found else {}
    wanted.update(twin.v1(found))
    return {slot: value for slot, value in wanted.items() if not isnan(value)}


def agree(found: Mapping[str, str]) -> dict[Slot, float]:
    """Check every value against the kernel's files, read before and after; return the values."""
    disputed: list[object] = []

    def same() -> bool:
        nonlocal disputed
        before, now, after = said(found), values(found), said(found)
        if before.keys() != now.keys() or before.keys() != after.keys():
            disputed = [before.keys() ^ now.keys()]
            return False
        # A gauge may change between two looks, and then they are taken again.
        disputed = [
            (slot, before[slot], now[slot], after[slot])
            for slot in now
            if not min(before[slot], after[slot]) <= now[slot] <= max(before[slot], after[slot])
        ]
        return not disputed

    until(same, lambda: disputed, 10)
    return values(found)


def test_the_families_are_those_of_the_design() -> None:
    assert {family.name for family in FAMILIES} == WANTED
    assert len(FAMILIES) == len(WANTED)


def test_each_value_belongs_to_a_family_and_has_its_labels() -> None:
    for file in FILES:
        for value in file.values:
            assert len(value.labels) == len(BY_NAME[value.family].labels), value


def test_a_number_that_both_versions_have_is_read_once() -> None:
    keys = frozenset({"cpu", "cpuacct", "memory", "blkio", "pids", UNIFIED})
    plan = plan_of(keys, frozenset({"cpu", "memory", "io", "pids"}))
    slots = list(plan.slots)
    assert len(slots) == len(set(slots))
    assert "io.stat" not in {file.name for file in plan.files}
    assert {file.key for file in plan.files if file.name == "cgroup.procs"} == {"pids"}


# ---- cgroups of this kernel ------------------------------------------------------------------


def test_an_idle_unit(cgroups: Cgroups) -> None:
    path = cgroups.make("/idle.service")
    found = agree(directories(cgroups, path))
    assert found[Slot("container_processes")] == 0
    assert found[Slot("container_cpu_usage_seconds")] == 0


def test_a_unit_that_works(cgroups: Cgroups, tmp_path: Path) -> None:
    path = cgroups.make("/busy.service")
    where = directories(cgroups, path)
    worker = cgroups.worker("/busy.service")
    before = agree(where)
    worker.tell("burn 0.2")
    worker.tell("allocate 20")
    worker.tell(f"write {tmp_path}/file 2")
    worker.tell("threads 3")
    after = agree(where)

    def grown(family: str, *labels: str) -> float:
        slot = Slot(family, labels)
        return after[slot] - before[slot]

    assert grown("container_cpu_usage_seconds") >= 0.2
    assert after[Slot("container_processes")] == 1
    if "memory" in where:
        assert grown("container_memory_rss") >= 20 << 20
        assert grown("container_memory_usage_bytes") >= 20 << 20
        assert grown("container_memory_failures", "pgfault", "container") >= 5000
    if "pids" in where:
        assert grown("container_threads") == 3


def test_counters_stay_when_children_die(cgroups: Cgroups) -> None:
    where = directories(cgroups, cgroups.make("/parent.service"))
    worker = cgroups.worker("/parent.service")
    worker.tell("fork 0.1")
    first = agree(where)[Slot("container_cpu_usage_seconds")]
    worker.tell("fork 0.1")
    second = agree(where)[Slot("container_cpu_usage_seconds")]
    assert first >= 0.1
    assert second >= first + 0.1


def test_a_limit_is_shown_while_there_is_one(cgroups: Cgroups) -> None:
    where = directories(cgroups, cgroups.make("/limited.service"))
    if not {"cpu", "memory", "pids"} <= where.keys():
        pytest.skip("this kernel has cpu, memory and pids in v2")
    limits = {
        "memory.limit_in_bytes": ("container_spec_memory_limit_bytes", 64 << 20, "-1"),
        "cpu.cfs_quota_us": ("container_spec_cpu_quota", 20_000, "-1"),
        "pids.max": ("container_threads_max", 77, "max"),
    }
    for file, (family, value, none) in limits.items():
        assert Slot(family) not in agree(where)
        cgroups.write("/limited.service", file, str(value))
        assert agree(where)[Slot(family)] == value
        cgroups.write("/limited.service", file, none)
        assert Slot(family) not in agree(where)


def test_time_under_a_quota_is_counted(cgroups: Cgroups) -> None:
    where = directories(cgroups, cgroups.make("/throttled.service"))
    if "cpu" not in where:
        pytest.skip("this kernel has cpu in v2")
    cgroups.write("/throttled.service", "cpu.cfs_quota_us", "5000")
    cgroups.worker("/throttled.service").tell("burn 0.02")
    found = agree(where)
    assert found[Slot("container_cpu_cfs_throttled_periods")] >= 1
    assert found[Slot("container_cpu_cfs_throttled_seconds")] > 0


def test_a_unit_that_is_removed_gives_no_values_and_no_others(cgroups: Cgroups) -> None:
    path = cgroups.make("/gone.service")
    where = directories(cgroups, path)
    opened = open_files(where, controllers_of(where), pytest.fail)
    assert opened.files.read() == 0
    cgroups.remove("/gone.service")
    cgroups.make("/gone.service")  # the same paths: a name would find these
    read = [file for file in opened.plan.files if file.form != BLKIO_COUNTS]  # without bytes: not
    assert opened.files.read() == len(read)
    assert set(opened.files.errors()) == {19}  # ENODEV
    assert all(isnan(value) for value in memoryview(opened.files).cast("d"))
    opened.files.close()


def test_a_unit_in_one_hierarchy_only(cgroups: Cgroups) -> None:
    path = cgroups.make("/alone.service", [UNIFIED])
    where = directories(cgroups, path)
    if not where:
        pytest.skip("this kernel has no v2")
    found = agree(where)
    assert Slot("container_cpu_usage_seconds") in found
    assert Slot("container_memory_usage_bytes") not in found


def test_devices_are_counted_as_the_kernel_counts_them(cgroups: Cgroups, tmp_path: Path) -> None:
    """Check each line of the real file, if this machine has a device that counts."""
    where = directories(cgroups, cgroups.make("/writer.service"))
    if "blkio" not in where:
        pytest.skip("this kernel has blkio in v2")
    device = os.stat(tmp_path).st_dev
    limit = f"{os.major(device)}:{os.minor(device)} {1 << 40}"
    with suppress(OSError):  # it is no disk; without a limit newer kernels count nothing in v1
        cgroups.write("/writer.service", "blkio.throttle.write_bps_device", limit)
    worker = cgroups.worker("/writer.service")
    worker.tell(f"write {tmp_path}/file 1")
    opened = open_files(where, frozenset(), pytest.fail)
    opened.files.read()
    found = {(major, minor): rest for major, minor, *rest in opened.files.devices()}
    opened.files.close()
    text = Path(where["blkio"], "blkio.throttle.io_service_bytes_recursive").read_text()
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in ("Read", "Write"):
            numbers = tuple(map(int, words[0].split(":")))
            assert found[numbers][words[1] == "Write"] == int(words[2])  # type: ignore[index]


# ---- files, for what this kernel does not have in v2 -------------------------------------------


def unit_of(root: Path, path: str) -> dict[str, str]:
    found = Scan(find(str(root))).units()[path]
    return found.directories


def test_all_of_v2(tmp_path: Path) -> None:
    trees.root(tmp_path)
    trees.write(tmp_path / "system.slice/web.service", trees.V2)
    where = unit_of(tmp_path, "/system.slice/web.service")
    found = values(where)
    wanted = twin.v2(where[UNIFIED], lambda name: True)
    assert found == {slot: value for slot, value in wanted.items() if not isnan(value)}
    assert found[Slot("container_memory_working_set_bytes")] == 1_000_000_000
    assert found[Slot("container_cpu_usage_seconds")] == 7.000001
    assert found[Slot("container_pressure_io_stalled_seconds")] == 0.3
    assert Slot("container_spec_memory_limit_bytes") not in found  # max


@pytest.mark.parametrize("missing", sorted(set(trees.V2) - {"cgroup.controllers"}))
def test_a_file_that_is_missing_costs_its_values(tmp_path: Path, missing: str) -> None:
    trees.root(tmp_path)
    trees.write(tmp_path / "a.service", trees.V2)
    whole = values(unit_of(tmp_path, "/a.service"))
    (tmp_path / "a.service" / missing).unlink()
    reasons: list[str] = []
    where = unit_of(tmp_path, "/a.service")
    opened = open_files(where, controllers_of(where), reasons.append)
    opened.files.close()
    assert reasons == ["missing"]
    files = [file for file in FILES if (file.key, file.name) == (UNIFIED, missing)]
    lost = {value.family for file in files for value in file.values}
    if missing == "memory.current":
        lost.add("container_memory_working_set_bytes")
    assert {slot.family for slot in whole.keys() - values(where).keys()} <= lost
    assert {slot for slot in whole if slot.family not in lost} == values(where).keys()


def test_a_controller_that_is_switched_off_is_not_asked(tmp_path: Path) -> None:
    trees.root(tmp_path)
    trees.write(tmp_path / "a.service", {**trees.V2, "cgroup.controllers": "pids\n"})
    where = unit_of(tmp_path, "/a.service")
    found = values(where)
    assert Slot("container_memory_usage_bytes") not in found
    assert found[Slot("container_threads")] == 9
    assert found[Slot("container_cpu_usage_seconds")] == 7.000001  # every cgroup has it


@pytest.mark.parametrize("name", sorted(set(trees.V2) - {"cgroup.controllers"}))
def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path, name: str) -> None:
    trees.root(tmp_path)
    folder = trees.write(tmp_path / "a.service", trees.V2)
    (folder / name).unlink()
    (folder / name).symlink_to("/proc/self/status")
    where = unit_of(tmp_path, "/a.service")
    reasons: list[str] = []
    opened = open_files(where, controllers_of(where), reasons.append)
    opened.files.close()
    assert reasons == ["failed"]


def test_a_hierarchy_without_anything_has_no_units(tmp_path: Path) -> None:
    assert Scan([Hierarchy((UNIFIED,), str(tmp_path / "gone"))]).units() == {}
