# SPDX-License-Identifier: Apache-2.0
"""The directory of lanes after a collector was killed at any step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.lanes.test_lane_files import HELLO, granted
from tests.nodes import hostile
from tests.nodes.loopback import THIS_PROCESS, open_collector
from tests.nodes.samples import samples_of
from tests.verify.kills.steps import steps_until_the_end


def test_a_lane_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """A collector that is killed at it leaves nothing, and nothing in the way."""
    path = tmp_path / "run"

    def prepare() -> Callable[[], object]:
        _, collector = open_collector(path)
        return lambda: collector.grant(THIS_PROCESS, HELLO)

    for step in steps_until_the_end(prepare):
        directory, collector = open_collector(path)
        assert list(directory.lanes.iterdir()) == [], step
        assert collector.lanes() == []
        granted(collector.grant(THIS_PROCESS, HELLO)).close()
        collector.tick()
        assert list(directory.lanes.iterdir()) == []
        collector.close()
        directory.close()
        del collector, directory


def test_a_lane_is_retired_once_wherever_the_collector_is_killed_at_it(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def prepare() -> Callable[[], object]:
        _, collector = open_collector(path)
        lane = granted(collector.grant(THIS_PROCESS, HELLO))
        lane.series(hostile.JOBS.type, lane.family(hostile.JOBS), "fast")
        lane.record(hostile.ADD, 1, 5.0)
        lane.close()
        return collector.tick

    for step in steps_until_the_end(prepare):
        directory, collector = open_collector(path)
        assert list(directory.lanes.iterdir()) == [], step
        found = samples_of(collector.tables())
        assert found.value("hostile_jobs_total", queue="fast") == 5 * step
        assert found.value("shmetrics_lanes_retired_total") == step
        assert found.of("shmetrics_quarantined_total") == {}
        collector.close()
        directory.close()
        del collector, directory
