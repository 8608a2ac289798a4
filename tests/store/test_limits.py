# SPDX-License-Identifier: Apache-2.0
"""The limits of one lane: beyond them totals stay exact, and nobody else waits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import shmetrics
from shmetrics import _ring, layout
from shmetrics.collector.collector import Settings
from shmetrics.dictionary import Definition
from shmetrics.lanes.grants import LaneSettings
from shmetrics.lanes.lane_files import Sizes
from shmetrics.lanes.lanes import DEFINITIONS_PER_LANE
from shmetrics.registration.decision import Granted
from shmetrics.registration.protocol import Hello
from shmetrics.store.limits import Limits
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import MIB, THIS_PROCESS, Loopback

LIMITS = Limits(
    series_per_family=50,
    label_bytes=100,
    families=12,
    families_per_lane=8,
    series_per_lane=60,
)
BIG = LaneSettings(Sizes(dictionary_bytes=4 * MIB, cells=400_000))


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Loopback]:
    """Yield a collector with small limits and large lanes, to which this process is attached."""
    found = Loopback(tmp_path / "limited", Settings(4 * MIB, LIMITS, BIG))
    _ring.process_detach()
    found.attach()
    yield found
    _ring.process_detach()
    found.collector.tick()
    found.release()


@contextlib.contextmanager
def another(loopback: Loopback) -> Iterator[LaneFile]:
    granted = loopback.collector.grant(THIS_PROCESS, Hello(layout.LAYOUT_VERSION, 64, "hostile"))
    assert isinstance(granted, Granted)
    with contextlib.closing(LaneFile(granted.lane_fd)) as lane:
        yield lane


def quota(loopback: Loopback, name: str) -> tuple[float, float, float]:
    """Return the use of a quota, its limit, and how often it was exceeded."""
    found = loopback.samples()
    return (
        found.value("shmetrics_quota_used", quota=name),
        found.value("shmetrics_quota_limit", quota=name),
        found.sum("shmetrics_quota_exceeded_total", quota=name),
    )


def test_a_lane_with_too_many_series_keeps_its_totals(
    limited: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
    more = shmetrics.Histogram("more", "More", ["queue"], buckets=(1,))
    rpc = shmetrics.Calls("rpc", "Calls", ["method"])
    for number in range(40):
        jobs.labels(str(number)).inc(2)
        more.labels(str(number)).observe(0.5)
        with contextlib.suppress(KeyError), rpc.labels(str(number))():
            raise KeyError
    for _ in range(2):
        assert quota(limited, "series_per_lane") == (160, 60, 100)
        found = limited.samples()
        assert found.sum("jobs_total") == 80
        assert found.sum("more_count") == 40
        assert found.value("more_count", queue="__overflow__") == 25
        assert found.sum("rpc_invocation_end_total") == 40
        assert found.sum("rpc_exception_total") == 40
        limited.restart()
    lines = [text.partition("; ")[0].partition("): ")[2] for text in caplog.messages]
    names = "jobs", "more", "rpc", "rpc_exception"
    assert sorted(lines) == [f"{name}: the process has 60 series" for name in names]


def test_a_family_with_too_many_series_keeps_its_total(
    limited: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
    for number in range(55):
        jobs.labels(str(number)).inc()
    jobs.labels("x" * 101).inc()
    assert quota(limited, "series_per_family") == (51, 50, 5)  # with the overflow series
    assert quota(limited, "label_bytes")[1:] == (100, 1)
    assert limited.samples().value("jobs_total", queue="__overflow__") == 6
    assert len(caplog.messages) == 2


def test_a_gauge_beyond_the_limits_is_not_shown_and_counted(limited: Loopback) -> None:
    """Check a gauge: an overflow series of it would have no meaningful value."""
    gauge = shmetrics.Gauge("size", "Size", ["of"], multiprocess_mode="max")
    for number in range(61):
        gauge.labels(str(number)).set(number)
    gauge.labels("x" * 101).set(1)
    found = limited.samples()
    assert len(found.of("size")) == 60
    assert found.value("shmetrics_series_overflow_total", family="size") == 2


@pytest.mark.parametrize("lanes", [1, 2])
def test_families_beyond_the_limit_are_refused_and_counted(
    limited: Loopback, lanes: int, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as opened:
        for lane in range(lanes):
            file = opened.enter_context(another(limited))
            for number in range(10):
                name = f"hostile_{lane}_{number}"
                definition = Definition(layout.TYPE_COUNTER, name, "", "", "", (), ())
                series = file.series(layout.TYPE_COUNTER, file.family(definition))
                file.record(hostile.ADD, series)
        limited.collector.tick()
        found = limited.samples()
        taken = found.sum("shmetrics_families")
        if lanes == 1:
            assert found.value("shmetrics_refused_families_total", reason="families_per_lane") == 2
            assert found.value("shmetrics_unbound_total") == 2
            assert quota(limited, "families_per_lane") == (10, 8, 2)
        else:
            assert found.value("shmetrics_refused_families_total", reason="families") > 0
            assert quota(limited, "families")[:2] == (12, 12)
            assert found.value("shmetrics_unbound_total") == 20 - len(found.names("hostile_"))
        shmetrics.Counter("more", "More").inc()
        assert limited.samples().sum("shmetrics_families") == min(taken + 1, 12)
    assert any("see store.max_families" in line for line in caplog.messages)
    limited.collector.tick()


def test_a_flood_of_definitions_is_taken_bit_by_bit_and_nobody_waits(limited: Loopback) -> None:
    """Check a full dictionary: the totals of its lane come later, those of its neighbours at
    once."""
    with another(limited) as lane:
        family = lane.family(Definition(layout.TYPE_COUNTER, "flood", "", "", "", ("n",), ()))
        total = 3 * DEFINITIONS_PER_LANE
        for number in range(total):
            lane.series(layout.TYPE_COUNTER, family, str(number))
        lane.record(hostile.ADD, total)
        neighbour = shmetrics.Counter("neighbour", "Neighbour")
        shown: list[float] = []
        while not shown or not shown[-1]:
            neighbour.inc()
            found = limited.samples()
            shown.append(found.of("flood_total").get((("n", "__overflow__"),), 0))
            assert found.value("neighbour_total") == len(shown)
            assert len(shown) < 10
        assert shown == [0, 0, 1]
        assert limited.samples().value("flood_total", n="__overflow__") == 1
    limited.collector.tick()


def test_a_dead_lane_behind_is_retired_when_all_of_it_was_read(limited: Loopback) -> None:
    with another(limited) as lane:
        family = lane.family(Definition(layout.TYPE_COUNTER, "flood", "", "", "", ("n",), ()))
        for number in range(4 * DEFINITIONS_PER_LANE):
            lane.series(layout.TYPE_COUNTER, family, str(number))
        lane.record(hostile.ADD, 4 * DEFINITIONS_PER_LANE)
    for _ in range(5):
        limited.collector.tick()
    assert len(limited.collector.lanes()) == 1
    assert limited.samples().sum("flood_total") == 1
