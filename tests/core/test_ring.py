# SPDX-License-Identifier: Apache-2.0
"""The ring against a deque: any capacity, any fill, any moment of a drain, across the wrap."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

_core: Any = None


@pytest.fixture(autouse=True)
def _use_core(core: Any) -> None:
    global _core
    _core = core


class RingMachine(RuleBasedStateMachine):
    """Pushes and pops as they come; the deque is the truth."""

    @initialize(power=st.integers(1, 7))
    def make(self, power: int) -> None:
        self.capacity = 1 << power
        self.shim = _core.lib.shim_new(self.capacity, 64, 8, 4)
        self.twin: deque[int] = deque()
        self.next = 1
        self.kicked = _core.ffi.new("int *")

    @rule(n=st.integers(1, 200))
    def push(self, n: int) -> None:
        for _ in range(n):
            took = _core.lib.shim_push(self.shim, self.next, self.kicked)
            assert took == (len(self.twin) < self.capacity)
            if took:
                self.twin.append(self.next)
            self.next += 1

    @rule(n=st.integers(1, 200))
    def pop(self, n: int) -> None:
        for _ in range(min(n, len(self.twin))):
            assert _core.lib.shim_pop(self.shim) == self.twin.popleft()

    @rule()
    def push_past_the_wrap(self) -> None:
        """Indices start 1024 below it: this crosses it with the ring in any state."""
        for _ in range(1100):
            if len(self.twin) == self.capacity:
                assert _core.lib.shim_pop(self.shim) == self.twin.popleft()
            assert _core.lib.shim_push(self.shim, self.next, self.kicked)
            self.twin.append(self.next)
            self.next += 1

    @invariant()
    def agrees(self) -> None:
        assert _core.lib.shim_waiting(self.shim) == len(self.twin)

    def teardown(self) -> None:
        if hasattr(self, "shim"):
            _core.lib.shim_free(self.shim)


TestRing = RingMachine.TestCase


@pytest.mark.parametrize("capacity", [2, 8, 64, 4096])
def test_one_kick_per_half_ring(core: Any, capacity: int) -> None:
    """The wake-up comes at the half, once, and again only after the consumer has moved."""
    shim = core.lib.shim_new(capacity, 64, 8, 4)
    kicked = core.ffi.new("int *")
    kicks = []
    for index in range(capacity):
        assert core.lib.shim_push(shim, index, kicked)
        if kicked[0]:
            kicks.append(index)
    assert kicks == [capacity // 2]
    assert not core.lib.shim_push(shim, 0, kicked)
    assert not kicked[0]
    core.lib.shim_free(shim)
