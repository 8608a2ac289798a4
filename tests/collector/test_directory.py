# SPDX-License-Identifier: Apache-2.0
"""The runtime directory: who can reach what is in it, and what is not taken for one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics.collector.directory import Directory, DirectoryError
from shmetrics.store.log import StoreError
from tests.nodes.loopback import open_collector
from tests.nodes.node import Node

NOBODY = 65534
GROUP = 4242
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def modes(path: Path) -> dict[str, str]:
    """Return the modes of a directory and of all that is in it."""
    found = {".": path, **{str(one.relative_to(path)): one for one in path.rglob("*")}}
    return {name: f"{stat.S_IMODE(one.lstat().st_mode):o}" for name, one in found.items()}


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_files_are_0600_and_directories_0700(tmp_path: Path) -> None:
    """Check the modes of files and directories where no other user may register."""
    path = tmp_path / "run"
    directory, collector = open_collector(path)
    directory.announce("http://127.0.0.1:1", "1")
    assert modes(path) == {
        ".": "700",
        "lanes": "700",
        "lock": "600",
        "store": "600",
        "collector.json": "600",
    }
    collector.close()
    directory.close()


@as_root
@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(
    ("search", "group", "directory_mode", "info_mode"),
    [(0o001, None, "701", "604"), (0o011, GROUP, "711", "644"), (0o010, GROUP, "710", "640")],
)
def test_who_may_register_can_reach_the_socket_and_nothing_else(
    tmp_path: Path, search: int, group: int | None, directory_mode: str, info_mode: str
) -> None:
    path = tmp_path / "run"
    directory = Directory(path, search, group)
    directory.announce("http://127.0.0.1:1", "1")
    assert modes(path) == {
        ".": directory_mode,
        "lanes": "700",
        "lock": "600",
        "collector.json": info_mode,
    }
    for one in (path, path / "collector.json"):
        assert one.stat().st_gid == (os.getegid() if group is None else group)
    directory.close()


def test_a_directory_that_is_there_keeps_its_mode(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    Directory(path, 0o001).close()
    assert modes(path)["."] == "700"
    assert caplog.messages == [
        f"{path}: not all who may register can reach the socket; chmod 701 {path}"
    ]
    path.chmod(0o755)
    Directory(path, 0o011).close()
    assert modes(path)["."] == "755"
    assert len(caplog.messages) == 1


def refused(path: Path) -> str:
    with pytest.raises(DirectoryError) as caught:
        Directory(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "run"
    path.mkdir()
    path.chmod(mode)
    assert refused(path) == (
        f"{path}: others may replace what is in it; chmod go-w {path}; choose another --runtime-dir"
    )
    assert list(path.iterdir()) == []


@as_root
def test_a_link_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Check a link to a directory of ours, in which we would work for another user."""
    ours = tmp_path / "ours"
    ours.mkdir()
    link = tmp_path / "run"
    link.symlink_to(ours)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    for path in (link, Path(f"{link}/")):
        assert f"{link}: a link that belongs to uid {NOBODY}, not to root" in refused(path)
    assert list(ours.iterdir()) == []
    os.chown(link, 0, 0, follow_symlinks=False)
    Directory(link).close()  # our own is as we like it


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("up", [1, 2])
def test_a_directory_on_whose_way_others_may_write_is_refused(
    tmp_path: Path, there: bool, up: int
) -> None:
    """Check that nothing is made there before."""
    path = tmp_path / "a" / "b" / "run"
    path.parent.mkdir(parents=True)
    if there:
        path.mkdir(mode=0o700)
    folder = path.parents[up - 1]
    folder.chmod(0o777)
    assert refused(path) == (
        f"{path}: others can put another in its place; chmod go-w {folder}; "
        "choose another --runtime-dir"
    )
    assert path.exists() is there
    folder.chmod(0o1777)
    Directory(path).close()


@as_root
@pytest.mark.parametrize("up", [1, 2])
def test_a_directory_on_whose_way_another_users_is_is_refused(tmp_path: Path, up: int) -> None:
    """Check a collector that runs as root, too."""
    path = tmp_path / "a" / "b" / "run"
    path.mkdir(parents=True, mode=0o700)
    folder = path.parents[up - 1]
    os.chown(folder, NOBODY, NOBODY)
    assert f"uid {NOBODY}, the owner of {folder}, can put another in its place" in refused(path)
    assert list(path.iterdir()) == []


@as_root
def test_a_directory_that_another_user_makes_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "run"
    mkdir = Path.mkdir

    def make(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        mkdir(self, mode, parents, exist_ok)
        if self == path.parent:
            os.chown(self, NOBODY, NOBODY)

    monkeypatch.setattr(Path, "mkdir", make)
    assert f"uid {NOBODY}, the owner of {path.parent}" in refused(path)


@pytest.mark.usefixtures("umask")
def test_the_way_to_it_is_made_for_nobody_else_to_change(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "run"
    Directory(path).close()
    for folder in (path.parent, path.parent.parent):
        assert not folder.stat().st_mode & 0o022


@as_root
def test_lanes_of_somebody_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    (path / "lanes").mkdir(parents=True)
    path.chmod(0o700)
    os.chown(path / "lanes", NOBODY, NOBODY)
    assert f"{path}/lanes: belongs to uid {NOBODY}, not to root; move it away" in refused(path)


@pytest.mark.parametrize("name", ["lanes", "lock"])
def test_nothing_in_it_may_be_a_link(tmp_path: Path, name: str) -> None:
    """Check a link that is left over from a time when others could write here."""
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    if name == "lock":
        target = target / "file"
        target.write_text("precious")
    (path / name).symlink_to(target)
    assert f"{path}/{name}: " in refused(path)
    if name == "lock":
        assert target.read_text() == "precious"
    else:
        assert stat.S_IMODE(target.stat().st_mode) == 0o755


@as_root
def test_a_socket_belongs_to_its_group(node: Node) -> None:
    """Check that a member can register, and that another user cannot even ask, and learns why."""
    node.runtime_dir.rmdir()
    node.start(
        f"""
        [registration]
        allow_uids = "any"
        socket_mode = 0o660
        socket_group = {GROUP}
        """
    )
    assert modes(node.runtime_dir)["."] == "710"
    assert modes(node.runtime_dir)["register.sock"] == "660"
    assert (node.runtime_dir / "register.sock").stat().st_gid == GROUP
    user = "shmetrics.status()\nos.setgroups([{}])\nos.setgid(7)\nos.setuid(" + f"{NOBODY})\n"
    node.run(user.format(GROUP) + 'shmetrics.Counter("jobs", "Jobs").inc()')
    node.run(
        user.format("")
        + """
shmetrics.Counter("jobs", "Jobs").inc(10)
problem = shmetrics.status()["problem"]
assert problem == "no collector for this user: Permission denied; see allow_uids", problem
"""
    )
    assert node.samples().value("jobs_total") == 1


@as_root
def test_a_group_that_one_is_not_in_cannot_have_a_socket(node: Node) -> None:
    """Check that the collector ends at its start, with one line."""
    config = node.runtime_dir / "config"
    config.write_text(f"[registration]\nsocket_group = {GROUP}")
    config.chmod(0o644)
    node.runtime_dir.chmod(0o755)
    said = node.run(
        f"""
        import contextlib, io
        from shmetrics.cli import main
        import shmetrics.cli.collector, shmetrics.collector.daemon
        os.mkdir({str(node.runtime_dir / "run")!r})
        os.chown({str(node.runtime_dir / "run")!r}, {NOBODY}, {NOBODY})
        os.setgroups([])
        os.setuid({NOBODY})
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            status = main(["collector", "--config", {str(config)!r}, "--listen", "127.0.0.1:0",
                           "--runtime-dir", {str(node.runtime_dir / "run")!r}])
        print(status, stderr.getvalue())
        """
    )
    status, _, line = said.strip().partition(" ")
    assert status == "1"
    assert f"register.sock: no socket can be made there (uid {NOBODY} is not a member of" in line
    assert not (node.runtime_dir / "run" / "register.sock").exists()


def test_a_store_is_no_link(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    target = tmp_path / "precious"
    target.write_bytes(b"")
    (path / "store").symlink_to(target)
    with pytest.raises(StoreError, match=r"store: the store cannot be opened: .*symbolic links"):
        open_collector(path)
    assert target.read_bytes() == b""
