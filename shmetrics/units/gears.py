# SPDX-License-Identifier: Apache-2.0
"""Gears of OpenShift: directories below one, each with the name and the home of an account.

A gear that is idle has no process and perhaps no cgroup, and is a unit all the same: its disk is
used, and its commands can be asked.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from typing import Final

from shmetrics.units.unit import GEAR, Unit

DIRECTORY: Final = "/var/lib/openshift"
CGROUPS: Final = "/openshift"
MOST_GEARS: Final = 20_000


class Gears:
    """The gears below a directory. Their accounts are looked up once, while they have one."""

    def __init__(self, directory: str = DIRECTORY) -> None:
        self._directory = directory
        self._known: dict[str, Unit] = {}

    def __call__(self) -> Iterator[Unit]:
        """Yield the gears that there are now, with uid and home and without a cgroup."""
        try:
            names = sorted(os.listdir(self._directory))[:MOST_GEARS]
        except OSError:
            names = []  # a node without gears
        known = {}
        for name in names:
            unit = self._known.get(name) or self._gear(name)
            if unit is not None:
                known[name] = unit
        self._known = known
        yield from known.values()

    def _gear(self, name: str) -> Unit | None:
        """Return the gear with a name, None if that is a directory of another kind."""
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            return None
        if os.path.realpath(account.pw_dir) != os.path.realpath(f"{self._directory}/{name}"):
            return None
        return Unit(GEAR, name, f"{CGROUPS}/{name}", uid=account.pw_uid, home=account.pw_dir)
