# SPDX-License-Identifier: Apache-2.0
"""The families that a process records are known while it lives, and for a moment after."""

from types import SimpleNamespace
from typing import Any

import pytest

from shmetrics.lanes import recorded
from shmetrics.lanes.lane import LaneState
from shmetrics.lanes.recorded import AFTER_END_SECONDS, Recorded


def lane(pid: int, *families: str) -> Any:
    known = SimpleNamespace(names=lambda: frozenset(families))
    return SimpleNamespace(
        owner=SimpleNamespace(pid=pid),
        state=LaneState.OPEN,
        bindings=SimpleNamespace(lane_families=known),
        sent_twice=0,
    )


def test_a_process_has_the_families_of_all_its_lanes() -> None:
    found, first, second = Recorded(), lane(7, "a"), lane(7, "b")
    found.add(first)
    found.add(second)
    assert [found.take(7, name) for name in "abc"] == [True, True, False]
    assert (first.sent_twice, second.sent_twice) == (1, 1)
    assert not found.take(8, "a")
    found.remove(first)
    assert [found.take(7, name) for name in "ab"] == [False, True]


def test_a_lane_that_is_not_read_counts_nothing() -> None:
    found, broken = Recorded(), lane(7, "a")
    found.add(broken)
    broken.state = LaneState.QUARANTINED
    assert not found.take(7, "a")


def test_a_process_that_cannot_be_seen() -> None:
    found = Recorded()
    found.add(lane(0, "a"))
    assert not found.take(0, "a")


def test_a_process_that_has_ended_is_known_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MOST_ENDED", 2)
    now = 0.0
    found = Recorded(lambda: now)
    for pid in (7, 8, 9):
        each = lane(pid, "a")
        found.add(each)
        found.remove(each)
    assert [found.take(pid, "a") for pid in (7, 8, 9)] == [False, True, True]
    assert not found.take(8, "b")
    now = AFTER_END_SECONDS + 1
    assert not found.take(8, "a")
    found.add(lane(9, "b"))  # the pid is used again
    assert not found.take(9, "a")
