# SPDX-License-Identifier: Apache-2.0
"""The selection by the gatherer's options: the units to find, and what to record of them."""

from __future__ import annotations

from collections.abc import Iterator

from shmetrics.config.gather import Gather
from shmetrics.gatherer.passes import Follower
from shmetrics.gatherer.process_series import ProcessSeries
from shmetrics.gatherer.quota_series import QuotaSeries
from shmetrics.units.finder import Finder
from shmetrics.units.gears import Gears
from shmetrics.units.hierarchies import find
from shmetrics.units.processes import ProcessTable
from shmetrics.units.pss import Pss
from shmetrics.units.quota import KernelQuotas
from shmetrics.units.state_files import StateFiles
from shmetrics.units.unit import STATIC, Unit


def finder_of(config: Gather) -> Finder:
    """Return a finder of the units that the options select.

    Raises:
        ShmetricsError: there are no cgroups where they should be.
    """
    static = [
        Unit(STATIC, unit.name, unit.cgroup, uid=unit.uid, home=unit.home) for unit in config.units
    ]
    return Finder(
        find(config.cgroup_root),
        kinds=config.kinds,
        static=static,
        gears=Gears(config.gears),
        describe=StateFiles(),
    )


def followers_of(config: Gather) -> Iterator[Follower]:
    """Yield the recorders of what units use beside their cgroups: quotas and processes."""
    if config.quota:
        yield QuotaSeries(KernelQuotas())
    processes = config.processes
    if processes.enabled:
        pss = Pss(processes.pss_seconds) if processes.pss else None
        yield ProcessSeries(ProcessTable(), pss)
