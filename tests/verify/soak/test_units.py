# SPDX-License-Identifier: Apache-2.0
"""Gatherer, spawner and collector are killed at random while units come and go.

No total is wrong, and no process is left. It takes SHMETRICS_SOAK_SECONDS (20); `make soak` takes
five minutes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from tests.nodes.node import Node
from tests.nodes.samples import Samples
from tests.probes.conftest import folder
from tests.servers.patience import until
from tests.units.cgroups import Cgroups, Worker, cgroups

__all__ = ["cgroups", "folder"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make cgroups"),
]

SECONDS = float(os.environ.get("SHMETRICS_SOAK_SECONDS", "20"))
UNITS = 200  # at most, at a time
WORKERS = 10  # of them have a process that works
SETTLED_SECONDS = 60.0
USAGE = "container_cpu_usage_seconds_total"

# Each of its runs leaves a daemon that hears no signal and holds the pipe.
STUBBORN = (
    "trap '' TERM HUP; setsid sh -c 'trap \"\" TERM; sleep 600' & echo runs.begun=1; sleep 600"
)
CONFIG = """
[gather]
interval_seconds = 10
quota = false
kinds = ["systemd"]
[gather.lines]
socket = "none"
[[gather.probe]]
name = "stubborn"
command = ["/bin/sh", "{folder}/stubborn"]
interval_seconds = 1
timeout_seconds = 0.3
user = 65534
[[gather.probe]]
name = "quick"
command = ["/bin/echo", "quick.n=1"]
interval_seconds = 1
user = 65534
[spawner]
socket = "{folder}/none"
"""


class Gatherer:
    """A gatherer, which is started again whenever it was killed."""

    def __init__(self, node: Node, folder: Path, mark: str) -> None:
        self._config = folder / "gather.toml"
        self._config.write_text(CONFIG.format(folder=folder))
        (folder / "stubborn").write_text(STUBBORN.format(sleep=sleep_of(mark)))
        self._log = folder / "gather.log"
        self._env = {
            **os.environ,
            "SHMETRICS_RUNTIME_DIR": str(node.runtime_dir),
            "SHMETRICS_SOAK": mark,
        }
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "shmetrics", "gather", "--config", str(self._config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def kill_spawner(self, rng: random.Random) -> bool:
        """Kill one of the processes of its spawner; return whether there was one."""
        spawner = [pid for pid in with_parent(self._process.pid) if "spawner" in command_of(pid)]
        spawner += [pid for parent in spawner for pid in with_parent(parent)]
        if not spawner:
            return False
        try:
            os.kill(rng.choice(spawner), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(60)

    @property
    def said(self) -> str:
        return self._log.read_text()


class Units:
    """Units that come and go, and what the kernel says of them."""

    def __init__(self, cgroups: Cgroups, rng: random.Random) -> None:
        self._cgroups = cgroups
        self._rng = rng
        self._there: dict[str, Worker | None] = {}
        self.lives: Counter[str] = Counter()  # by id

    def change(self) -> None:
        """Make a unit, or remove one; the same path may come back."""
        if len(self._there) < UNITS and (not self._there or self._rng.random() < 0.6):
            path = f"/u{self._rng.randrange(2 * UNITS)}.service"
            if path in self._there:
                return
            self.lives[self._cgroups.make(path)] += 1
            workers = sum(worker is not None for worker in self._there.values())
            self._there[path] = self._cgroups.worker(path) if workers < WORKERS else None
        else:
            path = self._rng.choice(list(self._there))
            del self._there[path]
            self._cgroups.remove(path)

    def work(self) -> None:
        """Let a unit burn some processor time."""
        working = [worker for worker in self._there.values() if worker is not None]
        if working:
            self._rng.choice(working).tell("burn 0.02")

    def usage(self) -> dict[str, float]:
        """Return the processor time of each unit, by the kernel's own file, by its path."""
        found = {}
        for path in self._there:
            for hierarchy in self._cgroups.hierarchies:
                file = Path(hierarchy.directory + self._cgroups.id + path, "cpuacct.usage")
                if file.exists():
                    found[self._cgroups.id + path] = int(file.read_text()) / 1e9
        return found


def with_parent(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def sleep_of(mark: str) -> str:
    """Return a command that sleeps for two hours, and is no other test's."""
    return f"sleep 7200.{int(mark, 16)}"


def left_of(mark: str) -> list[str]:
    """Return the commands of processes that the gatherers have left."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes()
        except OSError:
            continue  # it has just ended
        command = command_of(int(path.name))
        is_sleep = sleep_of(mark) in command.replace("\0", " ")
        if is_sleep or f"SHMETRICS_SOAK={mark}".encode() in environment:
            found.append(command)
    return found


def shown(samples: Samples, within: str) -> dict[str, float]:
    """Return the processor time of the units below a path, as the collector shows it."""
    return {
        dict(labels)["id"]: value
        for labels, value in samples.of(USAGE).items()
        if dict(labels)["id"].startswith(within + "/")
    }


@pytest.fixture
def rng() -> random.Random:
    seed = int(os.environ.get("SHMETRICS_SOAK_SEED", random.randrange(10**6)))
    print(f"SHMETRICS_SOAK_SEED={seed}")  # pytest shows it if this fails
    return random.Random(seed)


def test_kills_under_churn(node: Node, cgroups: Cgroups, folder: Path, rng: random.Random) -> None:
    if not any("cpuacct" in each.keys for each in cgroups.hierarchies):
        pytest.skip("this kernel has no cpuacct of version 1, with which totals are compared")
    mark = uuid.uuid4().hex
    units = Units(cgroups, rng)
    node.start()
    gatherer = Gatherer(node, folder, mark)
    acts: Counter[str] = Counter()
    deadline = time.monotonic() + SECONDS
    try:
        while time.monotonic() < deadline:
            for _ in range(rng.randrange(1, 12)):
                units.change()
            units.work()
            dice = rng.random()
            if dice < 0.10:
                gatherer.kill()
                gatherer.start()
                acts["gatherer"] += 1
            elif dice < 0.15:
                node.kill()
                node.start()
                acts["collector"] += 1
            elif dice < 0.30:
                acts["spawner"] += gatherer.kill_spawner(rng)
            elif dice < 0.60:
                found = shown(node.samples(), cgroups.id)
                now = units.usage()  # later: no total of the kernel's is lower by then
                for path, value in found.items():
                    if units.lives[path] == 1 and path in now:
                        assert value <= now[path] + 1e-9, path
                acts["looks"] += 1
            time.sleep(rng.random() * 0.2)
        wanted = units.usage()
        until(
            lambda: shown(node.samples(), cgroups.id) == pytest.approx(units.usage(), abs=1e-9),
            lambda: {
                path: (shown(node.samples(), cgroups.id).get(path), value)
                for path, value in units.usage().items()
                if shown(node.samples(), cgroups.id).get(path) != value
            },
            SETTLED_SECONDS,
        )
        assert wanted.keys() == units.usage().keys()
        assert min(acts["gatherer"], acts["collector"], acts["looks"]) > 0 or SECONDS < 15, acts
    finally:
        status = gatherer.stop()
    assert status == 0
    assert "Traceback" not in gatherer.said
    until(lambda: not left_of(mark), lambda: left_of(mark), 30)
