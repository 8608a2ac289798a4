# SPDX-License-Identifier: Apache-2.0
"""The owners of lines: units, with what the files of a gear say about it."""

from __future__ import annotations

from collections.abc import Mapping

from shmetrics.lines.owner import Owner
from shmetrics.probes import discovery
from shmetrics.probes.gear_files import GearFiles, OwnFiles
from shmetrics.units.unit import Unit


class Owners:
    """The owners of lines, which are looked up once in each life of a unit."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        """Set what is asked.

        Args:
            metadata: variables of a gear, by the name under which lines have each.
        """
        self._metadata = metadata
        self._known: dict[str, tuple[Unit, Owner]] = {}

    def of(self, unit: Unit) -> Owner:
        """Return the owner of a unit's lines."""
        kept = self._known.get(unit.id)
        if kept is None or kept[0] is not unit:
            kept = self._known[unit.id] = unit, Owner(unit.name, unit.kind, self._read(unit))
        return kept[1]

    def keep(self, units: Mapping[str, Unit]) -> None:
        """Forget the units that are gone."""
        self._known = {id: kept for id, kept in self._known.items() if id in units}

    def learn(self, unit: Unit, files: GearFiles) -> None:
        """Take what the files of a gear say about it."""
        known = discovery.metadata(files, self._metadata)
        self._known[unit.id] = unit, Owner(unit.name, unit.kind, known)

    def _read(self, unit: Unit) -> dict[str, str]:
        if unit.uid is None or unit.home is None:
            return {}
        return discovery.metadata(OwnFiles(unit.home, unit.uid), self._metadata)
