# SPDX-License-Identifier: Apache-2.0
"""Room for lanes, by number, user and size."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.lanes.lane_quota import LaneLimits, LaneQuota, UndrainedFiles

lanes = st.tuples(st.integers(0, 3), st.integers(1, 50))


@given(st.lists(lanes | st.integers(0, 100), max_size=60))
def test_room_is_what_the_lanes_that_are_there_leave(steps: list[tuple[int, int] | int]) -> None:
    """Against a list of them. A lane comes, if it may; or one of those that are there goes."""
    quota = LaneQuota(LaneLimits(lanes=6, lanes_per_uid=3, lane_bytes=100))
    there: list[tuple[int, int]] = []
    for step in steps:
        if isinstance(step, int):
            if there:
                quota.remove(*there.pop(step % len(there)))
        else:
            uid, size = step
            expected = None
            if len(there) == 6:
                expected = "lanes"
            elif sum(owner == uid for owner, _ in there) == 3:
                expected = "lanes_per_uid"
            elif sum(bytes_ for _, bytes_ in there) + size > 100:
                expected = "lane_bytes"
            excess = quota.excess(uid, size)
            assert (excess and excess.quota) == expected
            if excess is None:
                there.append(step)
                quota.add(uid, size)
        assert quota.lanes == len(there)
        assert quota.lane_bytes == sum(size for _, size in there)
        owners = [owner for owner, _ in there]
        assert quota.most_of_a_uid() == max(map(owners.count, owners), default=0)


def test_what_is_left_of_other_lanes_counts_for_its_user_too() -> None:
    quota = LaneQuota(LaneLimits(lanes_per_uid=2, lane_bytes=100))
    quota.add(7, 10)
    quota.undrained = UndrainedFiles(30, Counter({7: 1, 8: 1}))
    assert (quota.lane_bytes, quota.most_of_a_uid()) == (40, 2)
    excess = quota.excess(7, 10)
    assert excess is not None
    assert excess.quota == "lanes_per_uid"
    assert quota.excess(8, 60) is None
    excess = quota.excess(8, 61)
    assert excess is not None
    assert excess.quota == "lane_bytes"
