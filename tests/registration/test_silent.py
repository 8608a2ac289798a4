# SPDX-License-Identifier: Apache-2.0
"""Connections that say nothing, and the order in which they give way."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shmetrics.registration import pending_connections
from shmetrics.registration.pending_connections import PendingConnections


@given(st.lists(st.integers(0, 3) | st.integers(0, 9) | st.integers(-9, -1), max_size=100))
@example([1, 0, 0, 0, 0])
@example([0, 0, 0, 1, 1, 1, 2, 2, 3])
def test_the_longest_silent_gives_way(steps: list[int]) -> None:
    """Check against a list in the order of coming. A user comes; or the n-th last connection
    speaks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pending_connections, "MAX_PENDING", 8)
        patch.setattr(pending_connections, "MAX_PENDING_PER_UID", 3)
        found: PendingConnections[int] = PendingConnections()
        twin: list[tuple[int, int]] = []
        for client, step in enumerate(steps):
            if step < 0:
                speaks = max(client + step, 0)
                found.discard(speaks)
                twin = [entry for entry in twin if entry[0] != speaks]
                continue
            his = [entry for entry in twin if entry[1] == step]
            expected = None
            if len(his) >= 3:
                expected = his[0]
            elif len(twin) >= 8:
                expected = twin[0]
            if expected is not None:
                twin.remove(expected)
            twin.append((client, step))
            assert found.add(client, step) == (expected and expected[0])
            assert len(found) == len(twin) <= 8
            assert found.most_of_a_uid() == max(Counter(uid for _, uid in twin).values()) <= 3
