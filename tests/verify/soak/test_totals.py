# SPDX-License-Identifier: Apache-2.0
"""The sums of totals.py against plain loops over the events of work.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.verify.soak import totals
from tests.verify.soak.work import BOUNDS, EXCEPTIONS, HOSTS


@given(st.integers(0, 1000))
def test_sums_are_those_of_a_loop(n: int) -> None:
    assert totals.jobs(n) == sum(1 + i % 3 for i in range(n))
    assert totals.sizes(n) == sum(i % 10 for i in range(n))
    for bound in BOUNDS:
        assert totals.sizes_up_to(bound, n) == sum(i % 10 <= bound for i in range(n))
    hosts = [i % len(HOSTS) for i in range(n)]
    for host in (0, 1, len(HOSTS) - 1):
        assert totals.visits(n, host) == hosts.count(host)
    thrown = [EXCEPTIONS[i % 3] for i in range(n)]
    for which, name in enumerate(EXCEPTIONS):
        assert totals.exceptions(n, which) == thrown.count(name)
