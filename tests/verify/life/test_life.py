# SPDX-License-Identifier: Apache-2.0
"""Series are made, changed, removed and made again, by processes that grow, fork and die, under
collectors that come and go: in any order, what is scraped equals what the twin says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.nodes.node import ROOT, Node
from tests.nodes.samples import parse
from tests.servers.processes import until
from tests.verify.life.twin import Key, Shape, Twin

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 60
MOST_PROCESSES = 4
MOST_GROWN = 15_000  # label sets: well below the quotas, of which this test knows nothing
CONFIG = "[store]\nold_shape_seconds = 86400.0\ndead_gauge_seconds = 0.0\n"

SHAPES: dict[str, list[Shape]] = {
    "t_jobs": [Shape("counter", ("q",)), Shape("counter", ("q", "w"))],
    "t_took": [
        Shape("histogram", ("q",), (("buckets", (1.0, 5.0)),)),
        Shape("histogram", ("q",), (("buckets", (0.5, 1.0, 5.0, 10.0)),)),
    ],
    "t_alone": [Shape("counter", ())],
    "t_depth": [Shape("gauge", ("q",), (("multiprocess_mode", "sum"),))],
    "t_load": [Shape("gauge", (), (("multiprocess_mode", "livemax"),))],
    "t_here": [Shape("gauge", ("q",), (("multiprocess_mode", "all"),))],
    "t_live": [Shape("gauge", (), (("multiprocess_mode", "liveall"),))],
    "t_rpc": [Shape("calls", ("method",))],
    "t_many": [Shape("counter", ("n",))],
}
VALUES = st.sampled_from(["a", "b"])
AMOUNTS = st.integers(1, 9).map(float)


class Crew:
    """Puppets, and the socket to which each new one connects."""

    def __init__(self, folder: Path, runtime_dir: Path) -> None:
        path = str(folder / "crew.sock")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen(8)
        self._listening.settimeout(PATIENCE_SECONDS)
        self._lines: dict[int, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.verify.life.puppet", path],
            cwd=ROOT,
            env=os.environ | {"SHMETRICS_RUNTIME_DIR": str(runtime_dir)},
        )
        self.first = self._accept()

    def _accept(self) -> int:
        connection, _ = self._listening.accept()
        connection.settimeout(PATIENCE_SECONDS)
        lines = connection.makefile("rw")
        connection.close()  # the file has it
        pid = int(lines.readline())
        self._lines[pid] = lines
        return pid

    def tell(self, pid: int, *command: object) -> Any:
        lines = self._lines[pid]
        lines.write(json.dumps(command) + "\n")
        lines.flush()
        return json.loads(lines.readline())

    def fork(self, pid: int) -> int:
        child = self.tell(pid, "fork")
        assert self._accept() == child
        return int(child)

    def end(self, pid: int, is_killed: bool) -> None:
        lines = self._lines.pop(pid)
        if is_killed:
            os.kill(pid, signal.SIGKILL)
        else:
            lines.write('["exit"]\n')
            lines.flush()
        assert lines.readline() == ""
        lines.close()
        until(lambda: not Path(f"/proc/{pid}").exists(), lambda: f"{pid} lives", PATIENCE_SECONDS)

    def close(self) -> None:
        for pid in list(self._lines):
            if pid != self.first:
                self.end(pid, is_killed=True)
        self._lines.pop(self.first).close()
        self._process.wait(PATIENCE_SECONDS)
        self._listening.close()


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.closing = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="life-"))
        self.closing.callback(shutil.rmtree, self.folder, True)
        runtime_dir = self.folder / "run"
        runtime_dir.mkdir(mode=0o755)
        self.node = Node(runtime_dir, self.folder)
        self.closing.callback(self.node.close)
        self.crew = Crew(self.folder, runtime_dir)
        self.closing.callback(self.crew.close)
        self.twin = Twin()
        self.grown = self.label_sets = 0
        self.movers = set[int]()  # processes that may have moved to a larger lane
        self.changed = set[str]()  # names that a process has under two shapes

    def teardown(self) -> None:
        self.closing.close()

    @initialize()
    def begin(self) -> None:
        self.node.start(CONFIG)
        self.spawn()

    # ---- choices ------------------------------------------------------------------------------

    def pid(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.twin.processes)), "pid")

    def name(self, data: st.DataObject, pid: int, kinds: set[str]) -> str | None:
        shapes = self.twin.processes[pid].shapes
        names = sorted(n for n, s in shapes.items() if s.kind in kinds and n != "t_many")
        return data.draw(st.sampled_from(names), "name") if names else None

    def values(self, data: st.DataObject, pid: int, name: str) -> tuple[str, ...]:
        n = len(self.twin.processes[pid].shapes[name].labels)
        return tuple(data.draw(st.lists(VALUES, min_size=n, max_size=n), "values"))

    @property
    def has_collector(self) -> bool:
        return self.node.has_collector

    # ---- processes ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.twin.processes) < MOST_PROCESSES)
    @rule()
    def spawn(self) -> None:
        self.twin.begin(self.crew.fork(self.crew.first))

    @precondition(lambda self: 0 < len(self.twin.processes) < MOST_PROCESSES)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        pid = self.pid(data)
        self.twin.fork(pid, self.crew.fork(pid))

    @precondition(lambda self: self.twin.processes and self.has_collector)
    @rule(data=st.data(), is_killed=st.booleans())
    def die(self, data: st.DataObject, is_killed: bool) -> None:
        pid = self.pid(data)
        self.crew.end(pid, is_killed)
        self.twin.die(pid)

    # ---- definitions and records --------------------------------------------------------------

    @precondition(lambda self: self.twin.processes)
    @rule(data=st.data(), name=st.sampled_from(sorted(SHAPES)))
    def define(self, data: st.DataObject, name: str) -> None:
        pid = self.pid(data)
        shape = data.draw(st.sampled_from(SHAPES[name]), "shape")
        before = self.twin.processes[pid].shapes.get(name)
        if before not in (None, shape):
            self.changed.add(name)
        self.crew.tell(pid, "define", shape.kind, name, shape.labels, dict(shape.more))
        self.twin.define(pid, name, shape)

    @precondition(lambda self: self.twin.processes)
    @rule(data=st.data())
    def child(self, data: st.DataObject) -> None:
        pid = self.pid(data)
        name = self.name(data, pid, {"counter", "gauge", "histogram", "calls"})
        if name is not None:
            values = self.values(data, pid, name)
            self.crew.tell(pid, "child", name, values)
            self.twin.child(pid, name, values)

    @precondition(lambda self: self.twin.processes)
    @rule(data=st.data(), value=AMOUNTS)
    def record(self, data: st.DataObject, value: float) -> None:
        pid = self.pid(data)
        name = self.name(data, pid, {"counter", "gauge", "histogram"})
        if name is not None:
            values = self.values(data, pid, name)
            self.crew.tell(pid, "record", name, values, value)
            self.twin.record(pid, name, values, value)

    @precondition(lambda self: self.twin.processes)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        pid = self.pid(data)
        name = self.name(data, pid, {"calls"})
        if name is not None:
            values = self.values(data, pid, name)
            number = self.twin.start(pid, name, values)
            self.crew.tell(pid, "start", name, values, number)

    @precondition(lambda self: self.twin.processes)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        pid = self.pid(data)
        opened = self.twin.processes[pid].open
        if opened:
            number = data.draw(st.sampled_from(sorted(opened)), "call")
            key = opened[number]
            self.crew.tell(pid, "end", key.name, key.values, number)
            self.twin.end(pid, number)

    @precondition(lambda self: self.twin.processes)
    @rule(data=st.data(), n=st.sampled_from([30, 900, 4000]))
    def grow(self, data: st.DataObject, n: int) -> None:
        pid = self.pid(data)
        (shape,) = SHAPES["t_many"]
        if "t_many" not in self.twin.processes[pid].shapes:
            self.crew.tell(pid, "define", shape.kind, "t_many", shape.labels, {})
            self.twin.define(pid, "t_many", shape)
        if self.label_sets + n > MOST_GROWN:
            return
        self.label_sets += n
        self.grown += 1
        self.movers.add(pid)
        before = f"{self.grown}-"
        self.crew.tell(pid, "grow", "t_many", before, n)
        for i in range(n):
            self.twin.record(pid, "t_many", (f"{before}{i}",), 1.0)

    # ---- removal ------------------------------------------------------------------------------

    @precondition(lambda self: self.twin.processes and self.has_collector)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        pid = self.pid(data)
        open_calls = set(self.twin.processes[pid].open.values())
        found: list[Key] = []
        for name in sorted(set(self.twin.processes[pid].shapes) - self.changed):
            found += sorted(self.twin.own(pid, name) - open_calls)
        found = [key for key in found if key.values and not self._is_unsure(pid, key)]
        if found:
            key = data.draw(st.sampled_from(found), "series")
            self.crew.tell(pid, "remove", key.name, key.values)
            self.twin.remove(pid, key)

    @precondition(lambda self: self.twin.processes and self.has_collector)
    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        pid = self.pid(data)
        process = self.twin.processes[pid]
        busy = {key.name for key in process.open.values()} | self.changed
        names = sorted(n for n, s in process.shapes.items() if s.labels and n not in busy)
        if names:
            name = data.draw(st.sampled_from(names), "name")
            keys = self.twin.own(pid, name)
            if not any(self._is_unsure(pid, key) for key in keys):
                self.crew.tell(pid, "clear", name)
                for key in keys:
                    self.twin.remove(pid, key)

    def _is_unsure(self, pid: int, key: Key) -> bool:
        """Return whether another process, which has moved, may or may not have the series."""
        row = self.twin.rows.get(key)
        others = set() if row is None else row.bound - {pid}
        return key.shape.kind != "counter" and bool(others & self.movers)

    # ---- collectors ---------------------------------------------------------------------------

    @precondition(lambda self: self.has_collector)
    @rule(is_killed=st.booleans(), stays_away=st.booleans())
    def restart(self, is_killed: bool, stays_away: bool) -> None:
        if is_killed:
            self.node.kill()
        else:
            self.node.stop()
        if not stays_away:
            self.node.start(CONFIG)

    @precondition(lambda self: not self.has_collector)
    @rule()
    def come_back(self) -> None:
        self.node.start(CONFIG)

    # ---- what is there ------------------------------------------------------------------------

    @invariant()
    def what_is_shown_is_right(self) -> None:
        if not self.has_collector:
            return
        with_lane = [pid for pid, process in self.twin.processes.items() if process.has_lane]
        for pid in with_lane:
            self.crew.tell(pid, "settle")
            self._touch(pid)
        self.node.until_lanes(len(with_lane))
        expected = self.twin.samples()

        def is_shown() -> bool:
            for pid in with_lane:
                self.crew.tell(pid, "settle")
            return self._shown() == expected

        if self.movers:  # so many definitions are written some at a time, and read so
            with contextlib.suppress(AssertionError):
                until(is_shown, str, 10)
        assert self._shown() == expected

    def _shown(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return the samples of the test's families. Of t_many are too many to parse them all."""
        text = self.node.get("/metrics").decode()
        many = {
            ("t_many_total", frozenset({("n", n)})): float(value) for n, value in MANY.findall(text)
        }
        assert len(many) == text.count("\nt_many_total{")
        lines = [line for line in text.splitlines(keepends=True) if line.startswith("t_")]
        samples = parse("".join(line for line in lines if not line.startswith("t_many_")))
        return many | {
            (name, frozenset(labels)): value
            for (name, labels), value in samples.items()
            if name.endswith(ENDINGS) and not name.endswith("_seconds_sum")
        }

    def _touch(self, pid: int) -> None:
        """Record into each counter: what a process has not used since a move is not in its lane."""
        for key in sorted(self.twin.processes[pid].children):
            is_current = self.twin.processes[pid].shapes[key.name] == key.shape
            if is_current and key.shape.kind == "counter" and key.name != "t_many":
                self.crew.tell(pid, "record", key.name, key.values, 0)


MANY = re.compile(r'^t_many_total{n="([0-9-]+)"} (\S+)$', re.MULTILINE)
ENDINGS = ("_total", "_count", "_sum", *(n for n, s in SHAPES.items() if s[0].kind == "gauge"))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
