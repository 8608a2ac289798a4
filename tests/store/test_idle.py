# SPDX-License-Identifier: Apache-2.0
"""Series that have not changed for a while: gone if no process has them, hidden if one does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import shmetrics
from shmetrics import _ring, layout
from shmetrics.collector.collector import Settings
from shmetrics.dictionary import Definition
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.idle import IdleSeries
from shmetrics.store.limits import Limits
from shmetrics.store.log import Log
from shmetrics.store.store import Store
from tests.nodes.loopback import MIB, Loopback

JOBS = Definition(layout.TYPE_COUNTER, "jobs", "Jobs", "", "", ("queue",), ())
IDLE_SECONDS = 100.0


class Killed(BaseException):
    """A stand-in for a kill."""


class Twin:
    """The twin of a series."""

    def __init__(self, created: float, now: float) -> None:
        self.created = created
        self.changed = now
        self.count = 0
        self.lanes = 0
        self.was_bound = False


class Idling(RuleBasedStateMachine):
    """A family whose series come, change, are bound and unbound, and go; restarts and kills."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="shm-idle-")
        self.path = Path(self.folder.name) / "store"
        self.clock = 1000.0
        self.twin: dict[tuple[str, ...], Twin] = {}
        self.expired = 0
        self.open()

    def open(self) -> None:
        self.store = Store(self.path, MIB)
        self.families = Families(self.store, Limits(), lambda family: None, lambda: self.clock)
        family = self.families.define(JOBS)
        assert isinstance(family, Family)
        self.family = family
        self.idle = IdleSeries(self.families, IDLE_SECONDS, set)
        self.learn()
        for one in self.twin.values():
            one.lanes, one.changed = 0, self.clock
        self.idle.check(self.clock)

    def close(self) -> None:
        del self.families, self.family, self.idle
        self.store.close()

    def teardown(self) -> None:
        self.close()
        self.folder.cleanup()

    @rule(queue=st.integers(0, 20).map(str), amount=st.integers(1, 9), bind=st.booleans())
    def add(self, queue: str, amount: int, bind: bool) -> None:
        row = self.family.row((queue,))
        one = self.twin.setdefault((queue,), Twin(self.clock, self.clock))
        cells = self.family.cells(row)
        assert cells[0] == one.count, "a row that was used again has an old count"
        cells[0] += amount
        one.count += amount
        one.changed = self.clock
        if bind:
            self.family.bind(row)
            one.lanes += 1

    @rule(queue=st.integers(0, 20).map(str))
    def unbind(self, queue: str) -> None:
        one = self.twin.get((queue,))
        if one is not None and one.lanes:
            self.family.unbind(self.family.row((queue,)))
            one.lanes -= 1
            one.was_bound = True

    @rule(seconds=st.integers(1, 60))
    def pass_time(self, seconds: int) -> None:
        self.clock += seconds
        self.idle.check(self.clock)
        self.learn()

    @rule()
    def pass_much_time(self) -> None:
        """Let time pass, so that each series is found idle that does not change."""
        for _ in range(2):
            self.clock += 2 * IDLE_SECONDS
            self.idle.check(self.clock)
        self.learn()
        for one in self.twin.values():
            assert one.lanes

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()

    @rule(before=st.booleans(), nth=st.integers(1, 3))
    def kill_while_series_go(self, before: bool, nth: int) -> None:
        """Kill the collector while series go: each is gone or there, and no other is harmed."""
        left = nth
        set_end = Log._set_end

        def killed(log: Log, end: int) -> None:
            nonlocal left
            left -= 1
            if left or not before:
                set_end(log, end)
            if not left:
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Log, "_set_end", killed)
            patch.setattr("shmetrics.store.log.WORTH_REMOVING", 3)
            self.clock += 2 * IDLE_SECONDS
            try:
                for _ in range(2):
                    self.idle.check(self.clock)
                    self.clock += 2 * IDLE_SECONDS
            except Killed:
                pass
        self.close()
        self.open()

    @rule(n=st.integers(1, 400))
    def churn(self, n: int) -> None:
        """Let many series come and go; the log is written anew now and then."""
        for number in range(n):
            self.family.cells(self.family.row((f"short-lived {self.clock} {number}",)))[0] += 1
        for _ in range(2):
            self.clock += 2 * IDLE_SECONDS
            self.idle.check(self.clock)
        self.expired += n
        self.learn()
        assert self.store.log.used_bytes < 100_000

    def learn(self) -> None:
        """Check that each series that is gone was idle, and had no lane."""
        gone = self.twin.keys() - {values for _, values in self.family.index}
        for values in gone:
            one = self.twin.pop(values)
            assert one.lanes == 0
            assert self.clock - one.changed >= IDLE_SECONDS
        self.expired += len(gone)

    @invariant()
    def is_as_the_twin_says(self) -> None:
        self.idle.show_changed(self.clock)
        assert {values for _, values in self.family.index} == self.twin.keys()
        assert self.store.log.expired == self.expired
        shown = {
            values: (int(cells[0]), created)
            for values, cells, created in zip(
                self.family.series.values, self.family.rows(), self.family.created(), strict=True
            )
        }
        for values, one in self.twin.items():
            row = self.family.row(values)
            assert self.family.cells(row)[0] == one.count
            if values in shown:
                assert shown.pop(values) == (one.count, one.created)
            else:
                assert one.lanes or one.was_bound  # and leaves at the next check
                assert self.clock - one.changed >= IDLE_SECONDS
        assert not shown


TestIdling = Idling.TestCase
TestIdling.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


# ---- a collector and its lanes ----------------------------------------------------------------


@pytest.fixture
def clock() -> list[float]:
    return [10.0]


@pytest.fixture
def pass_time(loopback: Loopback, clock: list[float]) -> Callable[[], None]:
    """Return a function that makes each series idle that does not change."""
    idle = loopback.collector._idle
    idle._idle_seconds = IDLE_SECONDS
    loopback.collector._monotonic_ns = lambda: int(clock[0] * 1e9)

    def passing() -> None:
        for _ in range(3):
            loopback.collector.tick()
            clock[0] += 2 * IDLE_SECONDS
        loopback.collector.tick()

    return passing


def test_an_idle_series_of_a_living_process_is_hidden_and_comes_back_whole(
    loopback: Loopback, pass_time: Callable[[], None]
) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
    slow, fast = jobs.labels("slow"), jobs.labels("fast")
    slow.inc(5)
    fast.inc(1)
    before = loopback.samples(created=True)
    pass_time()
    fast.inc(1)
    pass_time_but = loopback.samples()
    assert pass_time_but.of("jobs_total") == {(("queue", "fast"),): 2}
    assert pass_time_but.value("shmetrics_series_expired_total") == 0
    slow.inc(2)
    found = loopback.samples(created=True)
    assert found.value("jobs_total", queue="slow") == 7
    assert found.value("jobs_created", queue="slow") == before.value("jobs_created", queue="slow")


def test_an_idle_series_of_nobody_leaves_and_its_room_is_used_again(
    loopback: Loopback, pass_time: Callable[[], None]
) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
    for number in range(12):
        jobs.labels(f"first {number}").inc(9)
    before = loopback.samples()
    assert before.sum("jobs_total") == 108
    _ring.process_detach()
    pass_time()
    gone = loopback.samples()
    assert gone.of("jobs_total") == {}
    assert gone.value("shmetrics_series_expired_total") == 12
    assert gone.value("shmetrics_series") == before.value("shmetrics_series") - 12
    used_bytes = loopback.collector.store.used_bytes
    loopback.attach()
    for number in range(12):
        jobs.labels(f"then {number}").inc(1)
    found = loopback.samples()
    assert found.sum("jobs_total") == 12
    cells_bytes = used_bytes - loopback.collector.store.log.used_bytes
    assert cells_bytes <= loopback.collector.store.used_bytes
    assert len([one for one in found.of("jobs_total").values() if one == 1]) == 12


def test_series_that_leave_all_at_once_leave_in_parts(
    loopback: Loopback, pass_time: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that no tick removes too many of them."""
    monkeypatch.setattr("shmetrics.store.idle.MOST_AT_ONCE", 7)
    for name in ("jobs", "more"):
        counter = shmetrics.Counter(name, "Help", ["n"])
        for number in range(10):
            counter.labels(str(number)).inc()
    loopback.collector.tick()
    _ring.process_detach()
    pass_time()
    gone: list[float] = []
    while not gone or gone[-1] < 20:
        gone.append(loopback.samples().value("shmetrics_series_expired_total"))
        assert gone == [7.0 * n for n in range(1, len(gone) + 1)] or gone[-1] == 20
        loopback.collector.tick()
    assert loopback.samples().of("more_total") == {}
    loopback.attach()


def test_a_gauge_of_a_living_process_is_never_idle(
    loopback: Loopback, pass_time: Callable[[], None]
) -> None:
    """Check gauges that stay the same for long. That of a dead process leaves."""
    shmetrics.Gauge("size", "Size", multiprocess_mode="max").set(3)
    pass_time()
    assert loopback.samples().value("size") == 3
    _ring.process_detach()
    loopback.collector.tick()
    assert loopback.samples().value("size") == 3
    pass_time()
    assert loopback.samples().of("size") == {}
    loopback.attach()


def test_by_default_nothing_is_ever_idle(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings().series_idle_seconds == 0
    shmetrics.Counter("jobs", "Jobs").inc()
    for days in range(1, 400):
        now_ns = days * 86400 * 10**9
        monkeypatch.setattr(loopback.collector, "_monotonic_ns", lambda now_ns=now_ns: now_ns)
        loopback.collector.tick()
    assert loopback.samples().value("jobs_total") == 1
