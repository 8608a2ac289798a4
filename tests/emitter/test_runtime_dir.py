# SPDX-License-Identifier: Apache-2.0
"""The directory where an emitter looks for its collector: never one that others could have made."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics import runtime_dir
from tests.nodes.node import Node
from tests.servers.processes import fork

NOBODY = 65534
# A user that this machine does not have, nor another run of these tests; and so no directory of it.
SERVICE = 50_000 + os.getpid() % 10_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def theirs() -> Iterator[Path]:
    """/tmp/shmetrics-UID, where a service looks last, made by somebody else before it came."""
    path = Path(f"/tmp/shmetrics-{SERVICE}")
    yield path
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def fake_collector(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    listener.bind(str(path / "register.sock"))
    os.chmod(path / "register.sock", 0o666)
    listener.listen()
    return listener


LOOK = f"""
shmetrics.status()
del os.environ["SHMETRICS_RUNTIME_DIR"]
from shmetrics import runtime_dir
runtime_dir.candidates()[:-1] == ["/run/shmetrics"] or sys.exit("there is another directory here")
os.setgroups([])
os.setgid({SERVICE})
os.setuid({SERVICE})
shmetrics.Counter("jobs", "Jobs").inc()
print(shmetrics.status()["problem"])
"""


@as_root
@pytest.mark.skipif(os.path.exists("/run/shmetrics"), reason="a collector is installed here")
@pytest.mark.parametrize("how", ["directory", "link", "writable"])
def test_an_emitter_does_not_register_at_a_fake_collector(
    node: Node, theirs: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    node.runtime_dir.chmod(0o711)
    place = node.runtime_dir if how == "link" else theirs
    place.mkdir(exist_ok=True)
    if how == "link":
        theirs.symlink_to(node.runtime_dir)
        os.chown(theirs, NOBODY, NOBODY, follow_symlinks=False)
        why = f"a link that belongs to uid {NOBODY}, not to uid {SERVICE} or root"
    elif how == "directory":
        place.chmod(0o755)
        os.chown(theirs, NOBODY, NOBODY)
        why = f"belongs to uid {NOBODY}, not to uid {SERVICE} or root"
    else:
        place.chmod(0o1777)
        os.chown(theirs, SERVICE, SERVICE)
        why = f"others may replace what is in it; chmod go-w {theirs}"
    with fake_collector(place) as listener:
        assert node.run(LOOK).strip() == f"no collector: {theirs}: {why}"
        with pytest.raises(BlockingIOError):
            listener.accept()  # nobody was there
    (place / "register.sock").unlink()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three candidates, none of which is there; their parents are ours."""
    found = [tmp_path / name / "shmetrics" for name in "abc"]
    for place in found:
        place.parent.mkdir()
    monkeypatch.setattr(runtime_dir, "candidates", lambda: list(map(str, found)))
    monkeypatch.delenv(runtime_dir.VARIABLE)
    return found


def test_the_first_directory_that_is_there_is_taken(places: list[Path]) -> None:
    assert runtime_dir.find() == str(places[2])
    assert runtime_dir.choose() == str(places[0])
    places[1].mkdir(mode=0o755)
    assert runtime_dir.find() == str(places[1])
    assert runtime_dir.choose() == str(places[0])  # it can be made
    places[0].mkdir(mode=0o755)
    assert runtime_dir.find() == str(places[0])


def test_what_is_named_is_taken_before_all(
    places: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places[0].mkdir(mode=0o755)
    named = tmp_path / "named"
    monkeypatch.setenv(runtime_dir.VARIABLE, str(named))
    assert runtime_dir.find() == runtime_dir.choose() == str(named)
    named.mkdir(mode=0o755)
    assert runtime_dir.find() == str(named)
    named.chmod(0o777)
    with pytest.raises(runtime_dir.Distrusted, match="others may replace what is in it"):
        runtime_dir.find()


@as_root
def test_where_only_root_could_have_put_it_it_may_be_anybodys(places: list[Path]) -> None:
    """As /run/shmetrics, which belongs to the collector's user."""
    places[0].mkdir(mode=0o755)
    os.chown(places[0], NOBODY, NOBODY)
    assert runtime_dir.find() == str(places[0])
    places[0].parent.chmod(0o1777)
    with pytest.raises(runtime_dir.Distrusted, match=f"belongs to uid {NOBODY}"):
        runtime_dir.find()


# ---- the way there -------------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a/b/run, which the environment names."""
    path = tmp_path / "a" / "b" / "run"
    path.mkdir(parents=True)
    for one in (path, path.parent, path.parent.parent):
        one.chmod(0o755)
    monkeypatch.setenv(runtime_dir.VARIABLE, str(path))
    return path


def refused() -> str:
    with pytest.raises(runtime_dir.Distrusted) as caught:
        runtime_dir.find()
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize("up", [1, 2])
def test_a_directory_on_whose_way_others_may_write_is_not_taken(
    named: Path, up: int, mode: int
) -> None:
    folder = named.parents[up - 1]
    folder.chmod(mode)
    mend = f"others can put another in its place; chmod go-w {folder}"
    assert refused() == f"{named}: {mend}"
    folder.chmod(mode | stat.S_ISVTX)  # as /tmp: nobody may rename what is ours
    assert runtime_dir.find() == str(named)


@as_root
@pytest.mark.parametrize("up", [1, 2])
def test_a_directory_on_whose_way_another_users_is_is_not_taken(named: Path, up: int) -> None:
    folder = named.parents[up - 1]
    os.chown(folder, NOBODY, NOBODY)
    why = f"uid {NOBODY}, the owner of {folder}, can put another in its place"
    assert refused() == f"{named}: {why}"


@as_root
def test_the_user_of_a_named_directory_may_have_the_way_too(named: Path) -> None:
    """A service is told to use what belongs to its collector's user."""
    os.chown(named, NOBODY, NOBODY)
    os.chown(named.parent, NOBODY, NOBODY)
    assert runtime_dir.find() == str(named)


@as_root
def test_a_link_that_another_user_can_turn_is_not_taken(
    named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = tmp_path / "places"
    places.mkdir()
    places.chmod(0o1777)
    link = places / "link"
    link.symlink_to("../a")
    monkeypatch.setenv(runtime_dir.VARIABLE, f"{link}/b/run")
    assert runtime_dir.find() == f"{link}/b/run"
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    assert f"uid {NOBODY}, the owner of {link}" in refused()


def test_links_that_lead_to_themselves_are_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        runtime_dir.replaceable(str(tmp_path / "a" / "run"))
    monkeypatch.setenv(runtime_dir.VARIABLE, str(tmp_path / "a" / "run"))
    assert runtime_dir.find() == str(tmp_path / "a" / "run")  # where nobody serves


FOLDER = st.tuples(
    st.sampled_from([0, NOBODY]), st.sampled_from([0o755, 0o775, 0o757, 0o1777, 0o1775, 0o555])
)


def give(folder: Path, owner: int, mode: int) -> None:
    """Where its group may write, somebody else is in it."""
    os.chown(folder, owner, NOBODY if mode & stat.S_IWGRP else 0)
    folder.chmod(mode)


def can_replace(folders: list[Path], entries: list[Path]) -> bool:
    """Tell whether somebody else can really rename any of these entries."""
    child = fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        for folder in folders:
            if folder.stat().st_uid == NOBODY:
                folder.chmod(0o777)  # its owner can always do that
        for entry in entries:
            try:
                entry.rename(f"{entry}.mine")
            except OSError:
                continue
            os._exit(1)
    finally:
        os._exit(0)


@as_root
@given(
    st.lists(FOLDER, min_size=1, max_size=3),
    st.none() | st.tuples(FOLDER, st.sampled_from([0, NOBODY])),
)
@settings(deadline=None, max_examples=60)
def test_it_is_replaceable_if_somebody_else_can_replace_it(
    way: list[tuple[int, int]], link: tuple[tuple[int, int], int] | None
) -> None:
    """The slow way to know: another user tries."""
    top = Path(tempfile.mkdtemp())
    try:
        top.chmod(0o755)
        place, folders, entries = top, [], []
        for number, (owner, mode) in enumerate(way):
            place = place / f"d{number}"
            place.mkdir()
            give(place, owner, mode)
            folders.append(place)
            entries.append(place)
        run = place / "run"
        run.mkdir(mode=0o755)
        entries.append(run)
        path = run
        if link is not None:
            (owner, mode), owner_of_link = link
            others = top / "links"
            others.mkdir()
            (others / "link").symlink_to(f"../d0{str(place)[len(str(top / 'd0')) :]}")
            os.chown(others / "link", owner_of_link, NOBODY, follow_symlinks=False)
            give(others, owner, mode)
            folders.append(others)
            entries += [others, others / "link"]
            path = others / "link" / "run"
        assert bool(runtime_dir.replaceable(str(path))) == can_replace(folders, entries[::-1])
    finally:
        shutil.rmtree(top)
