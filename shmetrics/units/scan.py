# SPDX-License-Identifier: Apache-2.0
"""The cgroups of a node that are units, as walks over all hierarchies find them.

Most walks find what the one before has found: then nothing is looked at again.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from shmetrics.units import rules
from shmetrics.units._files import Walk
from shmetrics.units.hierarchies import UNIFIED, Hierarchy
from shmetrics.units.opening import SHORTAGE

MOST_BYTES: Final = 4 << 20  # of the names of one hierarchy's cgroups: some hundred thousand

# In one of so many scans, walks ask each service and scope whether it has cgroups in it by now.
_TURNS: Final = 4

_RECORD: Final = struct.Struct("=QHH")  # inode, level, length of the name: csrc/units/walk.h


class Cgroup(NamedTuple):
    """A cgroup that is a unit, in one hierarchy."""

    path: str
    inode: int
    match: rules.Match


class Found(NamedTuple):
    """A cgroup that is a unit.

    Attributes:
        match: its kind and its name.
        inode: of its directory in the first hierarchy that has it.
        directories: its directories by what their hierarchies are called.
    """

    match: rules.Match
    inode: int
    directories: dict[str, str]


class Scan:
    """Walks over some hierarchies.

    Attributes:
        has_left_out: whether the last walks had to leave cgroups out: they are too many, or in too
            many levels.
    """

    def __init__(self, hierarchies: Sequence[Hierarchy]) -> None:
        self._hierarchies = hierarchies
        self._walks = [Walk(hierarchy.directory, MOST_BYTES) for hierarchy in hierarchies]
        self._unified = [at for at, each in enumerate(hierarchies) if UNIFIED in each.keys]
        self._before = [b""] * len(hierarchies)
        self._number = 0
        self._cgroups: list[list[Cgroup]] = [[] for _ in hierarchies]
        self._units: dict[str, Found] = {}
        # What the rules say of each path, and the path itself: hierarchies share them.
        self._matches: dict[str, tuple[str, rules.Match]] = {}
        self.has_left_out = False

    def units(self) -> dict[str, Found]:
        """Return the cgroups that are units now, by their path below their hierarchy's root.

        It is the same object as before if nothing has changed.

        Raises:
            OSError: there are no descriptors to look.
        """
        walked = self._walked()
        self.has_left_out = any(walk.has_left_out for walk in self._walks)
        if walked != self._before:
            for at, records in enumerate(walked):
                if records != self._before[at]:
                    self._cgroups[at] = list(units_in(records, self._match))
            self._before = walked
            self._units = self._joined()
            self._matches = {path: self._matches[path] for path in self._units}
        return self._units

    def _walked(self) -> list[bytes]:
        """Walk over all hierarchies, now and then thoroughly: over v2, and one of the others.

        What is new there may be new in all of them, and then all walks are thorough: who makes
        cgroups in v1 makes them in each hierarchy.
        """
        turn, left = divmod(self._number, _TURNS)
        self._number += 1
        asked = set() if left else {turn % len(self._walks), *self._unified}
        first = {at: _made(self._walks[at], True) for at in asked}
        is_new = any(records != self._before[at] for at, records in first.items())
        return [
            first[at] if at in asked else _made(walk, is_new) for at, walk in enumerate(self._walks)
        ]

    def _joined(self) -> dict[str, Found]:
        found: dict[str, Found] = {}
        for hierarchy, cgroups in zip(self._hierarchies, self._cgroups, strict=True):
            for path, inode, match in cgroups:
                unit = found.get(path)
                if unit is None:
                    unit = found[path] = Found(match, inode, {})
                directory = hierarchy.directory + path
                for key in hierarchy.keys:
                    unit.directories[key] = directory
        return found

    def _match(self, path: str) -> tuple[str, rules.Match]:
        found = self._matches.get(path)
        if found is None:
            found = self._matches[path] = path, rules.match(path)
        return found


def units_in(
    records: bytes, match_of: Callable[[str], tuple[str, rules.Match]]
) -> Iterator[Cgroup]:
    """Yield the units among the cgroups of a walk, but for those below one that has none.

    Args:
        records: what the walk has returned.
        match_of: returns what a path is, and the path.
    """
    parents = [""]  # the paths above the one that is looked at
    at, closed = 0, -1  # closed: the level below which nothing is a unit
    while at < len(records):
        inode, level, n_bytes = _RECORD.unpack_from(records, at)
        at += _RECORD.size
        name = os.fsdecode(records[at : at + n_bytes])
        at += n_bytes
        if 0 <= closed < level:
            continue
        path, match = match_of(f"{parents[level]}/{name}")
        parents[level + 1 :] = [path]
        closed = level if match.is_leaf else -1
        if match.kind:
            yield Cgroup(path, inode, match)


def _made(walk: Walk, is_thorough: bool) -> bytes:
    try:
        return walk.make(is_thorough)
    except OSError as error:
        if error.errno in SHORTAGE:
            raise  # nobody knows what there is
        return b""  # it was unmounted, or is not ours to see
