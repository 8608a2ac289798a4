# SPDX-License-Identifier: Apache-2.0
"""Series that their process has removed: gone from what is shown, and anew if they come again."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
)

import shmetrics
from shmetrics import _ring, layout
from shmetrics.collector.collector import Collector, Settings
from shmetrics.dictionary import Definition, encode_strings
from shmetrics.lanes.grants import LaneSettings
from shmetrics.lanes.lane_files import Sizes
from shmetrics.lanes.reading import Reading
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.store.limits import Limits
from shmetrics.store.log import Log
from tests.nodes import hostile
from tests.nodes.hostile import JOBS, RPC, SIZE, LaneFile
from tests.nodes.loopback import MIB, Loopback, open_collector
from tests.nodes.samples import Samples, samples_of

pytestmark = pytest.mark.slow

BUSY = Definition(layout.TYPE_GAUGE, "hostile_busy", "Busy", "", "livesum", ("queue",), ())
DEFINITIONS = JOBS, SIZE, RPC, BUSY
QUEUES = ("a", "b", "c")
SETTINGS = Settings(
    4 * MIB, lanes=LaneSettings(Sizes(records=64, dictionary_bytes=16384, cells=2048, calls=8))
)


_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """A metric name that no other test has used."""
    return f"removed_{next(_numbers)}"


class Killed(BaseException):
    """Raised where a kill would have been."""


class Process:
    """A process that writes its lane itself, and what it has done since it was looked at."""

    def __init__(self, collector: Collector, number: int) -> None:
        granted = collector.grant(Peer(100 + number, 0, 0), Hello(1, 64, "removing"))
        assert isinstance(granted, Granted)
        self.number = number
        self.lane = LaneFile(granted.lane_fd)
        self.ids: dict[tuple[str, str], int] = {}
        self.thrown: dict[tuple[str, str], int] = {}
        self.todo: list[tuple[str, str, str]] = []
        self._families: dict[str, int] = {}
        self._cells = 0
        self._cell_of: dict[int, int] = {}

    def define(self, definition: Definition, queue: str) -> None:
        key = definition.name, queue
        if key in self.ids:
            return
        of = self._families.get(definition.name)
        if of is None:
            of = self._families[definition.name] = self.lane.family(definition)
        id = self.ids[key] = self.lane.series(definition.type, of, queue)
        self._take_cells(id, layout.cells_of(definition.type, len(definition.bounds)))
        self.todo.append(("define", *key))

    def _take_cells(self, id: int, n: int) -> None:
        self._cell_of[id] = self.lane.parts["cells"][0] + 8 * self._cells
        self._cells += n

    def record(self, definition: Definition, queue: str) -> None:
        """One event of a series, which is defined first if need be."""
        self.define(definition, queue)
        id = self.ids[definition.name, queue]
        at = self._cell_of[id]
        if definition is JOBS:  # in its cell, as an emitter adds to it
            (now,) = memoryview(self.lane.memory)[at : at + 8].cast("d")
            self.lane.put_double(at, now + 1)
            self.lane.put(hostile.ADDED_AT, self.lane.get(hostile.ADDED_AT) + 1)
        elif definition is BUSY:
            self.lane.put_double(at, 1.0)
            self.lane.put(hostile.GAUGE_WRITES_AT, self.lane.get(hostile.GAUGE_WRITES_AT) + 1)
        elif definition is SIZE:
            self.lane.record(hostile.OBSERVE, id, 1.0)
        else:
            self._call(id, queue)
        self.todo.append(("record", definition.name, queue))

    def _call(self, id: int, queue: str) -> None:
        thrown = self.thrown.get((RPC.name, queue))
        if thrown is None:
            self.lane._series += 1
            thrown = self.thrown[RPC.name, queue] = self.lane._series
            payload = encode_strings(("KeyError",))
            self.lane.entry(layout.ENTRY_EXCEPTION, layout.TYPE_EXCEPTION, thrown, id, payload)
            self._take_cells(thrown, 1)
        self.lane.record(hostile.CALL_START, id)
        self.lane.record(hostile.CALL_END, id, duration_ns=10**9, exception=thrown)

    def remove(self, definition: Definition, queue: str) -> None:
        id = self.ids.pop((definition.name, queue), None)
        if id is None:
            return
        self.thrown.pop((definition.name, queue), None)
        self.lane.entry(layout.ENTRY_REMOVED, 0, 0, id, b"")
        self.todo.append(("remove", definition.name, queue))


class Twin:
    """Return what is to be shown: of each series its total, and the processes that have it."""

    def __init__(self) -> None:
        self.totals: dict[tuple[str, str], int] = {}
        self.of: defaultdict[tuple[str, str], set[int]] = defaultdict(set)

    def take(self, process: Process) -> None:
        for what, *names in process.todo:
            key = names[0], names[1]
            if what == "define":
                self.totals.setdefault(key, 0)
                self.of[key].add(process.number)
            elif what == "record":
                self.totals[key] += 1
            else:
                self.of[key].discard(process.number)
                if not self.of[key]:
                    del self.totals[key]
        process.todo.clear()

    def forget(self, process: Process) -> None:
        for processes in self.of.values():
            processes.discard(process.number)

    def shown(self, name: str) -> dict[str, float]:
        return {queue: n for (of, queue), n in self.totals.items() if of == name}


def shown_of(samples: Samples, name: str, **labels: str) -> dict[str, float]:
    """The values by queue, of samples that have these labels besides."""
    wanted = set(labels.items())
    found = {}
    for of, value in samples.of(name).items():
        rest = dict(set(of) - wanted)
        if set(rest) == {"queue"}:
            found[rest["queue"]] = value
    return found


class Removing(RuleBasedStateMachine):
    """Processes define, record, remove, and die; the collector comes, goes and is killed."""

    processes = Bundle("processes")
    some = st.sampled_from(DEFINITIONS), st.sampled_from(QUEUES)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="shm-removed-")
        self.twin = Twin()
        self.living: list[Process] = []
        self.n_processes = 0
        self.open()

    def open(self) -> None:
        self.directory, self.collector = open_collector(Path(self.folder.name), SETTINGS)
        self.catch_up()

    def catch_up(self) -> None:
        for process in self.living:
            self.twin.take(process)

    def close(self) -> None:
        """As a kill does, once what it has begun is over."""
        self.collector._lanes.close()
        self.collector.store.close()
        self.directory.close()
        del self.collector, self.directory

    def teardown(self) -> None:
        for process in self.living:
            process.lane.close()
        self.close()
        self.folder.cleanup()

    @initialize(target=processes)
    def begin(self) -> object:
        return multiple(self.start(), self.start())

    @rule(target=processes)
    def start(self) -> Process:
        self.n_processes += 1
        self.living.append(Process(self.collector, self.n_processes))
        return self.living[-1]

    @rule(process=processes, of=st.tuples(*some))
    def define(self, process: Process, of: tuple[Definition, str]) -> None:
        process.define(*of)

    @rule(process=processes, of=st.tuples(*some), n=st.integers(1, 4))
    def record(self, process: Process, of: tuple[Definition, str], n: int) -> None:
        if process.lane.get(hostile.HEAD_AT) - process.lane.get(hostile.TAIL_AT) > 50:
            self.scrape()
        for _ in range(n):
            process.record(*of)

    @rule(process=processes, of=st.tuples(*some), again=st.booleans())
    def remove(self, process: Process, of: tuple[Definition, str], again: bool) -> None:
        process.remove(*of)
        if again:
            process.record(*of)

    @rule(process=processes)
    def clear(self, process: Process) -> None:
        for name, queue in list(process.ids):
            process.remove(next(one for one in DEFINITIONS if one.name == name), queue)

    @rule(process=consumes(processes))
    def die(self, process: Process) -> None:
        self.living.remove(process)
        process.lane.close()
        for one in sorted([process, *self.living], key=lambda one: one.number):
            self.twin.take(one)
        self.collector.tick()
        self.twin.forget(process)
        self.twin.totals = {
            (name, queue): n
            for (name, queue), n in self.twin.totals.items()
            if name != BUSY.name or self.twin.of[name, queue]
        }

    @rule()
    def restart(self) -> None:
        self.collector.drain()
        self.catch_up()
        self.close()
        self.open()

    @rule()
    def stop_and_start(self) -> None:
        """What was not drained is found by the next collector."""
        self.close()
        self.open()

    @rule(nth=st.integers(1, 12), before=st.booleans(), where=st.sampled_from(("log", "ledger")))
    def kill(self, nth: int, before: bool, where: str) -> None:
        """At any of the writes to the log and the ledger, which say what is done."""
        left = nth
        set_end, count = Log._set_end, Reading.count

        def killed(done: bool) -> None:
            nonlocal left
            if not done:
                left -= 1
            if left == 0 and before is not done:
                left = -1
                raise Killed

        def logs(log: Log, end: int) -> None:
            killed(False)
            set_end(log, end)
            killed(True)

        def counts(reading: Reading, cell: int = -1) -> bool:
            killed(False)
            found = count(reading, cell)
            killed(True)
            return found

        with pytest.MonkeyPatch.context() as patch:
            if where == "log":
                patch.setattr(Log, "_set_end", logs)
            else:
                patch.setattr(Reading, "count", counts)
            with contextlib.suppress(Killed):
                self.collector.drain()
        self.close()
        self.open()

    @rule()
    def scrape(self) -> None:
        found = samples_of(self.collector.tables())
        self.catch_up()
        shown = self.twin.shown
        assert shown_of(found, "hostile_jobs_total") == shown(JOBS.name)
        assert shown_of(found, "hostile_size_count") == shown(SIZE.name)
        calls = shown(RPC.name)
        for ending in ("start_total", "end_total"):
            assert shown_of(found, f"hostile_rpc_invocation_{ending}") == calls
        exceptions = shown_of(found, "hostile_rpc_exception_total", exception="KeyError")
        assert exceptions == {queue: n for queue, n in calls.items() if n}
        self.twin.totals.update(
            {key: len(of) for key, of in self.twin.of.items() if key[0] == BUSY.name and of}
        )


TestRemoving = Removing.TestCase


# ---- what no emitter writes ---------------------------------------------------------------


@pytest.mark.parametrize("of", [1, 2, 3, 5])  # 4 is an exception of 3
@pytest.mark.parametrize("drained", [False, True])
def test_a_series_is_removed_once(loopback: Loopback, of: int, drained: bool) -> None:
    """An emitter that removes one twice breaks the contract."""
    process = Process(loopback.collector, 1)
    for definition in DEFINITIONS:
        process.record(definition, "a")
    process.lane.entry(layout.ENTRY_REMOVED, 0, 0, of, b"")
    if drained:
        loopback.collector.tick()
        assert loopback.collector.lanes()[1]["state"] == "open"
    process.lane.entry(layout.ENTRY_REMOVED, 0, 0, of, b"")
    loopback.collector.tick()
    assert loopback.samples().value("shmetrics_quarantined_total", reason="entry") == 1
    process.lane.close()


def test_a_removed_call_has_no_further_exceptions(loopback: Loopback) -> None:
    process = Process(loopback.collector, 1)
    process.record(RPC, "a")
    process.remove(RPC, "a")
    process.lane.entry(layout.ENTRY_EXCEPTION, 5, 3, 1, encode_strings(("OSError",)))
    loopback.collector.tick()
    assert loopback.samples().value("shmetrics_quarantined_total", reason="entry") == 1
    process.lane.close()


def test_calls_that_another_process_has_keep_their_exceptions() -> None:
    state = Removing()
    other, one = state.start(), state.start()
    state.record(n=3, of=(RPC, "c"), process=one)
    state.define(of=(RPC, "c"), process=other)
    state.scrape()
    state.clear(process=one)
    state.scrape()
    state.teardown()


def test_records_of_a_removed_series_are_counted_as_unbound(loopback: Loopback) -> None:
    """They come from nobody who keeps the contract, and do no harm."""
    process = Process(loopback.collector, 1)
    process.record(SIZE, "a")
    id = process.ids[SIZE.name, "a"]
    process.remove(SIZE, "a")
    loopback.collector.tick()
    process.lane.record(hostile.OBSERVE, id, 1.0)
    found = loopback.samples()
    assert found.of("hostile_size_count") == {}
    assert found.value("shmetrics_unbound_total") == 1
    process.lane.close()


# ---- with the instruments -----------------------------------------------------------------


def remove(instrument: Any, *values: str) -> None:
    instrument.remove(*values)


def test_a_removed_gauge_is_gone_at_once(loopback: Loopback, name: str) -> None:
    for mode in ("all", "livesum", "sum", "mostrecent"):
        gauge = shmetrics.Gauge(f"{name}_{mode}", "Busy", ["queue"], multiprocess_mode=mode)
        for queue in QUEUES:
            gauge.labels(queue).set(7)
        assert len(loopback.samples().of(f"{name}_{mode}")) == 3
        remove(gauge, "a")
        assert len(loopback.samples().of(f"{name}_{mode}")) == 2
        gauge.labels("a").inc()
        assert sorted(loopback.samples().of(f"{name}_{mode}").values()) == [1, 7, 7]


def test_a_removed_gauge_leaves_nothing_when_its_process_ends(
    loopback: Loopback, name: str
) -> None:
    for mode in ("all", "sum", "max"):
        gauge = shmetrics.Gauge(f"{name}_{mode}", "Busy", ["queue"], multiprocess_mode=mode)
        gauge.labels("a").set(7)
        gauge.labels("b").set(8)
        remove(gauge, "a")
    _ring.process_detach()
    loopback.collector.tick()
    for mode in ("all", "sum", "max"):
        assert list(loopback.samples().of(f"{name}_{mode}").values()) == [8]


def test_open_calls_of_a_removed_series_are_not_shown(loopback: Loopback, name: str) -> None:
    """Nor do they count as abandoned; those that begin anew do."""
    calls = shmetrics.Calls(f"{name}_server", "Calls", ["topic"])
    first, kept = calls.labels("a"), calls.labels("b").start()
    token = first.start()
    assert len(loopback.collector.calls()) == 2
    remove(calls, "a")
    [shown] = loopback.collector.calls()
    assert shown["topic"] == "b"
    first.end(token, "KeyError")
    assert calls.labels("a") is not first
    again = calls.labels("a").start()
    assert len(loopback.collector.calls()) == 2
    found = loopback.samples()
    assert found.value(f"{name}_server_invocation_start_total", topic="a") == 1
    assert found.of(f"{name}_server_exception_total") == {}
    assert shmetrics.status()["dropped"] == {}
    for token in (kept, again):
        calls.labels("b").end(token)


def test_the_quota_counts_the_series_that_are_there(tmp_path: Path, name: str) -> None:
    """And not all that a lane ever had."""
    node = Loopback(tmp_path / "node", Settings(4 * MIB, Limits(series_per_lane=10)))
    _ring.process_detach()
    node.attach()
    jobs = shmetrics.Counter(name, "Jobs", ["queue"])
    for turn in range(30):
        for n in range(8):
            jobs.labels(f"{turn}-{n}").inc()
        assert node.samples().of(f"{name}_total") == {
            (("queue", f"{turn}-{n}"),): 1 for n in range(8)
        }
        assert node.collector._lanes.most_series() == 8
        for n in range(8):
            remove(jobs, f"{turn}-{n}")
    node.restart()
    assert node.samples().of(f"{name}_total") == {}
    for n in range(12):
        jobs.labels(f"last-{n}").inc()
    found = node.samples()
    assert found.value(f"{name}_total", queue="__overflow__") == 2
    assert found.value("shmetrics_series_expired_total") == 0
    _ring.process_detach()
    node.collector.tick()
    node.release()


def test_a_thousand_leave_at_once_and_their_room_is_used_again(
    loopback: Loopback, name: str
) -> None:
    jobs = shmetrics.Counter(name, "Jobs", ["queue"])
    used = []
    for _ in range(3):
        for n in range(300):
            jobs.labels(f"{n}").inc()
        loopback.samples()
        for n in range(300):
            remove(jobs, f"{n}")
        assert loopback.samples().of(f"{name}_total") == {}
        used.append(loopback.collector.store._extents.used)
        _ring.process_detach()
        loopback.collector.tick()
        loopback.attach()
    assert used[1:] == used[:-1]
