# SPDX-License-Identifier: Apache-2.0
"""Two looks at the destinations, and what went there between them."""

from __future__ import annotations

from typing import Any

from shmetrics.cli.flow import Destination, Flow, Flows
from shmetrics.cli.top import Look, plain
from shmetrics.figures import NARROW_SPACE


def destination(to: str = "graphite://h", kind: str = "series", **more: Any) -> Destination:
    empty: dict[str, Any] = {
        **dict.fromkeys(("sent", "waiting", "waiting_bytes"), 0),
        "max_waiting_bytes": 1 << 20,
        "dropped": {},
        "problem": "",
        "failing_seconds": None,
    }
    return Destination(kind, to, **{**empty, **more})


def test_an_interval() -> None:
    flows = Flows()
    before = destination(sent=10, dropped={"queue": 1})
    assert flows.of(100.0, [before]) == [Flow(before, None, None)]
    after = destination(sent=30, dropped={"queue": 2, "refused": 3})
    spans = destination("a", "spans", sent=5)
    assert flows.of(102.0, [spans, after]) == [Flow(after, 10.0, 2.0), Flow(spans, None, None)]


def test_a_collector_that_has_begun_anew() -> None:
    flows = Flows()
    flows.of(0.0, [destination(sent=10)])
    after = destination(sent=3)
    assert flows.of(1.0, [after]) == [Flow(after, None, None)]
    assert flows.of(2.0, []) == []


def test_destinations_as_plain_text() -> None:
    problem: dict[str, Any] = {"problem": "down\x1b", "failing_seconds": 75.0}
    flow = Flow(destination(waiting=7, waiting_bytes=2048, **problem), 0.5, None)
    assert plain(Look([], [], [], [flow])).replace(NARROW_SPACE, " ").splitlines() == [
        "kind    destination   sent/s  waiting  memory     of  dropped/s  failing for  problem",
        "series  graphite://h     0.5        7   2 KiB  1 MiB          —         75 s  down?",
    ]
