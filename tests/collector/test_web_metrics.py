# SPDX-License-Identifier: Apache-2.0
"""The log lines of a collector about scrapes."""

from __future__ import annotations

import pytest

from shmetrics.collector.web_service import WebMetrics
from shmetrics.rate_limited_log import PAUSE_SECONDS
from tests.nodes.loopback import Loopback


def test_a_family_that_is_left_out_is_logged_once_until_it_is_shown_again(
    loopback: Loopback, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    self_metrics = loopback.collector.self_metrics
    monkeypatch.setattr(self_metrics.rate_limited, "_monotonic", lambda: now[0])
    metrics = WebMetrics(self_metrics)

    def logged(families: dict[str, str]) -> int:
        caplog.clear()
        now[0] += 2 * PAUSE_SECONDS
        metrics.left_out("underscores", families)
        return len(caplog.messages)

    assert logged({"a-b": "it is a_b"}) == 1
    assert logged({"a-b": "it is a_b"}) == 0
    assert logged({"a-b": "it is a_b", "c-d": "it is c_d"}) == 1
    assert logged({"a-b": "another reason", "c-d": "it is c_d"}) == 1
    assert logged({}) == 0
    assert logged({"a-b": "another reason"}) == 1
