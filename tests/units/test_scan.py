# SPDX-License-Identifier: Apache-2.0
"""Promise: a walk finds what os.walk() finds, within its bounds, and says the same twice."""

from __future__ import annotations

import os
import resource
import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.units._files import Walk
from shmetrics.units.hierarchies import UNIFIED, Hierarchy
from shmetrics.units.rules import match
from shmetrics.units.scan import Scan, units_in

LEVELS = 32
MIB = 1 << 20


def paths_in(records: bytes) -> dict[str, int]:
    """Return the inodes in the records of a walk by path, as the drawing in walk.h says."""
    found: dict[str, int] = {}
    parents = [""]
    while records:
        inode, level, n = struct.unpack("=QHH", records[:12])
        path = f"{parents[level]}/{os.fsdecode(records[12 : 12 + n])}"
        parents[level + 1 :] = [path]
        found[path] = inode
        records = records[12 + n :]
    return found


def paths_below(root: Path) -> Iterator[tuple[str, int]]:
    """Yield the same, slowly."""
    for directory, names, _ in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                yield path.removeprefix(str(root)), os.stat(path).st_ino


names = st.sampled_from(["a", "b.service", "n\u00e4me", "long" * 60, os.fsdecode(b"\xff")])


@given(st.lists(st.lists(names, min_size=1, max_size=5), max_size=12))
def test_a_walk_finds_all_directories(
    tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]
) -> None:
    root = tmp_path_factory.mktemp("root")
    for path in paths:
        root.joinpath(*path).mkdir(parents=True, exist_ok=True)
    (root / "file").touch()
    (root / "link").symlink_to(root)
    walk = Walk(str(root), MIB)
    records = walk.make()
    assert paths_in(records) == dict(paths_below(root))
    assert walk.make() is records
    assert walk.make(is_thorough=False) is records
    assert not walk.has_left_out
    shutil.rmtree(root)


@pytest.mark.parametrize("size", [0, 1, 12, 13, 26, 100])
def test_what_has_no_room_is_left_out(tmp_path: Path, size: int) -> None:
    for n in range(10):
        (tmp_path / str(n)).mkdir()
    walk = Walk(str(tmp_path), size)
    assert len(paths_in(walk.make())) == size // 13
    assert walk.has_left_out


def test_a_walk_is_not_deeper_than_it_may_be(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(LEVELS + 3):
        deep = deep / "a.slice"
        deep.mkdir()
    scan = Scan([Hierarchy((UNIFIED,), str(tmp_path))])
    assert len(scan.units()) == LEVELS
    assert scan.has_left_out


@pytest.mark.parametrize("name", ["gone", "file"])
def test_a_root_that_is_no_directory_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=name):
        Walk(str(tmp_path / name), MIB).make()
    assert Scan([Hierarchy((UNIFIED,), str(tmp_path / name))]).units() == {}


@pytest.mark.parametrize("left", range(4))
def test_without_descriptors_nothing_looks_as_if_it_had_gone(tmp_path: Path, left: int) -> None:
    """Check each level at which they can run out, and that the next walk is whole again."""
    (tmp_path / "a.slice/b.slice/c.slice/d.slice").mkdir(parents=True)
    scan = Scan([Hierarchy((UNIFIED,), str(tmp_path))])
    before = scan.units()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/", os.O_PATH)  # those above it are free
    os.close(lowest)
    in_use = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > lowest]
    taken = [os.open("/", os.O_PATH) for _ in range(max(in_use, default=lowest) - lowest)]
    try:
        used = max(taken, default=lowest - 1) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + left, hard))
        with pytest.raises(OSError, match="Too many open files"):
            scan.units()  # no name in it ends as that of a leaf: each walk looks into all
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
    assert scan.units() == before


def test_a_hierarchy_that_is_unmounted_has_no_units(tmp_path: Path) -> None:
    (tmp_path / "root/a.service").mkdir(parents=True)
    scan = Scan([Hierarchy((UNIFIED,), str(tmp_path / "root"))])
    assert scan.units().keys() == {"/a.service"}
    shutil.rmtree(tmp_path / "root")
    assert scan.units() == {}


def test_nothing_is_looked_at_again_while_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "a.service").mkdir()
    scan = Scan([Hierarchy((UNIFIED,), str(tmp_path))])
    first = scan.units()
    assert scan.units() is first
    (tmp_path / "b.service").mkdir()
    assert scan.units().keys() == {"/a.service", "/b.service"}


def test_what_is_below_a_leaf_is_no_unit_and_what_is_beside_it_is(tmp_path: Path) -> None:
    container = f"docker-{'ab' * 32}.scope"
    (tmp_path / f"a.slice/{container}/x.service/y.service").mkdir(parents=True)
    (tmp_path / "a.slice/z.service").mkdir()
    (tmp_path / "b.service").mkdir()
    found = {
        each.path
        for each in units_in(Walk(str(tmp_path), MIB).make(), lambda path: (path, match(path)))
    }
    assert found == {"/a.slice", f"/a.slice/{container}", "/a.slice/z.service", "/b.service"}


def test_a_service_that_was_a_leaf_is_asked_when_the_walk_is_thorough(tmp_path: Path) -> None:
    for name in ("a.service", "b.slice", "c.scope", "other"):
        (tmp_path / name).mkdir()
    walk = Walk(str(tmp_path), MIB)
    first = paths_in(walk.make())
    for name in ("a.service", "b.slice", "c.scope", "other"):
        (tmp_path / name / "x").mkdir()
    quick = paths_in(walk.make(is_thorough=False))
    assert quick.keys() - first.keys() >= {"/b.slice/x"}
    assert paths_in(walk.make()) == dict(paths_below(tmp_path))


@given(st.lists(st.tuples(st.booleans(), st.lists(names, min_size=1, max_size=3)), max_size=12))
def test_quick_walks_lose_nothing_but_what_is_new_in_a_leaf(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, list[str]]]
) -> None:
    """Make and remove directories, and walk quickly after each step."""
    root = tmp_path_factory.mktemp("root")
    walk = Walk(str(root), MIB)
    walk.make()
    for is_made, path in steps:
        if is_made:
            root.joinpath(*path).mkdir(parents=True, exist_ok=True)
        else:
            shutil.rmtree(root.joinpath(*path), ignore_errors=True)
        found, there = paths_in(walk.make(is_thorough=False)), dict(paths_below(root))
        assert found.items() <= there.items()
        for missing in there.keys() - found.keys():
            assert ".service/" in missing or ".scope/" in missing
    assert paths_in(walk.make()) == dict(paths_below(root))
    shutil.rmtree(root)


def test_what_is_new_in_a_service_is_found_some_passes_later(tmp_path: Path) -> None:
    (tmp_path / "a.service").mkdir()
    scan = Scan([Hierarchy((UNIFIED,), str(tmp_path))])
    scan.units()
    (tmp_path / "a.service/b.service").mkdir()
    found = [scan.units() for _ in range(4)]
    assert found[-1].keys() == {"/a.service", "/a.service/b.service"}


def test_what_is_new_in_a_service_is_found_in_all_hierarchies_at_once(tmp_path: Path) -> None:
    """Make a cgroup in services again and again: in all hierarchies, in v2, or in one of v1."""
    keys = [*"abcde", UNIFIED]
    hierarchies = [Hierarchy((key,), str(tmp_path / key)) for key in keys]

    def make(path: str, where: Iterable[str]) -> None:
        for key in where:
            (tmp_path / key / path).mkdir(parents=True)

    for number in range(30):
        make(f"{number}.service", keys)
    scan = Scan(hierarchies)
    for number in range(30):
        scan.units()
        where, scans = [(keys, 4), ([UNIFIED], 4), ([keys[number % 5]], 24)][number % 3]
        make(f"{number}.service/new.service", where)
        path = f"/{number}.service/new.service"
        found = next(found for found in (scan.units() for _ in range(scans)) if path in found)
        assert found[path].directories.keys() == set(where)
