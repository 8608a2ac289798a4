# SPDX-License-Identifier: Apache-2.0
"""Where an emitter looks for its collector: never where somebody else could have put one."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics import runtime_dir
from tests.collector.node import Node

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
