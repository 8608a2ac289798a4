# SPDX-License-Identifier: Apache-2.0
"""A flood of one thing is one line."""

from __future__ import annotations

import logging
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics import rate_limited_log
from shmetrics.rate_limited_log import (
    MAX_CULPRITS,
    MAX_KINDS,
    MAX_TEXT,
    PAUSE_SECONDS,
    RateLimitedLog,
    shown,
)

log = logging.getLogger("test_seldom")


def test_a_flood_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    rate_limited = RateLimitedLog(log, lambda: now)
    for n in range(1000):
        rate_limited.warning("flood", f"water {n}")
    rate_limited.warning("fire", "smoke")
    now += PAUSE_SECONDS
    rate_limited.warning("flood", "water again")
    now += PAUSE_SECONDS
    rate_limited.warning("flood", "and again")
    assert caplog.messages == [
        "water 0",
        "smoke",
        "water again (and 999 more like it)",
        "and again",
    ]


def test_a_flood_of_kinds_is_a_kind(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limited_log, "MAX_KINDS", 3)
    now = 100.0
    found = RateLimitedLog(log, lambda: now)
    for n in range(100):
        found.warning(n, f"kind {n}")
    assert caplog.messages == ["kind 0", "kind 1", "kind 2", "kind 3"]
    now += PAUSE_SECONDS
    found.warning(200, "kind 200")
    assert caplog.messages[-1] == "kind 200"


def test_whoever_floods_leaves_others_their_lines(caplog: pytest.LogCaptureFixture) -> None:
    found = RateLimitedLog(log, lambda: 100.0)
    for n in range(10 * MAX_KINDS):
        found.warning(n, f"flood {n}", culprit=1)
    caplog.clear()
    found.warning("one", "of another", culprit=2)
    found.warning("one", "of nobody")
    assert caplog.messages == ["of another", "of nobody"]


def test_a_flood_from_many_is_bounded_within_any_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Check many culprits and kinds; when the flood is over, each is logged again."""
    now = 100.0
    found = RateLimitedLog(log, lambda: now)
    for _ in range(3):
        caplog.clear()
        for culprit in range(4 * MAX_CULPRITS):
            for kind in range(2 * MAX_KINDS):
                found.warning(kind, f"{culprit}: {kind}", culprit)
        assert len(caplog.messages) == (MAX_CULPRITS + 1) * (MAX_KINDS + 1)
        now += PAUSE_SECONDS


def test_long_kinds_and_texts_are_not_kept() -> None:
    found = RateLimitedLog(logging.getLogger("test_seldom.silent"), lambda: 100.0)
    found._log.addHandler(logging.NullHandler())
    found._log.propagate = False
    tracemalloc.start()
    try:
        for n in range(2 * MAX_KINDS):
            found.warning((n, "k" * 100_000), "t" * 100_000, str(n) * 10_000)
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


@given(st.text(max_size=3 * MAX_TEXT))
def test_a_line_is_one_line_and_not_long(text: str) -> None:
    line = shown(text)
    assert line.isprintable()
    assert len(line) <= MAX_TEXT + len(" ... ")
    if text.isprintable() and len(text) <= MAX_TEXT:
        assert line == text
    long = shown(text + "\x1b[2J\n" + "x" * 1000)
    assert long.isprintable()
    assert len(long) <= MAX_TEXT + len(" ... ")


@pytest.mark.parametrize("culprit", [None, 7])
def test_a_culprit_is_told_how_much_was_left_out(
    caplog: pytest.LogCaptureFixture, culprit: int | None
) -> None:
    now = 100.0
    found = RateLimitedLog(log, lambda: now)
    for _ in range(5):
        found.warning("flood", "water", culprit)
    now += PAUSE_SECONDS
    found.warning("flood", "water", culprit)
    assert caplog.messages == ["water", "water (and 4 more like it)"]
