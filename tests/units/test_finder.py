# SPDX-License-Identifier: Apache-2.0
"""Promise: units are found as they come and go, and one that lives on stays the same object."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from shmetrics.units.finder import Finder
from shmetrics.units.gears import Gears
from shmetrics.units.hierarchies import find
from shmetrics.units.unit import GEAR, STATIC, Unit
from tests.units import trees
from tests.units.cgroups import Cgroups

ID = "ab" * 32


class Account:
    """An entry of the user database."""

    def __init__(self, home: Path) -> None:
        self.pw_uid = 4321
        self.pw_dir = str(home)


def ids(cgroups: Cgroups, finder: Finder) -> set[str]:
    """Return the ids of the test's own units, without the beginning that they share."""
    found = finder.units()
    return {path.removeprefix(cgroups.id) for path in found if path.startswith(cgroups.id)}


def test_units_come_and_go(cgroups: Cgroups) -> None:
    finder = Finder(cgroups.hierarchies)
    assert ids(cgroups, finder) == {""}
    cgroups.make("/a.service")
    cgroups.make(f"/docker-{ID}.scope")
    cgroups.make("/none")
    assert ids(cgroups, finder) == {"", "/a.service", f"/docker-{ID}.scope"}
    cgroups.remove("/a.service")
    assert ids(cgroups, finder) == {"", f"/docker-{ID}.scope"}


def test_what_is_below_a_container_is_its_own_matter(cgroups: Cgroups) -> None:
    finder = Finder(cgroups.hierarchies)
    cgroups.make(f"/docker-{ID}.scope")
    cgroups.make(f"/docker-{ID}.scope/system.slice")
    cgroups.make("/a.service")
    cgroups.make("/a.service/b.service")
    assert ids(cgroups, finder) == {"", f"/docker-{ID}.scope", "/a.service", "/a.service/b.service"}


def test_a_unit_that_lives_on_is_the_same_object(cgroups: Cgroups) -> None:
    finder = Finder(cgroups.hierarchies)
    path = cgroups.make("/a.service")
    first = finder.units()[path]
    assert finder.units()[path] is first
    cgroups.remove("/a.service")
    cgroups.make("/a.service")
    second = finder.units()[path]
    assert second.name == first.name
    assert second.generation != first.generation


def test_the_generation_is_the_inode(cgroups: Cgroups) -> None:
    unit = Finder(cgroups.hierarchies).units()[cgroups.id]
    assert unit.generation in {os.stat(each).st_ino for each in unit.directories.values()}


def test_only_wanted_kinds_are_found(cgroups: Cgroups) -> None:
    cgroups.make("/a.service")
    cgroups.make(f"/docker-{ID}.scope")
    assert ids(cgroups, Finder(cgroups.hierarchies, kinds=["container"])) == {f"/docker-{ID}.scope"}


def test_a_static_unit_has_the_cgroup_that_it_has_now(cgroups: Cgroups) -> None:
    path = f"{cgroups.id}/jobs"
    wanted = Unit(STATIC, "jobs", path, uid=7)
    finder = Finder(cgroups.hierarchies, static=[wanted])
    assert finder.units()[path] == wanted  # and nothing to read yet
    cgroups.make("/jobs")
    found = finder.units()[path]
    assert (found.kind, found.name, found.uid) == (STATIC, "jobs", 7)
    assert found.generation != 0
    assert set(found.directories.values()) == {
        hierarchy.directory + path
        for hierarchy in cgroups.hierarchies
        if os.path.isdir(hierarchy.directory + path)
    }
    assert finder.units()[path] is found


def test_a_container_has_the_name_that_its_manager_gave(tmp_path: Path) -> None:
    trees.root(tmp_path)
    trees.write(tmp_path / f"docker/{ID}", trees.V2)
    asked: list[tuple[str, str, str]] = []

    def describe(kind: str, name: str, path: str) -> dict[str, str]:
        asked.append((kind, name, path))
        return {"name": "web", "image": "nginx:1"}

    finder = Finder(find(str(tmp_path)), describe=describe)
    for _ in range(2):
        [unit] = finder.units().values()
        assert (unit.kind, unit.name) == ("container", "web")
        assert unit.labels == {"name": "web", "image": "nginx:1"}
    assert asked == [("container", ID, f"/docker/{ID}")]


def test_a_container_that_nobody_knows_has_its_id(tmp_path: Path) -> None:
    trees.root(tmp_path)
    trees.write(tmp_path / f"docker/{ID}", trees.V2)
    [unit] = Finder(find(str(tmp_path))).units().values()
    assert unit.name == ID
    assert unit.labels["name"] == ID


def test_a_container_has_its_name_as_soon_as_its_runtime_has_written_it(tmp_path: Path) -> None:
    trees.root(tmp_path)
    trees.write(tmp_path / f"docker/{ID}", trees.V2)
    said: dict[str, str] = {}
    finder = Finder(find(str(tmp_path)), describe=lambda *unit: said)
    [first] = finder.units().values()
    [second] = finder.units().values()
    assert second is first
    said["name"] = "web"
    [named] = finder.units().values()
    assert (named.name, named.generation) == ("web", first.generation)
    [again] = finder.units().values()
    assert again is named


def test_a_container_without_a_name_is_not_asked_for_for_ever(tmp_path: Path) -> None:
    trees.root(tmp_path)
    trees.write(tmp_path / f"docker/{ID}", trees.V2)
    asked: list[str] = []

    def describe(kind: str, name: str, path: str) -> dict[str, str]:
        asked.append(path)
        return {}

    finder = Finder(find(str(tmp_path)), describe=describe)
    for _ in range(50):
        finder.units()
    assert len(asked) == 11


# ---- gears --------------------------------------------------------------------------------------


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Account]:
    """Return accounts by name, which are the only ones."""
    known: dict[str, Account] = {}
    monkeypatch.setattr("pwd.getpwnam", known.__getitem__)
    return known


def test_a_gear_is_a_directory_with_an_account(
    tmp_path: Path, accounts: dict[str, Account]
) -> None:
    base = tmp_path / "openshift"
    for name in ("gear1", "other", "stray"):
        (base / name).mkdir(parents=True)
    accounts["gear1"] = Account(base / "gear1")
    accounts["other"] = Account(tmp_path)  # somebody whose home is elsewhere
    gears = Gears(str(base))
    wanted = Unit(GEAR, "gear1", "/openshift/gear1", uid=4321, home=str(base / "gear1"))
    assert list(gears()) == [wanted]
    shutil.rmtree(base / "gear1")
    assert list(gears()) == []
    shutil.rmtree(base)
    assert list(gears()) == []


def test_a_gear_with_a_cgroup_is_one_unit(tmp_path: Path, accounts: dict[str, Account]) -> None:
    home = tmp_path / "gears/gear1"
    home.mkdir(parents=True)
    accounts["gear1"] = Account(home)
    trees.root(tmp_path / "cgroup")
    finder = Finder(find(str(tmp_path / "cgroup")), gears=Gears(str(tmp_path / "gears")))
    [idle] = finder.units().values()
    assert (idle.kind, idle.uid, idle.generation) == (GEAR, 4321, 0)
    trees.write(tmp_path / "cgroup/openshift/gear1", trees.V2)
    [living] = finder.units().values()
    assert (living.kind, living.name, living.uid) == (GEAR, "gear1", 4321)
    assert living.generation
    assert living.directories
    [again] = finder.units().values()
    assert again is living


def test_a_name_that_is_no_utf8_is_found(tmp_path: Path) -> None:
    trees.root(tmp_path)
    os.mkdir(os.fsencode(tmp_path) + b"/\xff.service")
    [unit] = Finder(find(str(tmp_path))).units().values()
    assert unit.id == os.fsdecode(b"/\xff.service")
