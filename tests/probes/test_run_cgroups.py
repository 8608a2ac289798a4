# SPDX-License-Identifier: Apache-2.0
"""Promise: cgroups of runs are their spawner's alone, and what was left behind is removed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics.probes.spawner import run_cgroups
from shmetrics.probes.spawner.run_cgroups import RunCgroups
from tests.probes import asking
from tests.servers.patience import until


@pytest.fixture
def parent() -> Iterator[Path]:
    """Yield a cgroup for the cgroups of spawners."""
    own = run_cgroups.own_cgroup()
    if own is None or not asking.has_run_cgroups():
        pytest.skip("this kernel, or this user, has no cgroup v2 with cgroup.kill")
    made = Path(tempfile.mkdtemp(prefix="shmetrics-test-", dir=own))
    yield made
    for folder in sorted(made.rglob("*"), reverse=True):
        if folder.is_dir():
            folder.rmdir()
    made.rmdir()


def sleeper(cgroup: Path | str) -> subprocess.Popen[bytes]:
    """Start a process in a cgroup."""
    process = subprocess.Popen(["/bin/sleep", "1000"])
    Path(cgroup, "cgroup.procs").write_text(str(process.pid))
    return process


def opened(parent: Path) -> RunCgroups:
    found = RunCgroups.open(str(parent))
    assert found is not None
    return found


def test_an_empty_one_is_used_again(parent: Path) -> None:
    cgroups = opened(parent)
    first = cgroups.take()
    second = cgroups.take()
    assert first is not None
    assert second is not None
    assert first.path != second.path
    cgroups.give_back(first)
    assert cgroups.take() is first
    for each in (first, second):
        cgroups.give_back(each)
    cgroups.close()
    assert list(parent.glob("shm*")) == []


def test_one_with_a_process_ends_it_and_waits(parent: Path) -> None:
    cgroups = opened(parent)
    first = cgroups.take()
    assert first is not None
    process = sleeper(first.path)
    assert not first.is_empty()
    cgroups.give_back(first)
    assert process.wait(asking.SECONDS) == -9
    until(first.is_empty, lambda: "not empty", asking.SECONDS)
    assert cgroups.take() is first
    cgroups.give_back(first)
    cgroups.close()


def test_one_that_somebody_has_removed_is_not_used_again(parent: Path) -> None:
    cgroups = opened(parent)
    first = cgroups.take()
    assert first is not None
    os.rmdir(first.path)
    first.kill()
    cgroups.give_back(first)
    second = cgroups.take()
    assert second is not None
    assert second.path != first.path
    cgroups.give_back(second)
    cgroups.close()


def test_two_spawners_leave_each_other_alone(parent: Path) -> None:
    one, other = opened(parent), opened(parent)
    cgroup = one.take()
    assert cgroup is not None
    process = sleeper(cgroup.path)
    run_cgroups.remove_left_behind(str(parent))
    opened(parent).close()
    assert process.poll() is None
    assert sorted(path.name for path in parent.glob("shm*")) == [
        run_cgroups.NAME,
        f"{run_cgroups.NAME}-2",
    ]
    process.kill()
    process.wait()
    cgroup.close()
    one.close()
    other.close()


def test_what_a_killed_spawner_left_is_ended_and_removed(parent: Path) -> None:
    left = parent / run_cgroups.NAME / "0"
    left.mkdir(parents=True)
    process = sleeper(left)
    run_cgroups.remove_left_behind(str(parent))
    assert process.wait(asking.SECONDS) == -9

    def is_gone() -> bool:
        run_cgroups.remove_left_behind(str(parent))
        return not left.exists()

    until(is_gone, lambda: "still there", asking.SECONDS)
    assert not left.parent.exists()


def test_where_none_can_be_made_there_are_none(tmp_path: Path) -> None:
    """A folder that is no cgroup stands in for a kernel without cgroup v2."""
    assert RunCgroups.open(str(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cgroup.procs").touch()
    assert RunCgroups.open(str(tmp_path)) is None
    assert not (tmp_path / run_cgroups.NAME).exists()


@pytest.mark.parametrize(
    ("cgroup", "mounts", "found"),
    [
        ("0::/\n", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n", "/sys/fs/cgroup"),
        ("1:cpu:/x\n0::/a/b\n", "30 1 0:26 / /u rw shared:1 - cgroup2 c rw\n", "/u/a/b"),
        ("0::/docker/1/x\n", "30 1 0:26 /docker/1 /u rw - cgroup2 c rw\n", "/u/x"),
        ("0::/docker/12\n", "30 1 0:26 /docker/1 /u rw - cgroup2 c rw\n", None),
        ("1:cpu:/x\n", "30 1 0:26 / /u rw - cgroup2 c rw\n", None),
        ("0::/x\n", "30 1 0:26 / /u rw - cgroup c rw,cpu\n", None),
    ],
)
def test_its_own_cgroup_is_found(
    cgroup: str, mounts: str, found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"/proc/self/cgroup": cgroup, "/proc/self/mountinfo": mounts}
    for path, text in texts.items():
        (tmp_path / os.path.basename(path)).write_text(text)
    real_open = open
    monkeypatch.setattr(
        "builtins.open",
        lambda path, **more: real_open(tmp_path / os.path.basename(path), **more),
    )
    assert run_cgroups.own_cgroup() == found
