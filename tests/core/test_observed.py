# SPDX-License-Identifier: Apache-2.0
"""Observed totals in C, from producer to drain, against a dictionary: set, reset, moved."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shmetrics.dictionary import Definition, encode_definition, encode_strings

OBSERVED, UNKNOWN, BAD_VALUE, LANE_FULL = 7, 1, 2, 0
SERIES = 5
DEFINITION = Definition(OBSERVED, "pages", "Pages", "", "", ("unit",), ())
values = st.integers(-1, 6).map(float) | st.sampled_from([math.nan, math.inf, 0.5, 1.7e308])

_core: Any = None


@pytest.fixture(autouse=True)
def _use_core(core: Any) -> None:
    global _core
    _core = core


class Totals:
    """Producer and drain of one lane with one family."""

    def __init__(self, cells: int = 64) -> None:
        self.lib, self.ffi = _core.lib, _core.ffi
        self.shim = self.lib.shim_new(0, 4096, cells, 2)
        self.producer = self.ffi.addressof(self.shim, "producer")
        self.drain = self.ffi.addressof(self.shim, "drain")
        self.texts = [self.ffi.from_buffer(encode_strings((str(n),))) for n in range(SERIES)]
        self.family_text = self.ffi.from_buffer(encode_definition(DEFINITION))
        self.family = self.ffi.new("struct shm_family *")
        self.family.type, self.family.text = OBSERVED, self.family_text
        self.family.text_bytes = len(self.family_text)
        self.series = [self.ffi.new("struct shm_series *") for _ in range(SERIES)]
        self.all = self.ffi.new("struct shm_series *[]", self.series)
        for series, text in zip(self.series, self.texts, strict=True):
            series.type, series.family = OBSERVED, self.family
            series.text, series.text_bytes = text, len(text)

    def found(self) -> dict[int, tuple[float, int]]:
        """Total and start by the id of the series."""
        entry = self.ffi.new("struct shm_entry *")
        buffer = self.ffi.new("unsigned char[]", 16384)
        while self.lib.shm_drain_pass(self.drain) == self.lib.SHM_DRAIN_ENTRIES:
            while True:
                assert self.lib.shm_drain_entry(self.drain, entry, buffer) == 0
                if entry.size_bytes == 0:
                    break
                if entry.kind == 2:
                    null = self.ffi.NULL
                    self.lib.shm_drain_bind(self.drain, OBSERVED, 0, null, null)
        copies = self.ffi.new("struct shm_observed_copy[2]")
        found, n = {}, self.lib.shm_drain_observed(self.drain, 1, copies, 2)
        while n:
            for copy in copies[0:n]:
                found[copy.series] = copy.total, copy.start_ns
            n = self.lib.shm_drain_observed(self.drain, copies[n - 1].series + 1, copies, 2)
        return found

    def dropped(self, cause: int) -> int:
        counts = self.ffi.new("struct shm_counts *")
        self.lib.shim_counts(self.shim, counts)
        return int(counts.dropped[cause])

    def close(self) -> None:
        self.lib.shim_free(self.shim)


class TotalsMachine(RuleBasedStateMachine):
    """One by one, together, with new generations and moves in between."""

    @initialize()
    def begin(self) -> None:
        self.lane = Totals()
        self.twin: dict[int, tuple[float, int]] = {}  # total and number of the generation
        self.starts: dict[tuple[int, int], int] = {}
        self.bad = 0

    def _set(self, n: int, value: float) -> None:
        total, generation = self.twin.get(n, (0.0, 0))
        if total <= value < math.inf:
            self.twin[n] = value, generation
        else:
            self.bad += 1

    @rule(n=st.integers(0, SERIES - 1), value=values)
    def total(self, n: int, value: float) -> None:
        self.lane.lib.shm_emit_total(self.lane.producer, self.lane.series[n], value)
        self._set(n, value)

    @rule(several=st.lists(values, min_size=SERIES, max_size=SERIES))
    def totals(self, several: list[float]) -> None:
        self.lane.lib.shm_emit_totals(self.lane.producer, self.lane.all, several, SERIES)
        for n, value in enumerate(several):
            if not math.isnan(value):
                self._set(n, value)

    @rule(n=st.integers(0, SERIES - 1), value=values)
    def generation(self, n: int, value: float) -> None:
        self.lane.lib.shm_emit_generation(self.lane.producer, self.lane.series[n], value)
        if 0 <= value < math.inf:
            self.twin[n] = value, self.twin.get(n, (0.0, 0))[1] + 1
        else:
            self.bad += 1

    @rule()
    def move(self) -> None:
        assert self.lane.lib.shim_move(self.lane.shim, 0, 8192, 128, 2)

    @invariant()
    def shows_the_twin(self) -> None:
        if not hasattr(self, "lane"):
            return
        found = self.lane.found()
        ids = {n: series.id for n, series in enumerate(self.lane.series) if n in self.twin}
        assert {n: found.pop(id)[0] for n, id in list(ids.items())} == {
            n: total for n, (total, _) in self.twin.items()
        }
        assert not found
        for n, (_, start_ns) in ((n, self.lane.found()[id]) for n, id in ids.items()):
            generation = self.twin[n][1]
            assert (start_ns == UNKNOWN) == (generation == 0)
            assert self.starts.setdefault((n, generation), start_ns) == start_ns
            assert start_ns >= max(at for (of, _), at in self.starts.items() if of == n)
        assert self.lane.dropped(BAD_VALUE) == self.bad

    def teardown(self) -> None:
        if hasattr(self, "lane"):
            self.lane.close()


TestTotals = TotalsMachine.TestCase


def test_a_total_without_room_is_dropped_and_the_others_stand() -> None:
    """There is no overflow series for what is state: the latest of several says nothing."""
    lane = Totals(cells=4)
    for n in range(3):
        lane.lib.shm_emit_total(lane.producer, lane.series[n], 5.0 + n)
    lane.lib.shm_emit_generation(lane.producer, lane.series[2], 1.0)
    assert lane.found() == {1: (5.0, UNKNOWN), 2: (6.0, UNKNOWN)}
    assert lane.dropped(LANE_FULL) == 2
    lane.close()
