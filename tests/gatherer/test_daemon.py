# SPDX-License-Identifier: Apache-2.0
"""Promise: `shmetrics gather` is an emitter beside others, and ends as it is told."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shmetrics import pid_lock, runtime_dir
from shmetrics.errors import ShmetricsError
from shmetrics.gatherer import daemon, directory
from tests.nodes.node import Node
from tests.servers.patience import until
from tests.units import trees
from tests.units.cgroups import Cgroups

USAGE = "container_cpu_usage_seconds_total"
PATIENCE_SECONDS = 60


class Gatherer:
    """A gatherer process, as an operator starts it."""

    def __init__(self, node: Node, env: dict[str, str] | None = None, *more: str) -> None:
        command = [sys.executable, "-m", "shmetrics", "gather", *more]
        self.process = subprocess.Popen(
            [*command, "--runtime-dir", str(node.runtime_dir)],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()

    def end(self, number: int) -> tuple[int, str]:
        """End it with a signal; return its status, and what else it has said."""
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, said


@pytest.fixture
def gatherers() -> Iterator[list[Gatherer]]:
    """Yield a list, whose gatherers are ended."""
    started: list[Gatherer] = []
    yield started
    for gatherer in started:
        if gatherer.process.poll() is None:
            gatherer.end(signal.SIGKILL)


def usage(node: Node, path: str) -> float | None:
    found = node.samples().of(USAGE)
    return next((n for labels, n in found.items() if dict(labels)["id"] == path), None)


def has_libraries(pid: int, pattern: str) -> bool:
    """Return whether a process has loaded one of these."""
    return re.search(rf"/[^/]*({pattern})", Path(f"/proc/{pid}/maps").read_text()) is not None


def test_a_collector_shows_what_a_gatherer_records(
    node: Node, cgroups: Cgroups, gatherers: list[Gatherer], tmp_path: Path
) -> None:
    path = cgroups.make("/a.service")
    cgroups.worker("/a.service").tell("burn 0.1")
    (tmp_path / "a.prom").write_text("a 1\n")
    config = tmp_path / "gather.toml"
    config.write_text(f'[gather.textfile]\ndirectories = ["{tmp_path}"]\n')
    node.start()
    gatherer = Gatherer(node, {}, "--config", str(config))
    gatherers.append(gatherer)
    assert gatherer.first_line == "shmetrics gather is ready: units every 60 s\n"
    until(lambda: usage(node, path), lambda: node.samples().of(USAGE), PATIENCE_SECONDS)
    found = usage(node, path)
    assert found is not None
    assert found >= 0.1
    until(lambda: node.samples().of("a"), lambda: "no text file", PATIENCE_SECONDS)
    assert has_libraries(gatherer.process.pid, "libc[.-]")
    assert not has_libraries(gatherer.process.pid, "_ssl|libssl|libcrypto"), "5 MB for nothing"
    assert gatherer.end(signal.SIGTERM) == (0, "")
    node.until_no_lane()
    assert usage(node, path) is None


def test_a_gatherer_that_is_killed_leaves_nothing_and_the_next_goes_on(
    node: Node, cgroups: Cgroups, gatherers: list[Gatherer]
) -> None:
    path = cgroups.make("/a.service")
    worker = cgroups.worker("/a.service")
    node.start()
    last = 0.0
    for _ in range(3):
        worker.tell("burn 0.05")
        gatherer = Gatherer(node)
        gatherers.append(gatherer)
        until(lambda: usage(node, path), lambda: node.samples().of(USAGE), PATIENCE_SECONDS)
        now = usage(node, path)
        assert now is not None
        assert now >= last + 0.05
        last = now
        assert gatherer.end(signal.SIGKILL)[0] == -signal.SIGKILL
        node.until_no_lane()
        assert usage(node, path) is None


def test_it_gathers_without_a_collector(node: Node, gatherers: list[Gatherer]) -> None:
    gatherer = Gatherer(node)
    gatherers.append(gatherer)
    assert gatherer.first_line.startswith("shmetrics gather is ready")
    assert gatherer.end(signal.SIGINT) == (0, "")


def test_a_second_one_refuses_to_start(node: Node, gatherers: list[Gatherer]) -> None:
    """Check that two do not count everything twice, and that a kill leaves no lock behind."""
    for _ in range(2):
        gatherer = Gatherer(node)
        gatherers.append(gatherer)
        assert gatherer.first_line.startswith("shmetrics gather is ready")
        second = Gatherer(node)
        assert second.first_line == (
            f"shmetrics: {node.runtime_dir}/gather.lock: another gatherer runs "
            f"(pid {gatherer.process.pid}), and two would count everything twice; stop it, or use "
            "--once\n"
        )
        second.process.communicate(timeout=PATIENCE_SECONDS)
        assert second.process.returncode == 1
        once = Gatherer(node, None, "--once")
        once.process.communicate(timeout=PATIENCE_SECONDS)
        assert once.process.returncode == 0
        gatherer.end(signal.SIGKILL)


def test_one_of_the_service_manager_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(runtime_dir.VARIABLE)
    monkeypatch.setattr(runtime_dir, "candidates", lambda: [str(tmp_path / "collector")])
    service = tmp_path / "service"
    for path in (tmp_path / "collector", service):
        path.mkdir(mode=0o700)
    with directory.locked(str(service)):
        assert not list(service.iterdir())  # it is another user's
    fd = pid_lock.take(str(service / "gather.lock"))
    seen = pytest.raises(ShmetricsError, match=rf"another gatherer runs \(pid {os.getpid()}\)")
    with seen, directory.locked(str(service)):
        pass
    os.close(fd)
    with directory.locked(str(service)):
        pass


def test_the_service_manager_is_told(node: Node, tmp_path: Path, gatherers: list[Gatherer]) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE_SECONDS)
        gatherer = Gatherer(node, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "600000"})
        gatherers.append(gatherer)
        heard = {manager.recv(100) for _ in range(4)}
        assert heard == {b"READY=1", b"WATCHDOG=1"}
        assert gatherer.end(signal.SIGTERM)[0] == 0
        while b"STOPPING=1" not in heard:
            heard.add(manager.recv(100))


# ---- parts ------------------------------------------------------------------------------------


class Noted:
    """A part that notes what happens to it."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self._notes = name, notes

    def start(self) -> None:
        self._notes.append(f"{self.name} starts")

    async def close(self) -> None:
        self._notes.append(f"{self.name} closes")


def test_parts_start_in_order_and_close_the_other_way_round() -> None:
    notes: list[str] = []
    parts = [Noted("first", notes), Noted("second", notes)]

    def ready() -> None:
        notes.append("ready")
        os.kill(os.getpid(), signal.SIGTERM)

    asyncio.run(daemon.serve(parts, ready))
    assert notes == [
        *("first starts", "second starts", "ready", "second closes", "first closes"),
    ]


def test_a_part_that_cannot_start_closes_all() -> None:
    notes: list[str] = []

    class Wrong(Noted):
        def start(self) -> None:
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        asyncio.run(daemon.serve([Noted("first", notes), Wrong("second", notes)], lambda: None))
    assert notes == ["first starts", "second closes", "first closes"]


def test_many_units_are_all_shown_before_the_next_pass(
    node: Node, tmp_path: Path, gatherers: list[Gatherer]
) -> None:
    """Let a gatherer have more series than its first lane has room for, and then nothing to do."""
    trees.root(tmp_path / "cgroup")
    for number in range(60):
        trees.write(tmp_path / f"cgroup/unit-{number}.service", trees.V2)
    config = tmp_path / "gather.toml"
    config.write_text(f'[gather]\ncgroup_root = "{tmp_path}/cgroup"\n')
    node.start()
    gatherer = Gatherer(node, {}, "--config", str(config))
    gatherers.append(gatherer)

    def shown() -> int:
        return len(node.samples().of("container_start_time_seconds"))

    until(lambda: shown() == 60, shown, PATIENCE_SECONDS)
    assert len(node.samples().of("container_memory_failures_total")) == 120
    assert gatherer.end(signal.SIGTERM) == (0, "")
