# SPDX-License-Identifier: Apache-2.0
"""Promise: what is read of units goes on as lines, in the form of all others, if that is wanted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shmetrics.config.deliver import Deliver
from shmetrics.delivery.deliveries import Deliveries
from shmetrics.gatherer.instruments import Instruments
from shmetrics.gatherer.lines import Lines
from shmetrics.gatherer.owners import Owners
from shmetrics.gatherer.passes import Passes
from shmetrics.gatherer.quota_series import QuotaSeries
from shmetrics.gatherer.unit_lines import UnitLines
from shmetrics.lines.recorder import Recorder
from shmetrics.units.finder import Finder
from shmetrics.units.hierarchies import find
from shmetrics.units.quota import Usage
from shmetrics.units.unit import Unit
from tests.nodes.loopback import Loopback
from tests.units import trees

METADATA = {"appName": "OPENSHIFT_APP_NAME", "gear": "OPENSHIFT_GEAR_UUID"}


class Quotas:
    """Stands in for a kernel that has quotas."""

    def of(self, directory: str, uid: int) -> Usage:
        return Usage((4000, 1), 920 << 10, 1048576 << 10, 30, 0)


def test_cgroups_and_quota_of_a_gear_are_lines(loopback: Loopback, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".env").mkdir(parents=True)
    (home / ".env/OPENSHIFT_APP_NAME").write_text("A")
    (home / ".env/OPENSHIFT_GEAR_UUID").write_text("G")
    trees.root(tmp_path / "cgroup")
    trees.write(tmp_path / "cgroup/G.service", trees.V2)
    gear = Unit("static", "G", "/G.service", uid=home.stat().st_uid, home=str(home))
    place = Deliver(to=f"file://{tmp_path}/{{unit}}.log", batch_seconds=0.01)
    lines = Lines(Recorder(), Deliveries([place]))
    finder = Finder(find(str(tmp_path / "cgroup")), static=[gear])
    quota = QuotaSeries(Quotas())
    passes = Passes(finder, Instruments(), [quota])
    passes.follow([UnitLines([passes, quota], lines, Owners(METADATA))])
    passes.make()
    passes.close()
    asyncio.run(lines.close())
    written = (tmp_path / "G.log").read_text().splitlines()
    texts = [line.partition(" ")[2] for line in written]
    assert len(texts) > 1  # what is too long for one message
    assert all(text.startswith("type=metric appName=A gear=G ") for text in texts)
    assert all(len(text) <= 1024 for text in texts)
    words = [word for text in texts for word in text.split()]
    assert "container_cpu_usage_seconds_total=7.000001" in words
    assert "container_memory_usage_bytes=1048576000" in words
    assert "container_memory_failures_total.pgfault.hierarchy=12345" in words
    for word in ("blocks.used=920", "blocks.limit=1048576", "files.used=30", "files.limit=0"):
        assert f"quota.{word}" in words
