# SPDX-License-Identifier: Apache-2.0
"""Spans that other threads say while one asks for the lane: they are held until there is one.

A service with threads begins its first requests all at once, and had lost the starts of most of
them, of which `shmetrics check` then spoke.
"""

from __future__ import annotations

import json
from typing import Any

from tests.nodes.node import Node

# meanwhile() is run by another thread while the first record waits for the collector's answer.
ASKING = """
import threading, time, uuid
from shmetrics.emitter import process
from shmetrics.emitter.spans import Spans

spans = Spans("nova", host="h")
TRACE = str(uuid.UUID(int=1))

def say(n, info=None, kind=spans.start):
    kind("work", str(uuid.UUID(int=n)), TRACE, TRACE, info)

def asking(meanwhile):
    asked = process.registration._try
    def ask(wait_ns):
        process.registration._try = asked
        thread = threading.Thread(target=meanwhile)
        thread.start()
        thread.join()
        asked(wait_ns)
    process.registration._try = ask
"""


def kept(node: Node) -> list[dict[str, Any]]:
    found: dict[str, Any] = json.loads(
        node.get("/api/v1/traces/00000000-0000-0000-0000-000000000001")
    )
    spans: list[dict[str, Any]] = found["spans"]
    return spans


def test_they_come_as_they_were_said_and_when(node: Node) -> None:
    node.start()
    node.run(
        ASKING
        + """
def meanwhile():
    say(2, {"q": "x" * 100, "host": "h"})
    say(2, kind=spans.stop)
    say(3, {"host": "h"})
    time.sleep(0.05)  # which is seen in how long it takes

asking(meanwhile)
say(4)
say(4, kind=spans.stop)
say(3, kind=spans.stop)
assert shmetrics.status()["dropped"] == {}, shmetrics.status()
"""
    )
    spans = {int(span["trace_id"][-1]): span for span in kept(node)}
    assert {n: span["state"] for n, span in spans.items()} == dict.fromkeys((2, 3, 4), "done")
    assert spans[2]["start_info"] == {"q": "x" * 100, "host": "h"}
    assert spans[3]["duration_seconds"] >= 0.05
    assert spans[4]["started"] <= spans[2]["started"] <= spans[3]["started"]


def test_those_beyond_the_first_256_are_dropped_and_counted(node: Node) -> None:
    node.start()
    node.run(
        ASKING
        + """
asking(lambda: [say(n) for n in range(2, 1002)])
say(1002)
assert shmetrics.status()["dropped"] == {"span": 1000 - 256}, shmetrics.status()
"""
    )
    found = sorted(int(span["trace_id"][-12:], 16) for span in kept(node))
    assert found == [*range(2, 2 + 256), 1002]


def test_with_no_collector_all_are_dropped_and_counted_once(node: Node) -> None:
    node.run(
        ASKING
        + """
asking(lambda: [say(n) for n in range(2, 302)])
say(302)
assert shmetrics.status()["dropped"] == {"span": 301}, shmetrics.status()
say(303)
assert shmetrics.status()["dropped"] == {"span": 302}, shmetrics.status()
"""
    )


def test_an_interrupt_leaves_nothing_held(node: Node) -> None:
    node.start()
    node.run(
        ASKING
        + """
def meanwhile():
    say(2)

asking(meanwhile)
asked = process.registration._try
def interrupted(wait_ns):
    asked(wait_ns)
    raise KeyboardInterrupt
process.registration._try = interrupted
try:
    say(3)
except KeyboardInterrupt:
    pass
else:
    raise AssertionError
say(4)
assert shmetrics.status()["dropped"] == {}, shmetrics.status()
"""
    )
    assert sorted(span["trace_id"][-1] for span in kept(node)) == ["2", "4"]


def test_a_child_says_its_own_and_not_what_its_parent_holds(node: Node) -> None:
    """It is forked by another thread while its parent asks."""
    node.start()
    node.run(
        ASKING
        + """
def meanwhile():
    say(2)
    child = os.fork()
    if child == 0:
        say(3)
        os._exit(len(shmetrics.status()["dropped"]) or not shmetrics.status()["connected"])
    assert os.waitpid(child, 0)[1] == 0

asking(meanwhile)
say(4)
assert shmetrics.status()["dropped"] == {}, shmetrics.status()
"""
    )
    node.until_no_lane()
    assert sorted(span["trace_id"][-1] for span in kept(node)) == ["2", "3", "4"]
    assert node.samples().value("shmetrics_events_total", kind="span_start") == 3
