# SPDX-License-Identifier: Apache-2.0
"""Buckets of tokens, for users who register and for clients who ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.token_buckets import TokenBuckets


def test_a_bucket_fills_with_time() -> None:
    now = [100.0]
    bucket = TokenBuckets[str](2.0, 2)

    def take() -> bool:
        return bucket.take("one", now[0])

    assert [take() for _ in range(3)] == [True, True, False]
    now[0] += 3
    assert [take() for _ in range(2)] == [True, False]
    now[0] += 1
    assert take()
    now[0] += 1000
    assert [take() for _ in range(3)] == [True, True, False]


@given(st.integers(1, 1000), st.floats(1e-4, 100.0), st.floats(0.0, 1e7))
def test_a_full_bucket_has_all_its_tokens(size: int, interval: float, now: float) -> None:
    """Check that no rounding of sums of seconds costs a token."""
    bucket = TokenBuckets[None](interval, size)
    assert all(bucket.take(None, now) for _ in range(size))
    assert not bucket.take(None, now)


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=200),
)
def test_there_is_a_bucket_for_each_user(per_second: int, comings: list[tuple[int, int]]) -> None:
    """Check against buckets that are filled by hand. Times are eighths of a second: exact."""
    size = 2**per_second * 10.0
    rate = TokenBuckets[int](2.0**-per_second, size)
    buckets: dict[int, float] = {}
    now = 1000.0
    for uid, eighths in comings:
        now += eighths / 8
        buckets = {
            user: min(size, left + eighths / 8 * 2**per_second) for user, left in buckets.items()
        }
        left = buckets.setdefault(uid, size)
        assert rate.take(uid, now) is (left >= 1)
        if left >= 1:
            buckets[uid] = left - 1
        assert rate.most_taken(now) == pytest.approx(size - min(buckets.values()))


def test_users_who_are_gone_are_forgotten() -> None:
    """Check many users: one person can have 65,536."""
    rate = TokenBuckets[int](1.0, 10)
    for second in range(10_000):
        assert rate.take(second, float(second))
    assert len(rate._full_at) < 200
