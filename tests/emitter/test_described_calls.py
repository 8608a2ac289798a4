# SPDX-License-Identifier: Apache-2.0
"""The description of an open call: how long its caller waits, and its trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import shmetrics
from shmetrics import _ring
from tests.emitter.recording import dropped, made
from tests.nodes.loopback import Loopback

TRACE = "01234567-89ab-cdef-0123-456789abcdef"
EXEMPLAR = {"trace_id": TRACE, "span_id": "fedcba9876543210"}


def listed(node: Loopback) -> list[tuple[Any, ...]]:
    """Return timeout, trace and lateness of each open call, the oldest first."""
    calls = node.collector.calls()
    return [(call["timeout_seconds"], call["trace"], call["lateness"]) for call in calls]


def test_open_calls_have_their_own_timeout_and_trace(loopback: Loopback, name: str) -> None:
    call = made("Calls", name).labels()
    opened = [call.start(EXEMPLAR, 60), call.start(EXEMPLAR), call.start(None, 2.5), call.start()]
    described = [(60.0, TRACE, ""), (None, TRACE, ""), (2.5, None, ""), (None, None, "")]
    assert listed(loopback) == described
    loopback.restart()
    assert listed(loopback) == described
    for each in opened:
        call.end(each)
    call.start()  # in the slot of a described one
    assert listed(loopback) == [(None, None, "")]


def test_a_call_that_began_without_a_collector_comes_with_its_description(
    tmp_path: Path, name: str
) -> None:
    call = made("Calls", name).labels()
    _ring.process_detach()
    opened = call.start(EXEMPLAR, 60)
    node = Loopback(tmp_path / "node")
    node.attach()
    try:
        assert listed(node) == [(60.0, TRACE, "")]
        call.end(opened)
        assert listed(node) == []
    finally:
        _ring.process_detach()
        node.collector.tick()
        node.release()


def test_a_call_that_is_open_during_a_move_comes_with_its_description(
    tmp_path: Path, name: str
) -> None:
    node = Loopback(tmp_path / "node")
    node.attach()
    call = made("Calls", name).labels()
    opened = [call.start(EXEMPLAR, 60)]
    try:
        counter = shmetrics.Counter(f"{name}_many", "More than a lane has room for", ["n"])
        for n in range(4000):
            counter.labels(f"{n:050}").inc()
        opened.append(call.start(EXEMPLAR, 30))  # among what waits
        node.attach(dictionary_bytes=1 << 20)
        assert listed(node) == [(60.0, TRACE, ""), (30.0, TRACE, "")]
        for each in opened:
            call.end(each)
        assert listed(node) == []
    finally:
        _ring.process_detach()
        node.collector.tick()
        node.release()


@pytest.mark.parametrize(
    "timeout", [0, -1, 1e9, float("nan"), float("inf"), 0.0001], ids=lambda value: str(value)
)
def test_what_is_no_timeout_is_none(loopback: Loopback, name: str, timeout: float) -> None:
    call = made("Calls", name).labels()
    opened = call.start(None, timeout)
    assert listed(loopback) == [(None, None, "")]
    assert dropped() == {}
    call.end(opened)


def test_a_timeout_that_is_no_number_is_counted(loopback: Loopback, name: str) -> None:
    call = made("Calls", name).labels()
    opened = call.start(None, "soon")
    assert listed(loopback) == [(None, None, "")]
    assert dropped() == {"bad_value": 1}
    call.end(opened)
