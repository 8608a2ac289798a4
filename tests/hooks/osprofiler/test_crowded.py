# SPDX-License-Identifier: Apache-2.0
"""Spans of a process that has more label sets than fit into its first lane."""

from __future__ import annotations

import pytest
from osprofiler import profiler

import shmetrics
from shmetrics import _ring
from shmetrics.emitter import process
from tests.nodes.node import Node
from tests.servers.processes import until

from .test_compiled_lane import KEY, ours

NUMBERS = [str(number) for number in range(5000)]
crowd = shmetrics.Counter("crowd", "Of a test", ["number"])


def test_what_is_shown_as_zero_leaves_room_for_spans(
    shm: Node, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_all_series", lambda: list(map(crowd.labels, NUMBERS)))
    _ring.process_detach()
    for number in NUMBERS:
        crowd.labels(number)
    assert not shmetrics.status()["connected"]

    def connected() -> object:
        crowd.labels("0").inc()  # once a second a process without a lane asks for one
        return shmetrics.status()["connected"]

    until(connected, lambda: str(shmetrics.status()), 30)  # all of them are declared
    made = ours()
    base_id = profiler.init(KEY).get_base_id()
    with profiler.Trace("db"):
        pass
    # The collector reads so many definitions bit by bit.
    until(lambda: made.get_report(base_id)["children"], lambda: str(shmetrics.status()), 30)
    (span,) = made.get_report(base_id)["children"]
    assert span["info"]["name"] == "db"
    assert shmetrics.status()["overflowed"] == 0
    crowd.clear()
