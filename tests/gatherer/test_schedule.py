# SPDX-License-Identifier: Apache-2.0
"""Promise: passes are due at fixed times. What is missed is counted, and not made up for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.gatherer.schedule import Schedule


def test_the_first_pass_is_due_at_once() -> None:
    assert Schedule(60, 1000).wait_seconds(1000) == 0


def test_a_pass_that_takes_its_time_does_not_move_the_next() -> None:
    schedule = Schedule(60, 1000)
    assert schedule.take(1000) == 0
    assert schedule.wait_seconds(1007) == 53
    assert schedule.take(1060.5) == 0
    assert schedule.wait_seconds(1065) == 55


def test_what_was_missed_while_frozen_is_skipped() -> None:
    schedule = Schedule(60, 0)
    schedule.take(0)
    assert schedule.take(60 + 125) == 2  # frozen for two intervals
    assert schedule.skipped == 2
    assert schedule.wait_seconds(185) == 55  # at 240, as if nothing had been


def test_a_clock_that_goes_back_only_waits() -> None:
    schedule = Schedule(60, 1000)
    schedule.take(1000)
    assert schedule.wait_seconds(990) == 70
    assert schedule.take(990) == 0


@given(st.integers(10, 1000), st.lists(st.floats(0, 5000, allow_nan=False), max_size=50))
def test_times_stay_whole_intervals(interval: int, busy: list[float]) -> None:
    """Let each pass take some time, and check when the next one is made."""
    schedule = Schedule(interval, 0)
    now = 0.0
    for made, seconds in enumerate(busy, 1):
        now += schedule.wait_seconds(now)
        before = schedule.skipped
        missed = schedule.take(now)
        assert schedule.skipped == before + missed
        assert made + schedule.skipped - 1 == now // interval
        now += seconds
        assert 0 <= schedule.wait_seconds(now) <= interval
