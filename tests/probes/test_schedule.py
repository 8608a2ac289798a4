# SPDX-License-Identifier: Apache-2.0
"""Promise: every probe has its turn once per interval, and what is skipped is counted."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shmetrics.probes import schedule
from shmetrics.probes.probe import Key
from shmetrics.probes.schedule import Schedule, phase_ns
from shmetrics.probes.unit_time import UnitTime

SECOND = 10**9
MINUTE = 60 * SECOND


def due(probes: Schedule, now: int) -> list[Key]:
    """Let a schedule look at the clock, and return what it starts."""
    probes.take_turns(now)
    return probes.fill()


class Twin:
    """The schedule again, slow and obvious: it looks at each nanosecond."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.interval: dict[Key, int] = {}
        self.looked: dict[Key, int] = {}
        self.resume: dict[Key, int] = {}  # a time
        self.timeouts: Counter[Key] = Counter()
        self.running: set[Key] = set()
        self.stuck: set[Key] = set()
        self.queue: list[Key] = []
        self.skipped: Counter[str] = Counter()

    def set(self, intervals: dict[Key, int], now: int) -> None:
        for key in list(self.interval):
            if intervals.get(key) != self.interval[key]:
                del self.interval[key], self.looked[key]
                self.timeouts.pop(key, None)
                self.resume.pop(key, None)
                if key in self.queue:
                    self.queue.remove(key)
        for key, interval in intervals.items():
            if key not in self.interval:
                self.interval[key] = interval
                self.looked[key] = now

    def due(self, now: int) -> list[Key]:
        turns = {}
        for key, interval in self.interval.items():
            phase = phase_ns(key, interval)
            times = range(self.looked[key] + 1, now + 1)
            turns[key] = [t for t in times if (t - phase) % interval == 0]
            self.looked[key] = now
        for key in sorted((k for k in turns if turns[k]), key=lambda k: (turns[k][0], k)):
            *missed, last = turns[key]
            self.skipped["late"] += len(missed)
            if key in self.running:
                self.skipped["running"] += 1
            elif last < self.resume.get(key, 0):
                self.skipped["backing_off"] += 1
            elif key in self.queue:
                self.skipped["no_room"] += 1
            elif now - last > self.interval[key] // 10:
                self.skipped["late"] += 1
            else:
                self.queue.append(key)
        started = []
        for key in list(self.queue):
            taking = self.running - self.stuck
            if all(unit != key[0] for unit, _ in taking) and len(taking) < self.most:
                self.queue.remove(key)
                self.running.add(key)
                started.append(key)
        return started

    def ended(self, key: Key, timed_out: bool) -> None:
        self.running.remove(key)
        self.stuck.discard(key)
        if key not in self.interval:
            return
        self.timeouts[key] = self.timeouts[key] + 1 if timed_out else 0
        if self.timeouts[key] >= 2:
            kept_off = min(2 ** (self.timeouts[key] - 1) - 1, 31)
            interval = self.interval[key]
            after = self.looked[key] + 1
            while (after - phase_ns(key, interval)) % interval:
                after += 1
            self.resume[key] = after + kept_off * interval


class Turns(RuleBasedStateMachine):
    """Both, told the same."""

    @initialize(most=st.integers(1, 4), start=st.integers(0, 1000))
    def begin(self, most: int, start: int) -> None:
        self.now = start
        self.real, self.twin = Schedule(most), Twin(most)

    @rule(
        intervals=st.dictionaries(
            st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), st.integers(1, 40)
        )
    )
    def set(self, intervals: dict[Key, int]) -> None:
        self.real.set(intervals, self.now)
        self.twin.set(intervals, self.now)

    @rule(step=st.integers(0, 5) | st.integers(0, 200))
    def wait(self, step: int) -> None:
        self.now += step
        assert due(self.real, self.now) == self.twin.due(self.now)

    @rule(number=st.integers(0, 10), timed_out=st.booleans())
    def end(self, number: int, timed_out: bool) -> None:
        running = sorted(self.twin.running)
        if running:
            key = running[number % len(running)]
            # Both have looked at the clock before they hear of an end.
            assert due(self.real, self.now) == self.twin.due(self.now)
            self.real.ended(key, timed_out)
            self.twin.ended(key, timed_out)

    @rule(number=st.integers(0, 10))
    def stick(self, number: int) -> None:
        taking = sorted(self.twin.running - self.twin.stuck)
        if taking:
            key = taking[number % len(taking)]
            self.real.stuck(key)
            self.twin.stuck.add(key)

    @invariant()
    def both_say_the_same(self) -> None:
        if hasattr(self, "real"):
            assert +self.real.skipped == +self.twin.skipped
            taking = self.twin.running - self.twin.stuck
            assert self.real.running == len(taking) <= self.twin.most
            assert self.real.is_busy == bool(taking or self.twin.queue)


TestTurns = Turns.TestCase


def turns(probes: Schedule, seconds: float, now: int, step: int = SECOND // 10) -> list[int]:
    """Let a schedule run, each probe ending at once; return the times of starts."""
    found = []
    for at in range(now, now + int(seconds * SECOND), step):
        for key in due(probes, at):
            found.append(at)
            probes.ended(key, False)
    return found


def test_turns_are_spread_and_the_same_after_a_restart() -> None:
    keys = [(f"gear{i}", "php") for i in range(600)]
    phases = [phase_ns(key, MINUTE) for key in keys]
    assert phases == [phase_ns(key, MINUTE) for key in keys]
    per_second = Counter(phase // SECOND for phase in phases)
    assert len(per_second) > 55
    assert max(per_second.values()) < 30  # of ten on average


def test_nothing_drifts() -> None:
    probes = Schedule(1)
    key = ("a", "b")
    probes.set({key: 10 * SECOND}, 0)
    found = turns(probes, 1000, 0, step=333_333_333)  # that looks whenever it can
    assert len(found) == 100
    assert all(0 <= (at - phase_ns(key, 10 * SECOND)) % (10 * SECOND) < 333_333_333 for at in found)


def test_a_node_that_was_suspended_makes_up_for_nothing() -> None:
    """It stood still for two and a half intervals."""
    probes = Schedule(1000)
    keys = {(f"gear{i}", "php"): MINUTE for i in range(300)}
    probes.set(keys, 0)
    turns(probes, 60, 0)
    assert not +probes.skipped
    started = due(probes, 210 * SECOND)
    assert len(started) < 60  # those whose turn was in the last six seconds
    assert probes.skipped["late"] + len(started) >= 2 * 300


def test_a_slow_probe_never_overlaps_itself() -> None:
    probes = Schedule(8)
    key = ("a", "slow")
    probes.set({key: SECOND}, 0)
    first = phase_ns(key, SECOND)
    assert due(probes, first) == [key]
    for turn in range(1, 5):
        assert due(probes, first + turn * SECOND) == []
    assert +probes.skipped == {"running": 4}
    probes.ended(key, False)
    assert due(probes, first + 5 * SECOND) == [key]


def test_500_at_once_run_within_the_bound() -> None:
    probes = Schedule(8)
    keys = {(f"gear{i}", "php"): MINUTE for i in range(500)}
    probes.set(keys, 0)
    probes.call_all()
    started, rounds = [], 0
    while now := due(probes, 1):
        assert len(now) <= 8
        started += now
        for key in now:
            probes.ended(key, False)
        rounds += 1
    assert sorted(started) == sorted(keys)
    assert rounds == 63
    assert not probes.is_busy


def test_one_that_times_out_again_and_again_backs_off_and_comes_back() -> None:
    probes = Schedule(8)
    key = ("a", "stuck")
    probes.set({key: SECOND}, 0)
    first = phase_ns(key, SECOND)
    runs = []
    for at in range(1, 200):
        if due(probes, first + at * SECOND):
            runs.append(at)
            probes.ended(key, timed_out=at < 100)
    gaps = [later - sooner for sooner, later in pairwise(runs)]
    assert gaps[:6] == [1, 2, 4, 8, 16, 32]
    assert set(gaps[-20:]) == {1}
    assert max(gaps) == schedule.MOST_SKIPPED + 1


def test_a_unit_has_its_time_once_per_interval() -> None:
    time = UnitTime(3.0, 60.0)
    assert time.left_seconds("a", 0) == 3
    time.spend("a", 2.5, 0)
    time.spend("b", 1.0, 0)
    assert time.left_seconds("a", 59 * SECOND) == 0.5
    time.spend("a", 9.0, 59 * SECOND)
    assert time.left_seconds("a", 59 * SECOND) == 0
    assert time.left_seconds("b", 59 * SECOND) == 2
    assert time.left_seconds("a", MINUTE) == 3
    time.keep({"a"})
    assert time.left_seconds("b", 59 * SECOND) == 3


def test_of_one_unit_one_runs_at_a_time() -> None:
    probes = Schedule(8)
    keys = [("a", "one"), ("a", "two"), ("b", "one")]
    probes.set(dict.fromkeys(keys, MINUTE), 0)
    probes.call_all()
    assert probes.fill() == [("a", "one"), ("b", "one")]
    assert probes.fill() == []
    probes.ended(("a", "one"), False)
    assert probes.fill() == [("a", "two")]
