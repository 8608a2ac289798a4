# SPDX-License-Identifier: Apache-2.0
"""A backlog is bounded: the oldest go, and are counted; nobody waits to put one there."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.push.backlog import Backlog
from shmetrics.push.taker import Taker
from tests.servers.patience import until


@given(st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=30), st.integers(1, 12))
def test_the_newest_are_kept_in_order(does: list[int | None], most: int) -> None:
    """Check against a list: None gets a block, a number puts one of this length."""
    backlog, lost = Backlog(most), 0
    kept: list[bytes] = []
    for number, size in enumerate(does):
        if size is None:
            if kept:
                assert backlog.get() == kept.pop(0)
            continue
        block = bytes([number]) * size
        backlog.put(block)
        kept.append(block)
        while sum(map(len, kept)) > most:
            lost += len(kept.pop(0))
        assert backlog.lost_bytes == lost
    backlog.close()
    assert [backlog.get() for _ in kept] == kept
    assert backlog.get() is None
    backlog.put(b"late")
    assert (backlog.get(), backlog.lost_bytes) == (None, lost + 4)


def test_a_taker_that_hangs_holds_up_nobody() -> None:
    go, taken = threading.Event(), []

    def take(line: bytes) -> None:
        taken.append(line)
        go.wait(60)

    backlog = Backlog(most_bytes=8)
    taker = Taker(backlog, take)
    backlog.put(b"a=0\n")
    until(lambda: taken, lambda: "not begun", 10)
    for number in range(1, 9):
        backlog.put(b"a=%d\n" % number)
    assert backlog.lost_bytes == 6 * 4
    assert not taker.finish(0.01)
    assert backlog.lost_bytes == 8 * 4
    go.set()
    assert taker.finish(60)
    assert taken == [b"a=0"]
