# SPDX-License-Identifier: Apache-2.0
"""A flood of one thing is one line."""

from __future__ import annotations

import logging

import pytest

from shmetrics import seldom
from shmetrics.seldom import PAUSE_SECONDS, Seldom

log = logging.getLogger("test_seldom")


def test_a_flood_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    seldom = Seldom(log, lambda: now)
    for n in range(1000):
        seldom.warning("flood", f"water {n}")
    seldom.warning("fire", "smoke")
    now += PAUSE_SECONDS
    seldom.warning("flood", "water again")
    now += PAUSE_SECONDS
    seldom.warning("flood", "and again")
    assert caplog.messages == [
        "water 0",
        "smoke",
        "water again (and 999 more like it)",
        "and again",
    ]


def test_a_flood_of_kinds_is_a_kind(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seldom, "MAX_KINDS", 3)
    now = 100.0
    found = Seldom(log, lambda: now)
    for n in range(100):
        found.warning(n, f"kind {n}")
    assert caplog.messages == ["kind 0", "kind 1", "kind 2", "kind 3"]
    now += PAUSE_SECONDS
    found.warning(200, "kind 200")
    assert caplog.messages[-1] == "kind 200"
