# SPDX-License-Identifier: Apache-2.0
"""Promise: each process is counted in its unit, once, as long as it is the same process.

Trees of files stand in for /proc where a pid has to be used again; else it is the kernel's.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.units import processes as room
from shmetrics.units._files import NOT_ASKED, Processes
from shmetrics.units.processes import Group, ProcessTable, boot_seconds, start_seconds
from shmetrics.units.pss import Pss
from tests.servers.patience import until
from tests.units.cgroups import Cgroups

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def put(
    proc: Path,
    pid: int,
    start: int = 1000,
    user: int = 0,
    system: int = 0,
    *,
    cgroup: str = "/a.service",
    name: str = "x",
    state: str = "S",
) -> None:
    """Write a process as the kernel shows it."""
    folder = proc / str(pid)
    folder.mkdir(exist_ok=True)
    fields = {14: user, 15: system, 20: 2, 22: start, 23: 5 * PAGE, 24: 3}
    rest = " ".join(str(fields.get(at, 1)) for at in range(4, 53))
    (folder / "stat").write_text(f"{pid} ({name}) {state} {rest}\n")
    (folder / "cgroup").write_text(f"4:memory:{cgroup}\n0::/elsewhere\n")


def only(groups: dict[str, Group]) -> Group:
    [group] = groups.values()
    return group


def test_processes_of_a_unit_are_added_up(tmp_path: Path) -> None:
    put(tmp_path, 7, state="R", start=900)
    put(tmp_path, 8, name=") S 1 (", state="D")
    put(tmp_path, 9, cgroup="/other.service")
    (tmp_path / "self").mkdir()
    (tmp_path / "10").mkdir()  # one that has just ended
    group = only(ProcessTable(str(tmp_path)).groups({"/a.service"}))
    assert sorted(group.pids) == [7, 8]
    assert (group.threads, group.resident_bytes, group.virtual_bytes) == (4, 6 * PAGE, 10 * PAGE)
    assert group.states == {"Running": 1, "Waiting": 1}
    assert group.oldest_start_ticks == 900


def test_a_process_is_in_the_deepest_unit_that_it_is_below(tmp_path: Path) -> None:
    put(tmp_path, 7, cgroup="/a.slice/b.service/inner/most")
    put(tmp_path, 8, cgroup="/a.slice/none")
    found = ProcessTable(str(tmp_path)).groups({"/a.slice", "/a.slice/b.service"})
    assert {unit: group.pids for unit, group in found.items()} == {
        "/a.slice/b.service": [7],
        "/a.slice": [8],
    }


def test_time_counts_from_the_first_look(tmp_path: Path) -> None:
    put(tmp_path, 7, user=100 * TICKS)
    table = ProcessTable(str(tmp_path))
    assert only(table.groups({"/a.service"})).user_seconds == 0
    put(tmp_path, 7, user=103 * TICKS, system=TICKS)
    put(tmp_path, 8, start=2000, user=5 * TICKS)  # it has begun since
    group = only(table.groups({"/a.service"}))
    assert (group.user_seconds, group.system_seconds) == (8, 1)


def test_a_pid_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    put(tmp_path, 7, user=100 * TICKS)
    table = ProcessTable(str(tmp_path))
    table.groups({"/a.service", "/b.service"})
    put(tmp_path, 7, start=2000, user=2 * TICKS, cgroup="/b.service")
    found = table.groups({"/a.service", "/b.service"})
    assert found.keys() == {"/b.service"}
    assert only(found).user_seconds == 2


def test_a_time_that_goes_back_is_nothing(tmp_path: Path) -> None:
    put(tmp_path, 7, user=100 * TICKS)
    table = ProcessTable(str(tmp_path))
    table.groups({"/a.service"})
    put(tmp_path, 7, user=90 * TICKS)
    assert only(table.groups({"/a.service"})).user_seconds == 0


def test_a_process_that_is_moved_is_found_where_it_is(tmp_path: Path) -> None:
    units = {"/a.service", "/b.service"}
    put(tmp_path, 7)
    table = ProcessTable(str(tmp_path))
    table.groups(units)
    put(tmp_path, 7, cgroup="/b.service")
    for _ in range(20):
        found = table.groups(units)
    assert found.keys() == {"/b.service"}


def test_a_unit_that_is_gone_has_no_processes(tmp_path: Path) -> None:
    put(tmp_path, 7)
    table = ProcessTable(str(tmp_path))
    assert table.groups({"/a.service"})
    assert table.groups(set()) == {}


def test_more_than_there_is_room_for_are_left_out(tmp_path: Path) -> None:
    for pid in range(1, 6):
        put(tmp_path, pid)
    table = ProcessTable(str(tmp_path), most=3)
    assert len(only(table.groups({"/a.service"})).pids) == 3
    assert table.has_left_out


def test_no_proc_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        ProcessTable(str(tmp_path / "gone")).groups(set())


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 50)), max_size=8))
def test_no_time_is_counted_twice(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int]]
) -> None:
    """Let processes work, end, and take the pids of others, and add up what each has used."""
    proc = tmp_path_factory.mktemp("proc")
    table = ProcessTable(str(proc))
    table.groups({"/a.service"})
    used: dict[tuple[int, int], int] = {}
    found = 0.0
    for pid, life, ticks in steps:
        start = 1000 + life
        used[pid, start] = used.get((pid, start), 0) + ticks
        put(proc, pid, start, used[pid, start])
        lives = {start for known, start in used if known == pid}
        used = {key: value for key, value in used.items() if key[0] != pid or key[1] == start}
        if len(lives) > 1:
            used[pid, start] = ticks
            put(proc, pid, start, ticks)
        before = found
        found += sum(group.user_seconds for group in table.groups({"/a.service"}).values())
        assert round((found - before) * TICKS) == ticks


# ---- the kernel's --------------------------------------------------------------------------------


def test_processes_of_this_kernel(cgroups: Cgroups) -> None:
    path = cgroups.make("/a.service")
    table = ProcessTable()
    table.groups({path})
    worker = cgroups.worker("/a.service")
    worker.tell("burn 0.1")
    worker.tell("threads 2")
    worker.tell("allocate 10")
    group = only(table.groups({path}))
    assert group.pids == [worker.pid]
    assert group.user_seconds + group.system_seconds >= 0.09  # ticks are coarse
    assert group.threads == 3
    assert group.resident_bytes >= 10 << 20
    until(  # it sleeps a moment after it has answered
        lambda: only(table.groups({path})).states == {"Sleeping": 1},
        lambda: only(table.groups({path})).states,
        10,
    )
    open_files = len(os.listdir(f"/proc/{worker.pid}/fd"))
    assert group.files in (0, open_files)  # 0: before Linux 6.2
    began = start_seconds(group.oldest_start_ticks, boot_seconds())
    assert abs(began - os.stat(f"/proc/{worker.pid}").st_mtime) < 60  # a clock that is set


def test_open_files_are_asked_for_in_turn() -> None:
    """Check it with our own, which nothing changes meanwhile."""
    processes = Processes("/proc", room.MOST_PROCESSES, 4)
    seen = []
    for _ in range(9):
        records = struct.iter_unpack("=10Q", processes.make())
        seen += [record[9] for record in records if record[0] == os.getpid()]
    known = [files for files in seen if files != NOT_ASKED]
    assert seen[0] != NOT_ASKED
    assert len(known) in (3, 4)
    assert len(set(known)) == 1


def test_there_is_a_boot() -> None:
    assert 0 < boot_seconds() < os.stat("/proc/self").st_mtime + 60
    assert boot_seconds("/nowhere") == 0


def test_each_state_of_the_kernel_has_a_name() -> None:
    assert {room.STATES.get(letter, room.OTHER_STATE) for letter in "RSDZITtXxKWP"} == {
        *("Running", "Sleeping", "Waiting", "Zombie", "Other"),
    }


# ---- proportional memory ----------------------------------------------------------------------


class Clock:
    """A clock that each look at it moves."""

    def __init__(self, step: float) -> None:
        self.now, self._step = 0.0, step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


def rollup(proc: Path, pid: int, kib: int) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "smaps_rollup").write_text(
        f"55d5-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 9999 kB\nPss:      {kib} kB\nPss_Anon: 1"
    )


def test_memory_is_added_up_when_all_is_known(tmp_path: Path) -> None:
    rollup(tmp_path, 1, 10)
    rollup(tmp_path, 2, 20)
    pss = Pss(100, str(tmp_path))
    pss.look([1, 2])
    assert pss.sum_bytes([1, 2]) == 30 * 1024
    assert pss.sum_bytes([1, 2, 3]) is None


def test_a_process_that_is_not_ours_to_read_leaves_no_half_sum(tmp_path: Path) -> None:
    rollup(tmp_path, 1, 10)
    pss = Pss(100, str(tmp_path))
    pss.look([1, 2])
    assert pss.sum_bytes([1]) == 10 * 1024
    assert pss.sum_bytes([1, 2]) is None


def test_a_budget_is_kept_and_everybody_has_a_turn(tmp_path: Path) -> None:
    for pid in range(1, 7):
        rollup(tmp_path, pid, pid)
    pss = Pss(2.5, str(tmp_path), Clock(1.0))  # two of them in each look
    for n in (2, 4, 6):
        pss.look(range(1, 7))
        assert sum(pss.sum_bytes([pid]) is not None for pid in range(1, 7)) == n
    for pid in range(1, 7):
        rollup(tmp_path, pid, 100)
    for _ in range(3):
        pss.look(range(1, 7))
    assert pss.sum_bytes(range(1, 7)) == 600 * 1024


def test_a_process_that_has_ended_is_forgotten(tmp_path: Path) -> None:
    rollup(tmp_path, 1, 10)
    pss = Pss(100, str(tmp_path))
    pss.look([1])
    pss.look([])
    assert pss.sum_bytes([1]) is None


def test_memory_of_this_kernel(cgroups: Cgroups) -> None:
    cgroups.make("/a.service")
    worker = cgroups.worker("/a.service")
    worker.tell("allocate 10")
    pss = Pss(100)
    pss.look([worker.pid])
    found = pss.sum_bytes([worker.pid])
    assert found is not None
    assert found >= 10 << 20
