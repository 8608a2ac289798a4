# SPDX-License-Identifier: Apache-2.0
"""Idle series: those that have not changed for a while are removed, or hidden until they change.

A series that no living process has defined is removed, and its row is used again. A series that a
process still has is only hidden: its total stays in the store, so that it comes back as the same
counter. After a restart of the collector, all series count as changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Mapping

import numpy as np
import numpy.typing as npt

from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.log import StoreFull
from shmetrics.store.series_index import OVERFLOW_ROW

MOST_AT_ONCE = 20_000  # series that one tick removes, in some 0.1 s

HeldSeries = Callable[[], Container[tuple[Family, tuple[str, ...]]]]


class IdleSeries:
    """The watch on the series of all families, with `CHECKS` comparisons within the idle time."""

    CHECKS = 4

    def __init__(self, families: Families, idle_seconds: float, held: HeldSeries) -> None:
        """Begin without any comparison.

        Args:
            families: all families of the node.
            idle_seconds: the time without a change after which a series is idle; 0 for never.
            held: returns the series that count as changing in any case, as (family, label values).
        """
        self._families = families
        self._idle_seconds = idle_seconds
        self._held = held
        self._watched: dict[Family, _WatchedFamily] = {}
        self._next = 0.0
        self.pass_on_series: Callable[[Family, list[int]], None] = lambda family, rows: None
        """Lets the totals of series go over to a newer shape, if that has the same series."""

    def check(self, now: float) -> None:
        """Remove or hide idle series, if it is time for a comparison.

        Args:
            now: seconds, of a clock that never goes back.
        """
        if not self._idle_seconds or now < self._next:
            return
        self._next = now + self._idle_seconds / self.CHECKS
        held = self._held()
        rows_left = MOST_AT_ONCE
        for family in self._families:
            if family.is_limited:
                watched = self._watched.setdefault(family, _WatchedFamily(family))
                watched.compare(now)
                gone = watched.hide_idle(now - self._idle_seconds, held, rows_left)
                self.remove(family, gone)
                rows_left -= len(gone)
        if rows_left <= 0:
            self._next = now  # at the next tick

    def remove(self, family: Family, rows: list[int]) -> int:
        """Remove series of a family, and watch them no more.

        Args:
            family: the family.
            rows: the rows of the series; no lane may be bound to them.

        Returns:
            The number of series that are gone: fewer if the disk is full.
        """
        if not rows:
            return 0
        n = len(family)
        self.pass_on_series(family, rows)
        rows = [row for row in rows if family.index.has(row)]
        self._families.exemplars.forget(family, rows)
        with contextlib.suppress(StoreFull):
            family.remove(rows)
        family.show_all()
        return n - len(family)

    def follow(self, family: Family, moved: Mapping[int, int]) -> None:
        """Watch series of a family in the rows where they are now, and show them there.

        Args:
            family: the family.
            moved: the row of each series that has moved, by the row that it had.
        """
        watched = self._watched.get(family)
        if watched is not None:
            watched.follow(moved)
        family.show_all()

    def has_only_idle(self, family: Family) -> bool:
        """Return whether a family has no series but its overflow series, and that one is idle."""
        watched = self._watched.get(family)
        return watched is not None and len(family) == 1 and OVERFLOW_ROW in family.hidden

    def forget(self, family: Family) -> None:
        """Stop watching a family that is removed."""
        self._watched.pop(family, None)

    def show_changed(self, now: float) -> None:
        """Show hidden series that have changed, before each scrape.

        Args:
            now: seconds, of a clock that never goes back.
        """
        for watched in self._watched.values():
            watched.show_changed(now)


class _WatchedFamily:
    """The rows of one family: a hash of the cells of each, and the time of its last change."""

    def __init__(self, family: Family) -> None:
        """Begin without any comparison."""
        self._family = family
        numbers = np.arange(1, 2 * family.width, 2, dtype=np.uint64)
        self._weights = numbers * np.uint64(0x9E3779B97F4A7C15)  # odd, so that each change shows
        self._hashes = np.empty(0, np.uint64)
        self._created = np.empty(0)
        self._since = np.empty(0)

    def _hash_rows(self) -> npt.NDArray[np.uint64]:
        """Return a hash of each row's cells, (rows,), uint64."""
        parts = [cells @ self._weights for cells in self._family.all_cells()]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)

    def compare(self, now: float) -> None:
        """Note which rows have changed since the last comparison."""
        hashes, created = self._hash_rows(), self._family.index.all_created()
        since = np.full(len(hashes), now)
        known = min(len(self._hashes), len(hashes))
        same = (hashes[:known] == self._hashes[:known]) & (created[:known] == self._created[:known])
        since[:known][same] = self._since[:known][same]
        self._hashes, self._created, self._since = hashes, created, since

    def hide_idle(
        self, before: float, held: Container[tuple[Family, tuple[str, ...]]], max_rows: int
    ) -> list[int]:
        """Hide the idle series that lanes are bound to.

        Args:
            before: a series is idle if it has not changed since then.
            held: the series that may not be removed.
            max_rows: the most rows to return.

        Returns:
            The rows of idle series that are to be removed.
        """
        family = self._family
        idle = family.index.used() & (self._since <= before)
        gone = idle & family.index.unbound()
        gone[OVERFLOW_ROW : OVERFLOW_ROW + 1] = False  # its row is reserved anyway
        rows = [
            row for row in np.flatnonzero(gone).tolist() if (family, family.values(row)) not in held
        ]
        hidden = frozenset(np.flatnonzero(idle).tolist()) - frozenset(np.flatnonzero(gone).tolist())
        if hidden != family.hidden:
            family.hidden = hidden
            family.show_all()
        return rows[: max(max_rows, 0)]

    def follow(self, moved: Mapping[int, int]) -> None:
        """Watch series in the rows where they are now."""
        size = 1 + max((len(self._since) - 1, *moved, *moved.values()))
        old, new = list(moved), list(moved.values())
        for name in ("_hashes", "_created", "_since"):
            column = getattr(self, name)
            column = np.concatenate([column, np.zeros(size - len(column), column.dtype)])
            column[new] = column[old]
            setattr(self, name, column)

    def show_changed(self, now: float) -> None:
        """Show the hidden rows that have changed."""
        if not self._family.hidden:
            return
        hashes = self._hash_rows()
        rows = np.array(sorted(self._family.hidden))
        for row in rows[hashes[rows] != self._hashes[rows]].tolist():
            self._since[row] = now
            self._hashes[row] = hashes[row]
            self._family.hidden -= {row}
            self._family.visible.add(row, self._family.values(row))
