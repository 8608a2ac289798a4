# SPDX-License-Identifier: Apache-2.0
"""Each process is looked at within a round, and known for as long as it does not run."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.lanes.halt_watch import ROUND_SECONDS, TOGETHER, HaltWatch
from shmetrics.lanes.halts import Halt, Halts
from shmetrics.lanes.lane import Lane


class Kernel:
    """The processes that do not run, and a clock. It notes who is looked at."""

    def __init__(self) -> None:
        self.states: dict[int, str] = {}
        self.looked: list[int] = []
        self.now = 100.0

    def of(self, pid: int) -> Halt | None:
        self.looked.append(pid)
        return Halt(self.states[pid], "", "") if pid in self.states else None

    def watch(self) -> HaltWatch:
        return HaltWatch(cast("Halts", self), lambda: self.now)


class Owned:
    """A lane, as far as its owner."""

    def __init__(self, pid: int) -> None:
        self.owner = SimpleNamespace(pid=pid)


def lanes(*pids: int) -> list[Lane]:
    return [cast("Lane", Owned(pid)) for pid in pids]


def test_it_is_known_since_when_a_process_is_stopped() -> None:
    kernel = Kernel()
    watch = kernel.watch()
    [lane] = lanes(7)
    assert watch.of(lane) is None
    kernel.states[7], kernel.now = "stopped", 110.0
    assert watch.counts() == {"stopped": 0, "traced": 0, "frozen": 0}
    kernel.now += ROUND_SECONDS
    watch.look([lane])
    assert watch.counts() == {"stopped": 1, "traced": 0, "frozen": 0}
    kernel.now = 200.0
    seen = watch.of(lane)
    assert seen is not None
    assert seen.since == 110.0 + ROUND_SECONDS
    kernel.states[7] = "traced"  # since now
    seen = watch.of(lane)
    assert seen is not None
    assert (seen.halt.state, seen.since) == ("traced", 200.0)
    del kernel.states[7]
    assert watch.of(lane) is None
    assert watch.counts()["traced"] == 0


def test_a_lane_that_is_gone_is_forgotten_at_the_next_look() -> None:
    kernel = Kernel()
    watch = kernel.watch()
    kernel.states = {7: "frozen", 8: "frozen"}
    both = lanes(7, 8)
    for lane in both:
        watch.of(lane)
    assert watch.counts()["frozen"] == 2
    watch.look(both[1:])
    assert watch.counts()["frozen"] == 1
    watch.look([])
    assert watch.counts()["frozen"] == 0


def test_a_process_with_two_lanes_is_one() -> None:
    """Check one that moves to a larger lane."""
    kernel = Kernel()
    watch = kernel.watch()
    kernel.states = {7: "stopped"}
    for lane in lanes(7, 7):
        watch.of(lane)
    assert watch.counts()["stopped"] == 1


@given(st.integers(0, 3000), st.lists(st.floats(0.01, 59.0), min_size=1, max_size=30))
def test_each_is_looked_at_once_in_a_round(n: int, ticks: list[float]) -> None:
    """Check that a tick looks at no more than are due, and that nobody is left out."""
    kernel = Kernel()
    watch = kernel.watch()
    all_lanes = lanes(*range(n))
    for seconds in ticks:
        kernel.now += seconds
        before = len(kernel.looked)
        watch.look(all_lanes)
        assert len(kernel.looked) - before <= n * seconds / ROUND_SECONDS + TOGETHER
    assert len(kernel.looked) <= n * sum(ticks) / ROUND_SECONDS + 0.01
    found = Counter(kernel.looked)
    counts = [found[pid] for pid in range(n)] or [0]
    assert max(counts) - min(counts) <= 1
    if n:
        assert min(counts) >= sum(ticks) // (2 * ROUND_SECONDS + max(ticks))
