# SPDX-License-Identifier: Apache-2.0
"""A walk over all cgroups of a node, which finds those that are units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from shmetrics.units import rules
from shmetrics.units._files import directories
from shmetrics.units.hierarchies import Hierarchy

MOST_CGROUPS: Final = 50_000  # that are looked at, in one hierarchy
MOST_LEVELS: Final = 32

_MOST_REMEMBERED: Final = 100_000  # paths, with what the rules say of them


class Found:
    """A cgroup that is a unit.

    Attributes:
        match: its kind and its name.
        inode: of its directory in the first hierarchy that has it.
        directories: its directories by what their hierarchies are called.
    """

    __slots__ = ("directories", "inode", "match")

    def __init__(self, match: rules.Match, inode: int) -> None:
        self.match = match
        self.inode = inode
        self.directories: dict[str, str] = {}


class Scan:
    """A walk that is made again and again, and remembers what the rules say of a path.

    Attributes:
        has_left_out: whether the last walk had to leave cgroups out: they are too many, or in too
            many levels.
    """

    def __init__(self, hierarchies: Sequence[Hierarchy]) -> None:
        self._hierarchies = hierarchies
        self._matches: dict[str, rules.Match] = {}
        self.has_left_out = False

    def units(self) -> dict[str, Found]:
        """Return the cgroups that are units now, by their path below their hierarchy's root."""
        found: dict[str, Found] = {}
        self.has_left_out = False
        for hierarchy in self._hierarchies:
            for path, inode, match in self._walk(hierarchy.directory):
                unit = found.get(path)
                if unit is None:
                    unit = found[path] = Found(match, inode)
                for key in hierarchy.keys:
                    unit.directories[key] = hierarchy.directory + path
        return found

    def _walk(self, root: str) -> Iterator[tuple[str, int, rules.Match]]:
        """Yield path, inode and match of each unit below a root. What goes meanwhile is left."""
        waiting = [("", 0)]
        n_seen = 0
        while waiting:
            path, level = waiting.pop()
            try:
                inside = directories(root + path)
            except OSError:
                continue  # it has just been removed, or is not ours to see
            for name, inode, is_leaf in inside:
                n_seen += 1
                if n_seen > MOST_CGROUPS:
                    self.has_left_out = True
                    return
                below = f"{path}/{name}"
                match = self._match(below)
                if match.kind:
                    yield below, inode, match
                if is_leaf or match.is_leaf:
                    continue
                if level < MOST_LEVELS:
                    waiting.append((below, level + 1))
                else:
                    self.has_left_out = True

    def _match(self, path: str) -> rules.Match:
        found = self._matches.get(path)
        if found is None:
            if len(self._matches) >= _MOST_REMEMBERED:
                self._matches.clear()
            found = self._matches[path] = rules.match(path)
        return found
