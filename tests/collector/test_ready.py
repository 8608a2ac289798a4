# SPDX-License-Identifier: Apache-2.0
"""A collector is ready as long as somebody can register; when nobody can, it says why."""

import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from shmetrics.lanes.lane_files import LaneFiles
from shmetrics.lanes.lane_quota import LaneLimits, LaneQuota
from shmetrics.store import boot
from tests.nodes.node import Node


def ready(node: Node) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{node.url}/-/ready", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def removed(path: Path) -> None:
    path.unlink()


def another_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))


def renamed_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("")
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (removed, "No such file or directory"),
        (another_socket, "something else is in its place"),
        (renamed_over, "something else is in its place"),
    ],
)
def test_without_its_socket_it_is_not_ready(
    node: Node, change: Callable[[Path], None], why: str
) -> None:
    node.start()
    assert ready(node) == (200, "ready\n")
    path = node.runtime_dir / "register.sock"
    kept = path.with_name("kept")
    os.link(path, kept)
    change(path)
    text = f"nobody can register: {path}: {why}; restart the collector\n"
    assert ready(node) == (503, text)
    kept.replace(path)
    assert ready(node) == (200, "ready\n")


def test_with_all_lanes_taken_it_is_not_ready_until_one_is_free(node: Node) -> None:
    node.start("[registration]\nmax_lanes = 1")
    emitter = node.emitter('shmetrics.Counter("x", "").inc()\npause("counted")')
    emitter.until("counted")
    why = "there are 1 lanes already; see registration.max_lanes"
    assert ready(node) == (503, f"nobody can register: {why}\n")


def test_that_one_user_has_all_of_his_lanes_is_no_matter_of_all(node: Node) -> None:
    node.start("[registration]\nmax_lanes_per_uid = 1")
    emitter = node.emitter('shmetrics.Counter("x", "").inc()\npause("counted")')
    emitter.until("counted")
    assert ready(node) == (200, "ready\n")


def test_room_for_lanes_that_is_taken_is_an_obstacle() -> None:
    quota = LaneQuota(LaneLimits(lane_bytes=1000))
    quota.add(7, 900)
    assert quota.excess(None, 100) is None
    excess = quota.excess(None, 101)
    assert excess is not None
    assert excess.quota == "lane_bytes"


def test_a_directory_without_room_is_an_obstacle(tmp_path: Path) -> None:
    files = LaneFiles(tmp_path, boot.clock())
    assert files.obstacle(4096) == ""
    assert files.obstacle(1 << 60) == f"{tmp_path}: no room for a lane; free some"


def test_a_directory_that_is_gone_or_read_only_is_an_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "lanes"
    place.mkdir()
    files = LaneFiles(place, boot.clock())
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)  # as root may always write
        assert files.obstacle(1) == f"{place}: no file can be made there"
    place.rmdir()
    assert files.obstacle(1) == f"{place}: No such file or directory"
