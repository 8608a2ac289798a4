# SPDX-License-Identifier: Apache-2.0
"""The way of a line: taken, refused by reason, and delivered in one form whoever brought it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from shmetrics.config.deliver import Deliver
from shmetrics.delivery.deliveries import Deliveries
from shmetrics.gatherer.lines import POLLED, PUSHED, Lines
from shmetrics.lines.owner import Owner
from shmetrics.lines.recorder import Recorder
from tests.nodes.loopback import Loopback

GEAR = Owner("5502", "gear", {"appName": "A", "gear": "5502"})


def counted(loopback: Loopback, name: str) -> dict[str, float]:
    """Return what a counter with one label has, by label value, without zeros."""
    found = loopback.samples().of(name)
    return {labels[0][1]: value for labels, value in found.items() if value}


def test_a_line_is_recorded_and_delivered_in_one_form(
    loopback: Loopback, name: str, tmp_path: Path
) -> None:
    place = Deliver(to=f"file://{tmp_path}/{{unit}}.log", batch_seconds=0.01)
    lines = Lines(Recorder(), Deliveries([place]))
    before = counted(loopback, "shmetrics_unit_lines_total")
    lines.take(GEAR, f"{name}.count=5".encode())
    lines.take(GEAR, f"{name}.count=6 appName=A type=metric gear=5502".encode(), "mock")
    lines.take(GEAR, b"just words, and level=info", "mock")
    asyncio.run(lines.close())
    written = (tmp_path / "5502.log").read_text().splitlines()
    assert [line.partition(" ")[2] for line in written] == [
        f"type=metric appName=A gear=5502 {name}.count={n}" for n in (5, 6)
    ]
    assert loopback.samples().value(f"{name}_count", unit="5502", kind="gear") == 6
    taken = Counter(counted(loopback, "shmetrics_unit_lines_total"))
    taken.subtract(before)
    assert taken == {POLLED: 1, PUSHED: 1}
    assert loopback.samples().value("shmetrics_gather_delivered_total", to=place.to) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"type=metric gear=other x=1", "forged"),
        (b"type=metric appName=B x=1", "forged"),
        (b"type=metric x=nan", "bad_value"),
        (b"type=metric x=1\0", "bad_text"),
        (b"type=metric " + b"x=1 " * 1000, "too_long"),
        (b"type=metric x.y=1 x_y=2", "two_names_one"),
        (b"type=metric container_memory_rss=1", "reserved"),
    ],
)
def test_a_line_that_is_refused_is_counted(
    loopback: Loopback, text: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines = Lines(Recorder())
    before = counted(loopback, "shmetrics_unit_lines_refused_total")
    lines.take(GEAR, text)
    now = Counter(counted(loopback, "shmetrics_unit_lines_refused_total"))
    now.subtract(before)
    assert +now == {reason: 1}
    [record] = caplog.records
    assert record.getMessage().startswith("a line of gear 5502 is refused: ")
