# SPDX-License-Identifier: Apache-2.0
"""The directory of lanes after a kill between any two steps, and under an emitter that lets its
lane grow."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shmetrics import _ring
from shmetrics.collector.lane_files import MOST_BROKEN
from shmetrics.registration.protocol import Hello
from shmetrics.registration.verdict import Granted, Refused
from tests.collector import hostile
from tests.collector.hostile import LaneFile
from tests.collector.killed import steps_until_the_end
from tests.collector.loopback import THIS_PROCESS, Loopback, open_collector
from tests.collector.samples import samples_of

HELLO = Hello(_ring.LAYOUT_VERSION, 0, "test")


def granted(answer: Granted | Refused) -> LaneFile:
    assert isinstance(answer, Granted), answer
    return LaneFile(answer.lane_fd)


def test_a_lane_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """A collector that is killed at it leaves nothing, and nothing in the way."""
    path = tmp_path / "run"

    def prepare() -> Callable[[], object]:
        _, collector = open_collector(path)
        return lambda: collector.grant(THIS_PROCESS, HELLO)

    for step in steps_until_the_end(prepare):
        directory, collector = open_collector(path)
        assert list(directory.lanes.iterdir()) == [], step
        assert collector.lanes() == []
        granted(collector.grant(THIS_PROCESS, HELLO)).close()
        collector.tick()
        assert list(directory.lanes.iterdir()) == []
        collector.close()
        directory.close()
        del collector, directory


def test_a_lane_is_retired_once_wherever_the_collector_is_killed_at_it(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def prepare() -> Callable[[], object]:
        _, collector = open_collector(path)
        lane = granted(collector.grant(THIS_PROCESS, HELLO))
        lane.series(hostile.JOBS.type, lane.family(hostile.JOBS), "fast")
        lane.record(hostile.ADD, 1, 5.0)
        lane.close()
        return collector.tick

    for step in steps_until_the_end(prepare):
        directory, collector = open_collector(path)
        assert list(directory.lanes.iterdir()) == [], step
        found = samples_of(collector.tables())
        assert found.value("hostile_jobs_total", queue="fast") == 5 * step
        assert found.value("shmetrics_lanes_retired_total") == step
        assert found.of("shmetrics_quarantined_total") == {}
        collector.close()
        directory.close()
        del collector, directory


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
