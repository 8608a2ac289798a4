# SPDX-License-Identifier: Apache-2.0
"""Two processes are never one series, whatever the kernel says of their pids."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics import layout
from shmetrics.dictionary import Definition
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import SMALL, open_collector
from tests.nodes.node import ROOT
from tests.nodes.samples import Labels, Samples, samples_of

ALL = Definition(layout.TYPE_GAUGE, "busy", "Busy", "", "all", ("queue",), ())
LIVE = ALL._replace(name="busy_live", mode="liveall")
NAMES = "busy", "busy_live"


class Services:
    """A collector, and lanes of processes that have whichever pids the kernel says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._living: list[LaneFile] = []
        self._open()

    def _open(self) -> None:
        self._directory, self.collector = open_collector(self._path, SMALL)

    def _close(self) -> None:
        self.collector.close()
        self._directory.close()
        del self.collector, self._directory

    def restart(self) -> None:
        self._close()
        self._open()

    def start(self, pid: int, value: float, queue: str = "fast") -> LaneFile:
        """A process with both gauges."""
        granted = self.collector.grant(Peer(pid, 0, 0), Hello(layout.LAYOUT_VERSION, 64, "service"))
        assert isinstance(granted, Granted)
        lane = LaneFile(granted.lane_fd)
        for n, definition in enumerate((ALL, LIVE)):
            lane.series(definition.type, lane.family(definition), queue)
            lane.put_double(lane.parts["cells"][0] + 16 * n, value)
        lane.put(hostile.GAUGE_WRITES_AT, 2)
        self._living.append(lane)
        return lane

    def end(self, lane: LaneFile) -> None:
        self._living.remove(lane)
        lane.close()

    def tick(self) -> None:
        self.collector.tick()

    def samples(self) -> Samples:
        return samples_of(self.collector.tables())

    def shown(self, name: str = "busy") -> dict[Labels, float]:
        return self.samples().of(name)

    def close(self) -> None:
        for lane in list(self._living):
            self.end(lane)
        self._close()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    found = Services(tmp_path / "run")
    yield found
    found.close()


def of(pid: str, queue: str = "fast") -> Labels:
    return ("pid", pid), ("queue", queue)


def test_processes_whose_pid_nobody_knows_are_series_of_their_own(services: Services) -> None:
    """By the numbers of their lanes: living, dead, and after a restart of the collector."""
    first, *_ = [services.start(0, value) for value in (10.0, 20.0, 30.0)]
    services.start(7, 40.0)
    wanted = {of("lane-1"): 10.0, of("lane-2"): 20.0, of("lane-3"): 30.0, of("7"): 40.0}
    for _ in range(2):
        assert [services.shown(name) for name in NAMES] == [wanted, wanted]
        services.restart()
    services.end(first)
    services.tick()
    services.start(0, 50.0)
    wanted |= {of("lane-5"): 50.0}
    for _ in range(2):
        assert services.shown("busy") == wanted
        assert services.shown("busy_live") == {
            labels: value for labels, value in wanted.items() if value != 10.0
        }
        services.restart()
    assert [lane["lane"] for lane in services.collector.lanes()] == [2, 3, 4, 5]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_pid_that_is_used_again_belongs_to_the_later_process(
    services: Services, restarts: bool
) -> None:
    """Nothing of the earlier one is shown beside it, nor when the later one has ended, too."""
    first = services.start(7, 10.0, "slow")
    services.start(8, 30.0, "slow")
    services.end(first)
    services.tick()
    assert services.shown() == {of("7", "slow"): 10.0, of("8", "slow"): 30.0}
    if restarts:
        services.restart()
    second = services.start(7, 20.0, "fast")
    for _ in range(2):
        assert services.shown() == {of("7", "fast"): 20.0, of("8", "slow"): 30.0}
        services.restart()
    services.end(second)
    services.tick()
    assert services.shown() == {of("7", "fast"): 20.0, of("8", "slow"): 30.0}


def test_a_process_whose_end_is_noticed_late_leaves_nothing_to_who_has_its_pid(
    services: Services,
) -> None:
    first = services.start(7, 10.0, "slow")
    services.end(first)
    services.start(7, 20.0, "fast")  # before any tick
    services.tick()
    for _ in range(2):
        assert services.shown() == {of("7", "fast"): 20.0}
        services.restart()


def test_a_process_that_asks_anew_stays_the_same_series(services: Services) -> None:
    """Its first lane is broken, and it has another one."""
    broken = services.start(7, 10.0)
    broken.record(77, 1)
    services.tick()
    assert services.shown() == {}
    services.start(7, 20.0)
    services.tick()
    assert services.shown() == {of("7"): 20.0}
    services.end(broken)
    services.tick()
    assert services.shown() == {of("7"): 20.0}


LISTEN = """
import socket, sys
from shmetrics.registration.peer import peer_of

listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listening.bind(sys.argv[1])
listening.listen()
print("listening", flush=True)
found, _ = listening.accept()
print(peer_of(found).pid)
"""


def test_a_pid_that_a_container_cannot_see_is_none(tmp_path: Path) -> None:
    """What the kernel says there of a process outside: the premise of what is above."""
    inside = ("unshare", "--pid", "--fork", "--kill-child")
    if subprocess.run([*inside, "true"], capture_output=True).returncode != 0:
        pytest.skip("no PID namespaces here")
    path = str(tmp_path / "socket")
    with subprocess.Popen(
        [*inside, sys.executable, "-c", LISTEN, path], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ours:
            ours.connect(path)
            assert listener.stdout.readline() == "0\n"
