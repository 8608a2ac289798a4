# SPDX-License-Identifier: Apache-2.0
"""The directory of lanes: what an earlier collector left, and emitters that let a lane grow."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shmetrics
from shmetrics import _ring, layout
from shmetrics.lanes import _drain
from shmetrics.lanes.lane_files import MOST_BROKEN
from shmetrics.registration.decision import Granted, Refused
from shmetrics.registration.protocol import Hello
from shmetrics.store.log import StoreFull
from shmetrics.store.stored_counter import StoredCounter
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import THIS_PROCESS, Loopback, open_collector
from tests.nodes.node import Node

HELLO = Hello(layout.LAYOUT_VERSION, 0, "test")


def granted(answer: Granted | Refused) -> LaneFile:
    assert isinstance(answer, Granted), answer
    return LaneFile(answer.lane_fd)


def test_what_may_hold_totals_is_never_removed(loopback: Loopback) -> None:
    """A lane whose owner is not known any more is kept, and counts as a lane's memory."""
    lanes = loopback.path / "lanes"
    lane = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
    (lanes / "2.json").unlink()
    before = loopback.samples().value("shmetrics_quota_used", quota="lane_bytes")
    for _ in range(2):
        loopback.restart()
        assert sorted(path.name for path in lanes.iterdir()) == [
            *("1.json", "1.lane", "1.ledger", "2.broken", "2.ledger"),
        ]
        found = loopback.samples()
        assert found.value("shmetrics_quarantined_total", reason="unreadable") == 1
        assert found.value("shmetrics_quota_used", quota="lane_bytes") == before
    lane.close()
    for name in ("2.broken", "2.ledger"):
        (lanes / name).unlink()
    loopback.collector.tick()


def test_leftovers_of_a_kill_are_removed(loopback: Loopback) -> None:
    lanes = loopback.path / "lanes"
    loopback.directory.close()
    for name in ("7.json", "7.ledger", "8.json", "8.ledger", "8.new", "9.new"):
        (lanes / name).write_text("{")
    (lanes / "5.broken").write_bytes(bytes(4096))
    (lanes / "5.json").write_text("{}")
    loopback.directory = type(loopback.directory)(loopback.path)
    loopback.restart()
    assert sorted(path.name for path in lanes.iterdir()) == [
        "1.json",
        "1.lane",
        "1.ledger",
        "5.broken",
        "5.json",
    ]
    for name in ("5.broken", "5.json"):
        (lanes / name).unlink()


def test_of_what_is_set_aside_only_the_newest_stay(loopback: Loopback) -> None:
    """Or else each restart under an emitter that wrecks its lane would leave a file for good. But
    what a process still has stays where it is seen to grow."""
    lanes = loopback.path / "lanes"
    living: dict[int, LaneFile] = {}
    for n in range(2, 2 + MOST_BROKEN + 4):
        living[n] = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
        living[n].memory[:8] = b"no lane!"
    one = (lanes / "2.lane").stat().st_size
    for n in (3, 5):
        living.pop(n).close()
    loopback.restart()
    for n in sorted(living)[1:]:
        living.pop(n).close()
    for _ in range(2):
        loopback.collector.tick()
        left = sorted(int(path.stem) for path in lanes.glob("*.broken"))
        assert left == [2, *range(14 - MOST_BROKEN, 14)]
        assert sorted(int(path.stem) for path in lanes.glob("*.json")) == [1, *left]
        used = loopback.samples().value("shmetrics_quota_used", quota="lane_bytes")
        assert used == one * (1 + len(left))
        loopback.restart()
    living.pop(2).close()
    loopback.collector.tick()
    assert not (lanes / "2.broken").exists()
    for path in [path for n in left[1:] for path in lanes.glob(f"{n}.*")]:
        path.unlink()


def allocated(path: Path) -> int:
    return os.stat(path).st_blocks * 512


@pytest.mark.parametrize("how", ["written", "allocated", "beyond"])
def test_a_lane_that_grows_is_cut_back(loopback: Loopback, how: str) -> None:
    """Its emitter could take all memory that there is. Whoever has it, loses it."""
    lane = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
    path = loopback.path / "lanes" / "2.lane"
    size = path.stat().st_size
    more = 4 << 20
    for times in range(3):
        if how == "written":
            os.pwrite(lane.fd, bytes(more), size)
        elif how == "allocated":
            os.posix_fallocate(lane.fd, size, more)
        else:  # blocks beyond an end that stays where it is
            fallocate_keeping_size(lane.fd, size, more)
        assert allocated(path) >= size + more
        if times == 1:
            loopback.restart()
        loopback.collector.tick()
        assert path.stat().st_size == size
        assert allocated(path) <= size + 65536
        found = loopback.samples()
        assert found.of("shmetrics_quarantined_total") == {(("reason", "grown"),): 1}
    lane.close()
    loopback.collector.tick()
    assert json.loads((loopback.path / "lanes" / "1.json").read_text())["size_bytes"] == size


def fallocate_keeping_size(fd: int, offset: int, size: int) -> None:
    import ctypes

    keep_size = 1
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, keep_size, ctypes.c_long(offset), ctypes.c_long(size)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def test_a_lane_that_was_set_aside_cannot_grow_either(loopback: Loopback) -> None:
    lane = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
    lane.memory[:8] = b"no lane!"
    loopback.restart()
    aside = loopback.path / "lanes" / "2.broken"
    size = aside.stat().st_size
    os.pwrite(lane.fd, b"more", 4 << 20)
    loopback.collector.tick()
    assert aside.stat().st_size == size
    lane.close()
    for suffix in (".broken", ".json", ".ledger"):
        aside.with_suffix(suffix).unlink()
    loopback.collector.tick()


# ---- what cannot be done ----------------------------------------------------------------------


class Unwilling:
    """A file system that does not remove, rename or open for writing what is in one directory, or
    what of it has one suffix."""

    def __init__(
        self, patch: pytest.MonkeyPatch, directory: Path, number: int, suffix: str = ""
    ) -> None:
        self.is_unwilling = True
        self._suffix = suffix
        for name in ("unlink", "rename", "open", "ftruncate"):
            patch.setattr(os, name, self._refusing(getattr(os, name), directory, number))
        patch.setattr(Path, "unlink", _unlink)  # as in newer Pythons
        patch.setattr(Path, "rename", _rename)

    def _refusing(
        self, call: Callable[..., object], directory: Path, number: int
    ) -> Callable[..., object]:
        def refusing(what: object, *args: Any, **named: Any) -> object:
            is_read = call is OPEN and not args[0] & (os.O_RDWR | os.O_CREAT)
            is_here = isinstance(what, int) or (
                str(directory) in str(what) and str(what).endswith(self._suffix)
            )
            if self.is_unwilling and is_here and not is_read:
                raise OSError(number, os.strerror(number), str(what))
            return call(what, *args, **named)

        return refusing


OPEN = os.open


def _unlink(path: Path, missing_ok: bool = False) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        if not missing_ok:
            raise


def _rename(path: Path, target: Path) -> Path:
    os.rename(path, target)
    return target


def emitted(loopback: Loopback) -> None:
    """A process that comes, counts, and dies in the middle of a call."""
    lane = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
    lane.series(hostile.JOBS.type, lane.family(hostile.JOBS), "fast")
    lane.series(hostile.BUSY.type, lane.family(hostile.BUSY), "fast")
    lane.record(hostile.ADD, 1, 5.0)
    lane.put(hostile.DROPPED_AT, 3)
    lane.put(hostile.SPILLED_AT, 2)
    lane.close()


COUNTED = {
    "hostile_jobs_total": 5,
    "shmetrics_lanes_retired_total": 1,
    "shmetrics_dropped_total": 3,
    "shmetrics_spilled_total": 2,
}


def all_is_counted_once(loopback: Loopback) -> None:
    found = loopback.samples()
    assert {name: found.sum(name) for name in COUNTED} == COUNTED
    assert found.sum("shmetrics_quarantined_total") == 0
    assert loopback.collector.ready()[0]


@pytest.mark.parametrize(
    ("number", "suffix"),
    [
        *((errno.EROFS, ""), (errno.EIO, "")),
        *((errno.EPERM, "2.lane"), (errno.EPERM, "2.json"), (errno.EPERM, "2.ledger")),
    ],
)
def test_a_lane_that_cannot_be_removed_ends_nothing_and_counts_once(
    loopback: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    suffix: str,
) -> None:
    """By the collector that has retired it, and by the next ones, which meet it again."""
    lanes = loopback.path / "lanes"
    system = Unwilling(monkeypatch, lanes, number, suffix)
    system.is_unwilling = False
    emitted(loopback)
    system.is_unwilling = True
    one_bytes = (lanes / "2.lane").stat().st_size
    for _ in range(3):
        loopback.collector.tick()
        all_is_counted_once(loopback)
    assert caplog.messages == [
        f"{lanes}/{suffix or '2.lane'} cannot be removed, and is tried again: {os.strerror(number)}"
    ]
    used = loopback.samples().value("shmetrics_quota_used", quota="lane_bytes")
    is_left = suffix not in ("2.json", "2.ledger")
    assert used == (1 + is_left) * one_bytes  # as long as it takes that room
    assert loopback.samples().value("shmetrics_quota_used", quota="lanes") == 1
    if not suffix:
        assert isinstance(loopback.collector.grant(THIS_PROCESS, HELLO), Refused)
    for willing in (False, True):
        system.is_unwilling = not willing
        loopback.restart()
        for _ in range(2):
            loopback.collector.tick()
            all_is_counted_once(loopback)
        system.is_unwilling = False
        loopback.collector.tick()
        assert sorted(path.name for path in lanes.iterdir()) == ["1.json", "1.lane", "1.ledger"]
    used = loopback.samples().value("shmetrics_quota_used", quota="lane_bytes")
    assert used == one_bytes


def test_lanes_that_cannot_be_opened_at_a_start_are_taken_up_later(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of them is lost, and none of them is set aside."""
    lanes = loopback.path / "lanes"
    jobs = shmetrics.Counter("jobs", "Jobs")
    jobs.inc(5)
    loopback.release()
    with monkeypatch.context() as patch:
        system = Unwilling(patch, lanes, errno.EROFS)
        loopback.directory, loopback.collector = open_collector(loopback.path)
        jobs.inc(7)
        for _ in range(3):
            loopback.collector.tick()
            assert loopback.collector.lanes() == []
        system.is_unwilling = False
        loopback.collector.tick()
    assert loopback.samples().value("jobs_total") == 12
    assert len([line for line in caplog.messages if "cannot be taken up" in line]) == 1
    jobs.inc(1)
    assert loopback.samples().value("jobs_total") == 13


@pytest.mark.parametrize("what", ["2.lane", "2.json", "2.ledger"])
def test_a_directory_in_the_place_of_a_file_ends_nothing(
    loopback: Loopback, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    lanes = loopback.path / "lanes"
    emitted(loopback)
    (lanes / what).unlink()
    (lanes / what).mkdir()
    for _ in range(3):
        loopback.collector.tick()
        all_is_counted_once(loopback)
    assert caplog.messages == [
        f"{lanes / what} cannot be removed, and is tried again: Is a directory"
    ]
    loopback.restart()
    loopback.collector.tick()
    all_is_counted_once(loopback)
    (lanes / what).rmdir()
    loopback.collector.tick()
    loopback.restart()
    assert sorted(path.name for path in lanes.iterdir()) == ["1.json", "1.lane", "1.ledger"]
    all_is_counted_once(loopback)


STRAYS = (
    *(
        "7.lane",
        "8.json",
        "8.ledger",
        "9.new",
        "10.broken",
        "x.lane",
        "x.new",
        "x.json",
        "x.broken",
    ),
    *(
        "0.lane",
        "-1.lane",
        "1_0.lane",
        "\N{SUPERSCRIPT TWO}.lane",
        "\N{ARABIC-INDIC DIGIT FIVE}.lane",
    ),
    *("9" * 19 + ".lane", "9" * 20 + ".lane", "9" * 200 + ".lane", "2.lane.3", ".lane", "no\nlane"),
)


@pytest.mark.parametrize("make", ["directory", "full directory", "fifo", "link", "file"])
def test_what_is_no_lane_is_in_nobodys_way(
    loopback: Loopback, caplog: pytest.LogCaptureFixture, make: str
) -> None:
    """It is left alone, and named in one line."""
    lanes = loopback.path / "lanes"
    jobs = shmetrics.Counter("jobs", "Jobs")
    jobs.inc(5)
    left = [name for name in STRAYS if make != "file" or name[0] not in "123456789" or "_" in name]
    for name in left:
        path = lanes / name
        if make == "fifo":
            os.mkfifo(path)
        elif make == "link":
            path.symlink_to("/nowhere")
        elif make == "file":
            path.write_bytes(b"what is it?")
        else:
            path.mkdir()
            if make == "full directory":
                (path / "more").touch()
    for _ in range(2):
        loopback.restart()
        caplog.clear()
        jobs.inc()
        loopback.collector.tick()
        emitted_before = loopback.samples().value("shmetrics_lanes_retired_total")
        granted(loopback.collector.grant(THIS_PROCESS, HELLO)).close()
        loopback.collector.tick()
        found = loopback.samples()
        assert found.value("shmetrics_lanes_retired_total") == emitted_before + 1
    assert found.value("jobs_total") == 7
    assert found.sum("shmetrics_quarantined_total") == 0
    assert {path.name for path in lanes.iterdir()} == {*left, "1.lane", "1.json", "1.ledger"}
    loopback.restart()
    [line] = {line for line in caplog.messages if "are no lanes" in line}
    assert line.startswith(f"{lanes}: {len(left)} entries are no lanes")
    assert line.isprintable()
    for name in left:
        if "directory" in make:
            shutil.rmtree(lanes / name)
        else:
            (lanes / name).unlink()


BAD_OWNERS = {
    "deep": "[" * 4000,
    "long": '{"process": "' + "x" * 100_000 + '"}',
    "negative": '{"process": "x", "pid": 1, "uid": 0, "size_bytes": -1}',
    "infinite": '{"process": "x", "pid": 1, "uid": 0, "size_bytes": Infinity}',
    "a number": '{"process": 1, "pid": 1, "uid": 0, "size_bytes": 512000}',
    "a text": '{"process": "x", "pid": "1", "uid": 0, "size_bytes": 512000}',
    "huge": '{"process": "x", "pid": 1, "uid": 4294967296, "size_bytes": 512000}',
}


@pytest.mark.parametrize("text", BAD_OWNERS.values(), ids=BAD_OWNERS)
def test_an_owner_that_says_nonsense_is_one_that_is_not_known(
    loopback: Loopback, text: str
) -> None:
    lanes = loopback.path / "lanes"
    lane = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
    (lanes / "2.json").write_text(text)
    loopback.restart()
    lane.close()
    found = loopback.samples()
    assert found.value("shmetrics_quarantined_total", reason="unreadable") == 1
    for name in ("2.broken", "2.json", "2.ledger"):
        (lanes / name).unlink()


def test_a_lane_that_cannot_be_cut_back_is_read_no_more(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are drained and cut back."""
    lane = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
    os.pwrite(lane.fd, b"more", 4 << 20)
    with monkeypatch.context() as patch:
        Unwilling(patch, loopback.path / "lanes", errno.EROFS)
        for _ in range(2):
            shmetrics.Counter("jobs", "Jobs").inc()
            loopback.collector.tick()
    found = loopback.samples()
    assert found.value("jobs_total") == 2
    assert found.of("shmetrics_quarantined_total") == {(("reason", "grown"),): 1}
    lane.close()
    loopback.collector.tick()


# ---- lanes that were set aside, and processes that have them ------------------------------------


def test_a_process_whose_lane_is_set_aside_gets_another(node: Node) -> None:
    """As it is with all lanes of a version without ledgers: nobody reads what it records there."""
    node.start()
    emitter = node.emitter(
        """
        from tests.servers.patience import until
        jobs = shmetrics.Counter("jobs", "Jobs")
        jobs.inc(0)
        pause("ready")
        jobs.inc()
        pause("recorded")
        until(
            lambda: jobs.inc(0) or shmetrics.status()["lane"] not in (1, None),
            shmetrics.status,
            60,
        )
        jobs.inc(7)
        pause("has another")
        """
    )
    emitter.until("ready")
    node.freeze()  # so that it has not read what is recorded now
    emitter.go()
    emitter.until("recorded")
    node.kill()
    (node.lanes_dir / "1.ledger").unlink()
    node.start()
    emitter.go()
    emitter.until("has another")
    assert node.samples().value("jobs_total") == 7
    assert node.samples().value("shmetrics_quarantined_total", reason="unreadable") == 1
    emitter.go()
    emitter.end()
    for path in node.lanes_dir.glob("1.*"):
        path.unlink()


def set_aside(loopback: Loopback) -> LaneFile:
    """Lane 2, which its process has spoilt, and has as yet. No collector runs."""
    lane = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
    lane.memory[:8] = b"no lane!"
    loopback.restart()
    assert (loopback.path / "lanes" / "2.broken").exists()
    loopback.release()
    return lane


def quota(loopback: Loopback, name: str) -> float:
    return loopback.samples().value("shmetrics_quota_used", quota=name)


def test_a_lane_that_was_set_aside_counts_for_its_user_as_long_as_it_is_mapped(
    loopback: Loopback,
) -> None:
    """Whatever became of its size while no collector ran, and whichever collector finds it."""
    one_bytes = (loopback.path / "lanes" / "1.lane").stat().st_size
    lane = set_aside(loopback)
    os.posix_fallocate(lane.fd, one_bytes, 4 << 20)
    loopback.reopen()
    for _ in range(2):
        loopback.collector.tick()
        assert (loopback.path / "lanes" / "2.broken").stat().st_size == one_bytes
        assert quota(loopback, "lanes_per_uid") == 2
        assert quota(loopback, "lane_bytes") == 2 * one_bytes
        loopback.restart()
    lane.close()
    loopback.collector.tick()
    assert quota(loopback, "lanes_per_uid") == 1
    assert quota(loopback, "lane_bytes") == 2 * one_bytes  # the file is kept
    for path in (loopback.path / "lanes").glob("2.*"):
        path.unlink()


def test_a_new_store_gives_no_number_that_a_file_has(loopback: Loopback) -> None:
    """Or else one lane's files would be another's, and go with it."""
    set_aside(loopback).close()
    (loopback.path / "store").unlink()
    _ring.process_detach()
    loopback.reopen()
    answer = loopback.collector.grant(THIS_PROCESS, HELLO)
    assert isinstance(answer, Granted)
    assert answer.lane_id == 3
    os.close(answer.lane_fd)
    loopback.collector.tick()
    for path in (loopback.path / "lanes").glob("2.*"):
        path.unlink()


def test_a_waiting_lane_that_somebody_removes_is_forgotten(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = loopback.path / "lanes"
    lane = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
    loopback.release()
    with monkeypatch.context() as patch:
        system = Unwilling(patch, lanes, errno.EROFS)
        loopback.reopen()
        loopback.collector.tick()
        assert quota(loopback, "lanes_per_uid") == 2  # they wait, and are somebody's
        system.is_unwilling = False
        for path in lanes.glob("2.*"):
            path.unlink()
        loopback.collector.tick()
    lane.close()
    assert [one["lane"] for one in loopback.collector.lanes()] == [1]
    assert quota(loopback, "lanes_per_uid") == 1


def test_a_lease_that_cannot_be_asked_for_ends_nothing(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when an operator switches leases off. A lane is somebody's until the kernel says no."""
    granted(loopback.collector.grant(THIS_PROCESS, HELLO)).close()

    def refuse(fd: int) -> bool:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    with monkeypatch.context() as patch:
        patch.setattr(_drain, "is_held", refuse)
        for _ in range(3):
            loopback.collector.tick()
        assert len(loopback.collector.lanes()) == 2
    assert len([line for line in caplog.messages if "cannot be asked" in line]) == 1
    loopback.collector.tick()
    assert len(loopback.collector.lanes()) == 1


def test_a_quarantine_for_whose_reason_there_is_no_room_ends_nothing(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = granted(loopback.collector.grant(THIS_PROCESS, HELLO))
    lane.put(hostile.HEAD_AT, 12345)

    def refuse(counter: StoredCounter, *values: str) -> int:
        raise StoreFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(StoredCounter, "cell", refuse)
        loopback.collector.tick()
    states = [one["state"] for one in loopback.collector.lanes()]
    assert states == ["open", "quarantined"]
    lane.close()
    loopback.collector.tick()
