# SPDX-License-Identifier: Apache-2.0
"""A lane of another layout: its process is told, gets a new lane, and the totals go on."""

from __future__ import annotations

import struct

import shmetrics
from shmetrics import _ring, layout
from tests.nodes import hostile
from tests.nodes.loopback import Loopback


def test_a_lane_of_another_layout_is_left_for_a_new_one(loopback: Loopback) -> None:
    jobs = shmetrics.Counter("jobs_of_two_layouts", "Jobs")
    jobs.inc(2)
    loopback.release()  # which drains
    jobs.inc(4)  # while no collector is there
    [lane] = (loopback.path / "lanes").glob("*.lane")
    with lane.open("r+b") as file:
        file.seek(hostile.VERSION_AT)
        file.write(struct.pack("=I", layout.LAYOUT_VERSION + 1))

    loopback.reopen()
    assert loopback.samples().value("jobs_of_two_layouts_total") == 2
    assert _ring.process_status()["closed"]
    assert {one.suffix for one in lane.parent.iterdir()} == {".broken", ".json", ".ledger"}

    _ring.process_detach()  # as the registration does
    loopback.attach()
    jobs.inc(8)
    loopback.collector.tick()
    assert loopback.samples().value("jobs_of_two_layouts_total") == 2 + 8

    for one in lane.parent.glob(f"{lane.stem}.*"):  # kept until somebody has looked
        one.unlink()
