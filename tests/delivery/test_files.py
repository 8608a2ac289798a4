# SPDX-License-Identifier: Apache-2.0
"""Files of units: every line once, whole, in order, through kills and bad folders."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.delivery.files import MOST_OPEN, Files
from shmetrics.delivery.log_file import LogFile, NotWritten
from shmetrics.errors import ConfigError
from shmetrics.forwarding.sender import Outcome, TryAgain
from tests.delivery.conftest import SECONDS, message
from tests.servers.patience import until

MIB = 1024 * 1024


def opened(folder: Path, rotate_bytes: int = 100, keep: int = 2) -> LogFile:
    return LogFile(os.open(folder, os.O_DIRECTORY), "x.log", rotate_bytes, keep)


def all_of(folder: Path) -> bytes:
    """Return what the rotated files and the file have, the oldest first."""
    files = sorted(folder.glob("x.log.*"), key=lambda path: -int(path.suffix[1:]))
    return b"".join(path.read_bytes() for path in [*files, folder / "x.log"] if path.exists())


@given(
    sizes=st.lists(st.lists(st.integers(1, 60), max_size=6), max_size=8),
    rotate=st.integers(1, 100),
    reopened=st.sets(st.integers(0, 8)),
)
def test_every_line_is_there_once_and_files_stay_small(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[list[int]],
    rotate: int,
    reopened: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("log")
    file = opened(folder, rotate, keep=1000)
    written = b""
    for number, batch in enumerate(sizes):
        lines = [b"%d" % number * size + b"\n" for size in batch]
        assert file.append(lines) == len(lines)
        written += b"".join(lines)
        if number in reopened:
            file.close()
            file = opened(folder, rotate, keep=1000)
    file.close()
    assert all_of(folder) == written
    for path in folder.iterdir():
        size = path.stat().st_size
        assert size <= rotate or path.read_bytes().count(b"\n") == 1


def test_so_many_rotated_files_are_kept(tmp_path: Path) -> None:
    for keep in (0, 2):
        file = opened(tmp_path, 4, keep)
        for number in range(9):
            file.append([b"%d--\n" % number])
        file.close()
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            *("x.log", "x.log.1", "x.log.2")[: keep + 1]
        ]
    assert all_of(tmp_path) == b"6--\n7--\n8--\n"


def test_what_was_cut_by_a_kill_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b"a=1\nb=12")  # of b=123
    file = opened(tmp_path)
    file.append([b"c=3\n"])
    file.close()
    assert all_of(tmp_path) == b"a=1\nc=3\n"


def test_somebody_else_may_rotate_it(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.append([b"a=1\n"])
    (tmp_path / "x.log").rename(tmp_path / "other")
    file.append([b"a=2\n"])
    (tmp_path / "x.log").unlink()
    file.append([b"a=3\n"])
    file.close()
    assert (tmp_path / "other").read_bytes() == b"a=1\n"
    assert all_of(tmp_path) == b"a=3\n"


WRITER = """
import os, sys
from shmetrics.delivery.log_file import LogFile
file = LogFile(os.open(sys.argv[1], os.O_DIRECTORY), "x.log", 500, 100_000)
begin = int(sys.argv[2])
for number in range(begin, begin + 1_000_000):
    file.append([b"n=%d\\n" % number])
    os.write(1, b"%d\\n" % number)
"""


def test_a_kill_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """Kill a writer at odd moments, again and again, and compare with what it said it had done."""
    folder = tmp_path / "log"
    folder.mkdir()
    done = 0
    for kill in range(6):
        said = tmp_path / "said"
        with said.open("wb") as out:
            command = [sys.executable, "-c", WRITER, str(folder), str(done)]
            with subprocess.Popen(command, stdout=out) as process:
                enough = 200 * (kill + 1)
                until(lambda: said.stat().st_size > enough, lambda: "nothing", SECONDS)  # noqa: B023
                process.send_signal(signal.SIGKILL)
        last = int(said.read_bytes().rpartition(b"\n")[0].split(b"\n")[-1])
        found = [int(n) for n in re.findall(rb"n=(\d+)\n", all_of(folder))]
        assert found[: last + 1] == list(range(last + 1))
        assert len(found) <= last + 2  # one may be written and not said
        assert b"".join(b"n=%d\n" % n for n in found) == all_of(folder)
        done = found[-1] + 1


def test_a_disk_without_room_takes_whole_lines_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path, rotate_bytes=10)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:6]))
    with pytest.raises(NotWritten) as raised:
        file.append([b"a=1\n", b"b=2\n", b"c=3\n"])
    monkeypatch.undo()
    assert (raised.value.n_lines, raised.value.error.errno) == (0, errno.ENOSPC)
    file.close()
    assert all_of(tmp_path) == b""


def test_a_link_in_the_place_of_a_file_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.append([b"a=1\n"])
    other = tmp_path / "other"
    other.write_text("mine\n")
    (tmp_path / "x.log").unlink()
    (tmp_path / "x.log").hardlink_to(other)
    with pytest.raises(NotWritten, match="not a file with one name"):
        file.append([b"a=2\n"])
    file.close()
    assert other.read_text() == "mine\n"


# ---- many units ---------------------------------------------------------------------------------


def files(folder: Path, name: str = "{unit}.log") -> Files:
    return Files(f"{folder}/{name}", MIB, 2)


def test_each_unit_has_its_file_with_times(tmp_path: Path) -> None:
    sender = files(tmp_path)
    assert (
        sender.send([message("a=1", "web"), message("b=2", "db"), message("c=3", "web")])
        == Outcome()
    )
    sender.close()
    at = "2020-09-13T12:26:40.123Z"
    assert (tmp_path / "web.log").read_text() == f"{at} a=1\n{at} c=3\n"
    assert (tmp_path / "db.log").read_text() == f"{at} b=2\n"
    assert (tmp_path / "web.log").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("..", "__"),
        ("", "_"),
        ("a\nb\0", "a_b_"),
        ("é" * 200, "é" * 100),
    ],
)
def test_no_name_of_a_unit_leaves_the_folder(tmp_path: Path, unit: str, name: str) -> None:
    sender = files(tmp_path, "{unit}/log")
    sender.send([message("a=1", unit)])
    sender.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_many_units_have_few_descriptors(tmp_path: Path) -> None:
    sender = files(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(2):
        sender.send([message(f"a={number}", f"u{unit}") for unit in range(3 * MOST_OPEN)])
    assert len(os.listdir("/proc/self/fd")) - before == 2 * MOST_OPEN
    sender.close()
    assert len(list(tmp_path.iterdir())) == 3 * MOST_OPEN
    assert all(path.read_text().count("\n") == 2 for path in tmp_path.iterdir())


def test_what_a_unit_put_in_the_way_is_not_written_to(tmp_path: Path) -> None:
    """Check links, a second name of a file, a folder, and a pipe that nobody reads."""
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    other.write_text("mine\n")
    for unit in ("link", "hard", "folder", "pipe", "above"):
        (root / unit).mkdir()
    (root / "link" / "log").symlink_to(other)
    (root / "hard" / "log").hardlink_to(other)
    (root / "folder" / "log").mkdir()
    os.mkfifo(root / "pipe" / "log")
    (root / "above").rmdir()
    (root / "above").symlink_to(tmp_path)
    sender = files(root, "{unit}/log")
    units = ["link", "hard", "folder", "pipe", "above", "good"]
    outcome = sender.send([message("a=1", unit) for unit in units])
    sender.close()
    assert outcome.failed == 5
    assert other.read_text() == "mine\n"
    assert not (tmp_path / "log").exists()
    assert (root / "good" / "log").read_text().endswith(" a=1\n")


def test_what_may_go_away_is_tried_again_alone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    sender = files(root)
    root.rename(tmp_path / "away")
    with pytest.raises(TryAgain, match="No such file or directory") as raised:
        sender.send([message("a=1")])
    assert raised.value.left == [message("a=1")]
    root.mkdir()
    assert sender.send([message("a=1")]) == Outcome()
    sender.close()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/nowhere: no such directory; make one"):
        files(tmp_path / "nowhere")
