# SPDX-License-Identifier: Apache-2.0
"""The users and groups that may register, and their rate."""

from __future__ import annotations

import pytest

from shmetrics.registration.admission import WINDOW_SECONDS, Admission, Allowed
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
