# SPDX-License-Identifier: Apache-2.0
"""The units of this node, found anew in each pass. A unit that lives on stays the same object."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from shmetrics.units import accounts
from shmetrics.units.hierarchies import Hierarchy
from shmetrics.units.scan import Found, Scan
from shmetrics.units.unit import CONTAINER, GEAR, KINDS, POD, VM, Unit

#: Returns what state files say of a unit with this kind, name and id.
Describe: TypeAlias = Callable[[str, str, str], Mapping[str, str]]

_DESCRIBED: Final = (CONTAINER, POD, VM)  # kinds whose managers keep state files
_OWN: Final = "name"  # the label under which dashboards know a container

# Managers write some of their files when the cgroup is there already: a unit of which they say
# nothing is asked for once more in so many passes.
_ASKED_AGAIN: Final = 10


def _nothing(kind: str, name: str, path: str) -> Mapping[str, str]:
    return {}


class Finder:
    """Finds units by the rules for cgroups, among gears, and by name.

    Attributes:
        has_left_out: whether there are more cgroups than are looked at.
    """

    def __init__(
        self,
        hierarchies: Sequence[Hierarchy],
        *,
        kinds: Iterable[str] = KINDS,
        static: Iterable[Unit] = (),
        gears: Callable[[], Iterable[Unit]] = lambda: (),
        describe: Describe = _nothing,
    ) -> None:
        """Set what is looked for.

        Args:
            hierarchies: where cgroups are.
            kinds: the kinds that are wanted. Static units always are.
            static: units whose cgroups are known; their directories and generations are not.
            gears: returns the gears that have a directory, with a cgroup or not.
            describe: is asked once in each life of a unit; if it knows nothing, some times more.
        """
        self._scan = Scan(hierarchies)
        self._hierarchies = hierarchies
        self._kinds = frozenset(kinds)
        self._static = tuple(static)
        self._gears = gears
        self._describe = describe
        self._found: dict[str, Found] = {}
        self._from_rules: dict[str, Unit] = {}
        self._known: dict[str, Unit] = {}
        self._unnamed: dict[str, int] = {}  # how often to ask for each once more, by path
        self.has_left_out = False

    def units(self) -> dict[str, Unit]:
        """Return the units that there are now, by their id."""
        found = self._scan.units()
        self._ask_again()
        if found is not self._found:
            self._found = found
            self._from_rules = {
                path: self._unit(path, one)
                for path, one in found.items()
                if one.match.kind in self._kinds
            }
        units = dict(self._from_rules)
        if GEAR in self._kinds:
            for gear in self._gears():
                living = units.get(gear.id, gear)
                same = living._replace(uid=gear.uid, home=gear.home)
                units[gear.id] = self._same(same)
        for unit in self._static:
            units[unit.id] = self._same(self._placed(unit))
        self._known = units
        self.has_left_out = self._scan.has_left_out
        return units

    def _unit(self, path: str, found: Found) -> Unit:
        known = self._from_rules.get(path)
        if (
            known is not None
            and known.generation == found.inode
            and known.directories == found.directories
        ):
            return known
        kind, name = found.match
        labels = self._describe(kind, name, path)
        if not labels and kind in _DESCRIBED:
            self._unnamed[path] = _ASKED_AGAIN
        return self._described(path, found, labels)

    def _ask_again(self) -> None:
        """Ask once more for the units of which nothing was known."""
        for path, left in list(self._unnamed.items()):
            unit = self._from_rules.get(path)
            labels = self._describe(unit.kind, self._found[path].match.name, path) if unit else {}
            if labels:
                self._from_rules[path] = self._described(path, self._found[path], labels)
            if labels or unit is None or left == 1:
                del self._unnamed[path]
            else:
                self._unnamed[path] = left - 1

    @staticmethod
    def _described(path: str, found: Found, labels: Mapping[str, str]) -> Unit:
        kind, name = found.match
        uid, home = accounts.of_unit(kind, name)
        if kind == CONTAINER:
            labels = {_OWN: name, **labels}
        shown = labels.get(_OWN, name) if kind == CONTAINER else name
        return Unit(kind, shown, path, found.inode, found.directories, uid, home, labels)

    def _placed(self, unit: Unit) -> Unit:
        """Return a static unit with the directories that it has now."""
        directories: dict[str, str] = {}
        inode = 0
        for hierarchy in self._hierarchies:
            directory = hierarchy.directory + unit.id
            try:
                number = os.stat(directory).st_ino
            except OSError:
                continue  # it has no cgroup there, or none at all yet
            inode = inode or number
            directories.update(dict.fromkeys(hierarchy.keys, directory))
        return unit._replace(generation=inode, directories=directories)

    def _same(self, unit: Unit) -> Unit:
        """Return the object that this unit was before, if nothing about it has changed."""
        known = self._known.get(unit.id)
        return known if known == unit else unit
