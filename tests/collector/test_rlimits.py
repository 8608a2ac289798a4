# SPDX-License-Identifier: Apache-2.0
"""Lanes and the limit of open files."""

from __future__ import annotations

import os
import resource

import pytest

from shmetrics.collector import rlimits
from shmetrics.collector.rlimits import OWN, PER_LANE, lanes_that_fit
from tests.nodes.node import Node
from tests.servers.processes import until

ALL = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "fit", "raised"),
    [
        (ALL, ALL, 100, None),
        (1024, ALL, 100, None),
        (200, ALL, 100, 20 + OWN + 100 * PER_LANE),
        (200, 5000, 100, 20 + OWN + 100 * PER_LANE),
        (100, 20 + OWN + 10 * PER_LANE + 1, 10, 20 + OWN + 10 * PER_LANE + 1),
        (10, 10, 1, 10),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_lanes_need_it(
    soft: int,
    hard: int,
    fit: int,
    raised: int | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: found.append(limits))
    assert lanes_that_fit(100, 20) == fit
    assert found == ([] if raised is None else [(raised, hard)])
    assert len(caplog.messages) == (fit < 100)
    if fit < 100:
        assert f"room for {fit} lanes instead of registration.max_lanes = 100" in caplog.text
        assert "raise LimitNOFILE" in caplog.text


def test_a_lane_takes_as_many_open_files_as_are_kept_for_it(node: Node) -> None:
    def opened() -> int:
        return len(os.listdir(f"/proc/{node.pid}/fd"))

    node.start()
    before = opened()
    emitters = [
        node.emitter('shmetrics.Counter("jobs", "Jobs").inc()\npause("there")') for _ in "abcd"
    ]
    for emitter in emitters:
        emitter.until("there")
    wanted = before + 4 * rlimits.PER_LANE
    until(lambda: opened() == wanted, lambda: f"{opened()} instead of {wanted}", 30)
    for emitter in emitters:
        emitter.go()
        emitter.end()
    until(lambda: opened() == before, lambda: f"{opened()} instead of {before}", 30)
