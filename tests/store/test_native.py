# SPDX-License-Identifier: Apache-2.0
"""Observations from a real lane, in classic and in native buckets, through restarts."""

from __future__ import annotations

import math
from bisect import bisect_left
from pathlib import Path

import pytest

import shmetrics
from shmetrics import _ring
from shmetrics.collector.collector import Settings
from shmetrics.store.exponential import covering
from shmetrics.store.limits import Limits
from shmetrics.tables.table import Table
from tests.nodes.loopback import MIB, Loopback

BOUNDS = shmetrics.DEFAULT_BUCKETS
VALUES = [0.0001 * 1.03**n for n in range(500)]
COARSE = "shmetrics_coarse_observations_total"


def table_of(loopback: Loopback, name: str) -> Table:
    [found] = [one for one in loopback.collector.tables(native=True) if one.name == name]
    return found


def native_counts(values: list[float]) -> list[int]:
    """Return the zeros, then each column's count, the slow way."""
    exponential = covering(BOUNDS)
    assert exponential is not None
    bounds = exponential.bounds()
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return counts


def shown(table: Table) -> list[int]:
    assert table.native is not None
    return [*table.native.zeros.tolist(), *table.native.counts[0].tolist()]


def test_native_buckets_are_exact_through_restarts(loopback: Loopback) -> None:
    histogram = shmetrics.Histogram("native_size", "Sizes")
    for at in range(0, len(VALUES), 100):
        for value in VALUES[at : at + 100]:
            histogram.observe(value)
        loopback.restart()
        assert shown(table_of(loopback, "native_size")) == native_counts(VALUES[: at + 100])
    table = table_of(loopback, "native_size")
    assert table.native is not None
    assert (table.native.schema, table.native.first) == (3, -143)
    assert table.native.zero_threshold == 2.0**-18
    classic = [0] * (len(BOUNDS) + 1)
    for value in VALUES:
        classic[bisect_left(BOUNDS, value)] += 1
    assert table.buckets.tolist() == [classic]
    assert loopback.samples().value(COARSE, family="native_size") == 0


def test_what_a_full_ring_spills_is_counted_as_coarse(loopback: Loopback) -> None:
    histogram = shmetrics.Histogram("coarse_size", "Sizes")
    n = 2 * Settings().lanes.sizes.records
    for _ in range(n):
        histogram.observe(0.3)
    spilled = shmetrics.status()["spilled"]
    assert isinstance(spilled, int)
    assert 0 < spilled < n
    table = table_of(loopback, "coarse_size")
    assert table.buckets.sum() == n
    assert sum(shown(table)) == n
    in_bucket = bisect_left(BOUNDS, 0.3)
    assert table.buckets[0, in_bucket] == n
    fine = native_counts([0.3] * (n - spilled))
    laid = [now - before for now, before in zip(shown(table), fine, strict=True)]
    assert sum(laid) == spilled
    assert max(laid) - min(one for one in laid if one) <= 1
    for _ in range(2):
        assert loopback.samples().value(COARSE, family="coarse_size") == spilled
        loopback.restart()


def test_calls_have_native_buckets_of_their_durations(loopback: Loopback) -> None:
    call = shmetrics.Calls("native_rpc", "Calls")
    for _ in range(10):
        with call():
            pass
    table = table_of(loopback, "native_rpc_processing_seconds")
    assert sum(shown(table)) == 10 == table.buckets.sum()


def test_without_native_buckets_rows_are_small(tmp_path: Path) -> None:
    plain = Settings(4 * MIB, Limits(native_histograms=False))
    found = Loopback(tmp_path / "plain", plain)
    _ring.process_detach()
    found.attach()
    try:
        histogram = shmetrics.Histogram("plain_size", "Sizes")
        for value in VALUES:
            histogram.observe(value)
        table = table_of(found, "plain_size")
        assert table.native is None
        assert table.buckets.sum() == len(VALUES)
        assert table.buckets[0, 0] == bisect_left(VALUES, math.nextafter(BOUNDS[0], 1))
        [family] = [one for one in found.collector.families if one.definition.name == "plain_size"]
        assert family.width == 1 + len(BOUNDS) + 1
    finally:
        _ring.process_detach()
        del family
        found.release()


@pytest.mark.parametrize("native", [True, False])
def test_a_family_keeps_its_rows_whatever_is_configured_later(tmp_path: Path, native: bool) -> None:
    first = Settings(4 * MIB, Limits(native_histograms=native))
    then = Settings(4 * MIB, Limits(native_histograms=not native))
    found = Loopback(tmp_path / "changed", first)
    _ring.process_detach()
    found.attach()
    histogram = shmetrics.Histogram("changed_size", "Sizes")
    histogram.observe(0.3)
    found.release()
    found = Loopback(tmp_path / "changed", then)
    try:
        histogram.observe(0.3)
        table = table_of(found, "changed_size")
        assert (table.native is not None) == native
        assert table.buckets[0, bisect_left(BOUNDS, 0.3)] == 2
    finally:
        _ring.process_detach()
        found.release()
