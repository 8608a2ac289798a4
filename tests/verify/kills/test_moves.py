# SPDX-License-Identifier: Apache-2.0
"""A process moves from one lane to the next, and a collector is killed at any step of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lanes.test_moves import MOVED_TO_AT, abandoned, fill, granted, hello
from tests.nodes.loopback import THIS_PROCESS, open_collector
from tests.nodes.samples import samples_of
from tests.verify.kills.steps import steps_until_the_end


@pytest.mark.parametrize("has_moved", [False, True], ids=["unnamed", "named"])
def test_a_move_counts_once_wherever_the_collector_is_killed_at_it(
    tmp_path: Path, has_moved: bool
) -> None:
    path = tmp_path / "run"

    def prepare() -> Callable[[], object]:
        _, collector = open_collector(path)
        first_id, first = granted(collector.grant(THIS_PROCESS, hello()))
        fill(first, 5.0, 7.0)
        second_id, second = granted(collector.grant(THIS_PROCESS, hello(first_id)))
        fill(second, 50.0, 8.0)
        if has_moved:
            first.put(MOVED_TO_AT, second_id)
        first.close()
        second.close()
        return collector.tick

    for step in steps_until_the_end(prepare):
        directory, collector = open_collector(path)
        assert list(directory.lanes.iterdir()) == [], step
        found = samples_of(collector.tables())
        assert found.value("hostile_jobs_total", queue="fast") == (55 if has_moved else 5) * step
        assert abandoned(found) == step, step
        assert found.of("shmetrics_quarantined_total") == {}
        collector.close()
        directory.close()
        del collector, directory
