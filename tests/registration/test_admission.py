# SPDX-License-Identifier: Apache-2.0
"""Who may register, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.registration.admission import WINDOW_SECONDS, Admission, Allowed, Rate
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Result

NOVA = Peer(100, 42, 420, (7, 8))


@pytest.mark.parametrize(
    ("allowed", "may"),
    [
        (Allowed(), True),
        (Allowed(frozenset()), False),
        (Allowed(frozenset({42})), True),
        (Allowed(frozenset({43})), False),
        (Allowed(frozenset({43}), frozenset({420})), True),
        (Allowed(frozenset({43}), frozenset({8})), True),
        (Allowed(frozenset({43}), frozenset({42})), False),
        (Allowed(None, frozenset({9})), True),
    ],
)
def test_who_is_in_either_list_may_register(allowed: Allowed, may: bool) -> None:
    refusal = Admission(allowed, 1, lambda: None).refusal(NOVA)
    assert (refusal is None) is may
    if refusal is not None:
        assert refusal.result is Result.UID
        assert refusal.text == "uid 42 may not register; see registration.allow_uids"


def test_a_user_who_comes_too_often_waits_and_others_do_not() -> None:
    now = 5.0
    refused = 0

    def count() -> None:
        nonlocal refused
        refused += 1

    admission = Admission(Allowed(), 2, count, lambda: now)
    for _ in range(20):
        assert admission.refusal(NOVA) is None
    assert admission.per_second() == pytest.approx(2)
    found = admission.refusal(NOVA)
    assert found is not None
    assert found.result is Result.QUOTA
    assert "uid 42 registers more than 2 processes a second; see registration.max" in found.text
    assert refused == 1
    assert admission.refusal(NOVA._replace(uid=43)) is None
    now += 0.5
    assert admission.refusal(NOVA) is None
    assert admission.refusal(NOVA) is not None
    now += WINDOW_SECONDS
    assert admission.per_second() == 0
    assert refused == 2


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=200),
)
def test_a_rate_is_a_bucket_for_each_user(per_second: int, comings: list[tuple[int, int]]) -> None:
    """Against buckets that are filled by hand. Times are eighths of a second: exact."""
    rate = Rate(float(2**per_second))
    size = 2**per_second * WINDOW_SECONDS
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
        taken = (size - min(buckets.values())) / WINDOW_SECONDS
        assert rate.most(now) == pytest.approx(taken)


def test_a_rate_forgets_users_who_are_gone() -> None:
    """One can have 65,536 users of one's own."""
    rate = Rate(1.0)
    for second in range(10_000):
        assert rate.take(second, float(second))
    assert len(rate._full_at) < 200
