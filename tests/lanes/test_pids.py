# SPDX-License-Identifier: Apache-2.0
"""Two processes are never one series, whatever the kernel says of their pids."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import urllib.request
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
from tests.nodes.samples import Labels, Samples, parse, samples_of

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

    def start(
        self, pid: int, value: float, queue: str = "fast", own_pid: int = 0, namespace: int = 0
    ) -> LaneFile:
        """A process with both gauges. own_pid, namespace: as it says itself."""
        hello = Hello(layout.LAYOUT_VERSION, 64, "service", pid=own_pid, pid_namespace=namespace)
        granted = self.collector.grant(Peer(pid, 0, 0), hello)
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


def test_a_process_that_the_collector_cannot_see_says_who_it_is(services: Services) -> None:
    """Each container has a pid 7. Where the kernel knows better, it is believed."""
    services.start(0, 10.0, own_pid=7, namespace=4026532181)
    services.start(0, 20.0, own_pid=7, namespace=4026532183)
    services.start(4711, 30.0, own_pid=7, namespace=4026532185)
    wanted = {of("7@4026532181"): 10.0, of("7@4026532183"): 20.0, of("4711"): 30.0}
    for _ in range(2):
        assert [services.shown(name) for name in NAMES] == [wanted, wanted]
        labels = [lane["pid_label"] for lane in services.collector.lanes()]
        assert labels == ["7@4026532181", "7@4026532183", "4711"]
        services.restart()


def test_nobody_can_say_that_it_is_another_process(services: Services) -> None:
    """It is told apart by its lane, as long as the other one lives."""
    real = services.start(0, 10.0, own_pid=7, namespace=9)
    false = services.start(0, 20.0, own_pid=7, namespace=9)
    services.start(7, 30.0, own_pid=8, namespace=9)
    wanted = {of("7@9"): 10.0, of("lane-2"): 20.0, of("7"): 30.0}
    for _ in range(2):
        assert services.shown("busy_live") == wanted
        services.restart()
    services.end(real)
    services.start(0, 40.0, own_pid=7, namespace=9)  # before any tick
    assert services.shown("busy_live") == {of("7@9"): 40.0, of("lane-2"): 20.0, of("7"): 30.0}
    services.end(false)
    services.tick()
    assert services.shown("busy_live") == {of("7@9"): 40.0, of("7"): 30.0}


@pytest.mark.parametrize(("own_pid", "namespace"), [(0, 9), (7, 0), (0, 0)])
def test_who_says_half_of_it_says_nothing(services: Services, own_pid: int, namespace: int) -> None:
    services.start(0, 10.0, own_pid=own_pid, namespace=namespace)
    assert services.shown() == {of("lane-1"): 10.0}


def test_an_unseen_process_that_asks_anew_stays_the_same_series(services: Services) -> None:
    """It has left its first lane, and the collector does not know that yet."""
    first = services.start(0, 10.0, own_pid=7, namespace=9)
    first.record(77, 1)
    services.tick()
    services.end(first)
    services.start(0, 20.0, own_pid=7, namespace=9)
    assert services.shown() == {of("7@9"): 20.0}


SERVICE = """
import os, sys, time
import shmetrics

shmetrics.Gauge("queue_depth", "Depth").set(float(sys.argv[1]))
print(os.getpid(), os.stat("/proc/self/ns/pid").st_ino, flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
def test_containers_are_told_apart(tmp_path: Path) -> None:
    """A collector in one, and three with a service each: all of these have pid 1."""
    inside = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    if subprocess.run([*inside, "true"], capture_output=True).returncode != 0:
        pytest.skip("no PID namespaces here")
    directory = tmp_path / "run"
    env = os.environ | {"PYTHONPATH": str(ROOT), "SHMETRICS_RUNTIME_DIR": str(directory)}
    collect = (*(sys.executable, "-m", "shmetrics", "collector", "--listen", "127.0.0.1:0"),
               "--runtime-dir", str(directory))  # fmt: skip
    with contextlib.ExitStack() as opened:
        collector = opened.enter_context(
            subprocess.Popen([*inside, *collect], env=env, stdout=subprocess.PIPE, text=True)
        )
        opened.callback(collector.kill)  # unshare ends its child with itself
        assert collector.stdout is not None
        [url] = re.findall(r"http://[\d.:]+", collector.stdout.readline())
        wanted = {}
        for value in (10.0, 20.0, 30.0):
            service = opened.enter_context(
                subprocess.Popen(
                    [*inside, sys.executable, "-c", SERVICE, str(value)],
                    env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )  # fmt: skip
            opened.callback(service.kill)
            assert service.stdout is not None
            pid, namespace = service.stdout.readline().split()
            assert pid == "1"
            wanted[f"1@{namespace}"] = value
        with urllib.request.urlopen(url + "/metrics", timeout=60) as answer:
            found = parse(answer.read().decode()).of("queue_depth")
        assert {dict(labels)["pid"]: value for labels, value in found.items()} == wanted
        listed = subprocess.run(
            [sys.executable, "-m", "shmetrics", "lanes"],
            env=env, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert all(label in listed for label in wanted)


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
