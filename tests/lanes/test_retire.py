# SPDX-License-Identifier: Apache-2.0
"""What becomes of a lane whose process is gone."""

from __future__ import annotations

import signal

import pytest

from tests.nodes.node import Node


@pytest.mark.parametrize("end", [0, signal.SIGKILL])
def test_the_end_of_a_process_retires_its_lane_at_once(node: Node, end: int) -> None:
    """Long before the next tick. Its connection ends a moment before its lock does."""
    node.start("tick_seconds = 60")
    for _ in range(10):
        emitter = node.emitter('shmetrics.Counter("jobs", "Jobs").inc()\npause("recorded")')
        emitter.until("recorded")
        if end:
            emitter.kill()
        else:
            emitter.go()
            emitter.end()
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 10
    assert node.samples().value("shmetrics_lanes_retired_total") == 10
