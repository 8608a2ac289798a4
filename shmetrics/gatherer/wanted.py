# SPDX-License-Identifier: Apache-2.0
"""What the options of the gatherer ask for: where units are looked for, and which."""

from __future__ import annotations

from shmetrics.config.gather import Gather
from shmetrics.units.finder import Finder
from shmetrics.units.gears import Gears
from shmetrics.units.hierarchies import find
from shmetrics.units.state_files import StateFiles
from shmetrics.units.unit import STATIC, Unit


def finder_of(config: Gather) -> Finder:
    """Return what finds the units that are wanted.

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
