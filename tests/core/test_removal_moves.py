# SPDX-License-Identifier: Apache-2.0
"""Removed series of a producer that moves into a larger lane, or has to stay."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core import test_grow, test_overflow
from tests.core.test_grow import Node
from tests.core.test_overflow import CALLS, COUNTER, GAUGE

_core: Any = None


@pytest.fixture(autouse=True)
def _use_core(core: Any) -> None:
    global _core
    _core = test_grow._core = test_overflow._core = core


def remove(node: Node, series: Any) -> None:
    _core.lib.shm_series_remove(node.producer, series)


def start(node: Node, series: Any) -> Any:
    call = _core.ffi.new("struct shm_call *")
    _core.lib.shm_emit_call_start(node.producer, series, call)
    return call


def end(node: Node, series: Any, call: Any) -> None:
    _core.lib.shm_emit_call_end(node.producer, series, call, _core.ffi.NULL)


def test_a_removed_gauge_is_not_carried_along() -> None:
    node = Node(8, 4096, 64)
    family = node.family(GAUGE, "busy", 1)
    gone, stays = (node.series(family, (queue,)) for queue in ("gone", "stays"))
    for series in (gone, stays):
        _core.lib.shm_emit_gauge(node.producer, series, 7.0, False, False)
    remove(node, gone)
    assert node.grow(8, 8192, 128)
    node.drain()
    assert node.gauges() == {("stays",): 7.0}


def test_an_open_call_of_a_removed_series_keeps_its_slot_over_moves() -> None:
    node = Node(8, 4096, 64)
    family = node.family(CALLS, "rpc", 1)
    gone, stays = (node.series(family, (method,)) for method in ("gone", "stays"))
    call = start(node, gone)
    remove(node, gone)
    n_free = 64 - 1  # of the lanes that follow
    for size in (2, 3):
        assert node.grow(8, 4096 * size, 64 * size)
        assert node.producer.n_free == n_free
    other = start(node, stays)
    assert other.slot != call.slot
    end(node, gone, call)
    assert node.producer.n_free == n_free
    node.drain()
    assert node.calls() == {("stays",): 1}
    end(node, stays, other)
    assert node.producer.n_free == n_free + 1


def test_a_series_that_only_the_lane_before_had_is_removed_in_this_one() -> None:
    node = Node(8, 4096, 64)
    series = node.series(node.family(COUNTER, "jobs", 1), ("gone",))
    _core.lib.shm_emit_add(node.producer, series, 1.0)
    assert node.grow(8, 8192, 128)
    node.drain()
    assert node.rows == []
    remove(node, series)
    node.drain()
    assert [row.values for row in node.rows] == [("gone",)]
    assert node.removed == [1]


def test_what_was_removed_while_it_waited_is_no_loss() -> None:
    node = Node(8, 480, 64)
    family = node.family(COUNTER, "jobs", 1)
    series = [node.series(family, (f"queue {n}",)) for n in range(20)]
    for one in series:
        _core.lib.shm_emit_add(node.producer, one, 1.0)
    assert node.producer.waiting
    for one in series:
        remove(node, one)
    _core.lib.shim_settle(node.shim)
    node.drain()
    assert not any(node.counts().dropped)
    assert node.counts().overflowed == 0


def test_what_was_declared_and_has_no_room_is_no_loss() -> None:
    node = Node(8, 480, 64)
    families = [node.family(type, name, 1) for type, name in ((GAUGE, "g"), (COUNTER, "c"))]
    for n in range(20):
        for family in families:
            assert _core.lib.shm_declare(node.producer, node.series(family, (f"queue {n}",)))
    assert node.producer.waiting
    _core.lib.shim_settle(node.shim)
    node.drain()
    assert not any(node.counts().dropped)
    assert node.counts().overflowed == 0
