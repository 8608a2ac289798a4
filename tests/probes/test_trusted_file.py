# SPDX-License-Identifier: Apache-2.0
"""Promise: a program that anybody but its user and root could have changed is not run."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.probes.spawner.trusted_file import Untrusted, check
from tests.probes.asking import NOBODY, as_root

OTHER = 4711  # a user without an entry in the database


@pytest.fixture
def program(folder: Path) -> Path:
    """Return a program in two folders, all of which belong to nobody."""
    path = folder / "cart" / "bin" / "control"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    for each in (path, path.parent, path.parents[1]):
        os.chown(each, NOBODY, NOBODY)
    return path


def refusal(path: Path | str, uid: int = NOBODY) -> str:
    with pytest.raises(Untrusted) as caught:
        check(str(path), uid)
    return str(caught.value)


@as_root
def test_the_user_s_own_program_is_run(program: Path) -> None:
    assert check(str(program), NOBODY).st_uid == NOBODY
    assert check("/bin/sh", NOBODY).st_uid == 0
    assert check(f"/{program.parent}//./control", NOBODY).st_uid == NOBODY
    assert check(f"{program.parent}/../bin/control", NOBODY).st_uid == NOBODY


@as_root
def test_nobody_runs_the_program_of_another(program: Path) -> None:
    os.chown(program, OTHER, NOBODY)
    assert refusal(program) == (f"{program}: belongs to uid {OTHER}, not to uid 0 or uid {NOBODY}")
    os.chown(program, NOBODY, NOBODY)
    assert "belongs to uid 65534, not to uid 0" in refusal(program.parents[1], 0)
    assert "belongs to uid 65534, not to uid 0" in refusal(program, 0)  # not even root


@as_root
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o722])
@pytest.mark.parametrize("above", [0, 1, 2, 3])
def test_others_may_write_to_nothing_on_the_way(program: Path, mode: int, above: int) -> None:
    place = [program, *program.parents][above]
    place.chmod(mode)
    assert refusal(program).startswith(f"{place}: others may ")
    assert refusal(program).endswith(f"chmod go-w {place}")
    place.chmod(0o755)
    check(str(program), NOBODY)


@as_root
def test_a_folder_of_another_is_not_gone_through(program: Path) -> None:
    os.chown(program.parents[1], OTHER, OTHER)
    assert f"{program.parents[1]}: belongs to uid {OTHER}" in refusal(program)


@as_root
def test_links_are_followed_and_each_is_looked_at(program: Path, folder: Path) -> None:
    link = folder / "link"
    link.symlink_to("cart/bin")
    assert check(f"{link}/control", NOBODY).st_uid == NOBODY
    absolute = folder / "absolute"
    absolute.symlink_to(program)
    assert check(str(absolute), NOBODY).st_uid == NOBODY
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    assert refusal(f"{link}/control") == (
        f"{link}: belongs to uid {OTHER}, not to uid 0 or uid {NOBODY}"
    )
    away = folder / "away"
    away.mkdir()
    away.chmod(0o777)
    (away / "x").write_text("")
    hop = folder / "hop"
    hop.symlink_to("away/../cart/bin/control")
    assert f"{away}: others may replace what is in it" in refusal(hop)
    circle = folder / "circle"
    circle.symlink_to("circle")
    assert refusal(circle) == f"{circle}: Too many levels of symbolic links"


@as_root
def test_in_a_sticky_folder_the_entry_decides(folder: Path) -> None:
    sticky = folder / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    mine = sticky / "mine"
    mine.write_text("")
    mine.chmod(0o755)
    assert check(str(mine), NOBODY).st_uid == 0
    os.chown(mine, OTHER, OTHER)
    assert f"{mine}: belongs to uid {OTHER}" in refusal(mine)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("bin/sh", "bin/sh: this is no absolute path"),
        ("", ": this is no absolute path"),
        ("/no/such", "/no/such: No such file or directory"),
        ("/etc", "/etc: this is a directory, not a program"),
        ("/", "/: this is a directory, not a program"),
        ("/etc/passwd/x", "/etc/passwd: this is no directory"),
        ("/etc/passwd/", "/etc/passwd: this is no directory"),
        ("/etc/passwd/.", "/etc/passwd: this is no directory"),
        ("/dev/null", "/dev/null: this is no file"),
    ],
)
def test_what_is_no_program_is_one_line(path: str, problem: str) -> None:
    assert refusal(path, os.geteuid()) == problem


@given(st.lists(st.sampled_from(["", ".", "..", "etc", "bin", "passwd", "sh", "no"]), max_size=6))
def test_where_it_ends_is_where_the_kernel_does(names: list[str]) -> None:
    path = "/" + "/".join(names)
    try:
        expected = os.stat(path)
    except OSError:
        expected = None
    try:
        found = check(path, os.geteuid())
    except Untrusted:
        return  # stricter, but never elsewhere
    assert expected is not None
    assert os.path.samestat(found, expected)


def test_it_leaves_no_descriptor_open() -> None:
    before = os.listdir("/proc/self/fd")
    for path in ("/bin/sh", "/etc", "/etc/passwd/x", "/dev/null", "/no/such", "/proc/self/exe"):
        with suppress(Untrusted):
            check(path, os.geteuid())
    assert os.listdir("/proc/self/fd") == before
