# SPDX-License-Identifier: Apache-2.0
"""The bytes of a lane that a label set takes."""

from __future__ import annotations

import os

import shmetrics
from shmetrics.dictionary import DEFAULT_BUCKETS
from tests.nodes.hostile import DICTIONARY_END_AT, SPILLED_AT, LaneFile
from tests.nodes.loopback import Loopback

SETS = 50
CELL_BYTES = 2 * 8  # in the lane's cells, and in the collector's part, which tells what it took


def test_a_label_set_of_calls_takes_at_most_500_bytes(loopback: Loopback) -> None:
    """It has its names and all its cells, which it gets when one of its events is spilled."""
    [path] = (loopback.path / "lanes").glob("*.lane")
    lane = LaneFile(os.open(path, os.O_RDWR))
    calls = shmetrics.Calls("room", "Calls", ["server", "method"])
    first = calls.labels("first", "build")
    while not lane.get(SPILLED_AT):
        first.end(first.start())
    before = lane.get(DICTIONARY_END_AT)
    for n in range(SETS):
        one = calls.labels(f"compute-{n:05}.example", "build")
        one.end(one.start())
    dictionary_bytes = (lane.get(DICTIONARY_END_AT) - before) / SETS
    spilled = lane.get(SPILLED_AT)
    n_cells = 3 + len(DEFAULT_BUCKETS) + 1  # starts, ends, sum of durations; buckets and +Inf
    lane.close()
    assert spilled > 2 * SETS
    assert dictionary_bytes == 48 + 16
    assert dictionary_bytes + n_cells * CELL_BYTES <= 500
