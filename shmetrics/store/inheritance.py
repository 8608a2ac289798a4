# SPDX-License-Identifier: Apache-2.0
"""Inheritance: the totals of an old shape go over to the newest one, before it leaves.

Where both have the same series, the sum of both is shown. If the old shape simply left, that sum
would fall to what the new release has counted, and a reader would count that once more. So the
newest shape's series take the totals over first, laid on their own buckets in the same way as they
are shown, and nothing that is shown changes.

The chunk of the newest shape that has the series is copied to other cells, with the totals of both.
Then one write to the log moves it there and removes the old shape's series: a kill leaves both as
they were, or the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

import numpy as np

from shmetrics import layout
from shmetrics.store.families import Families, parts_of
from shmetrics.store.family import Family
from shmetrics.store.log import StoreFull
from shmetrics.store.log_entry import Entry
from shmetrics.store.packing import Moved
from shmetrics.store.series_index import OVERFLOW_ROW

MOST_AT_ONCE = 4096  # series that go over at one tick, in some 0.2 s
MOST_IN_A_WRITE = 256  # series that one write to the log lets go over


class Inheritance:
    """The way of totals from old shapes to the newest shapes of their names."""

    def __init__(
        self,
        families: Families,
        follow: Callable[[Moved], None],
        are_all_bound: Callable[[], bool],
    ) -> None:
        """Begin without any observation.

        Args:
            families: all families of the node.
            follow: called with what has moved; lets every lane count where it is now.
            are_all_bound: returns whether each lane that was there before the collector has said
                which series it has.
        """
        self._families = families
        self._follow = follow
        self._are_all_bound = are_all_bound
        self._left = 0  # series that may still go over at this tick
        self._moved: dict[Family, dict[int, int]] = {}

    def pass_on(self, shapes: Iterable[Family]) -> tuple[list[Family], int]:
        """Pass on the totals of old shapes that nobody holds, as far as there is room.

        Args:
            shapes: the old shapes.

        Returns:
            Those of which nothing is left to go over, and the number of series that went.
        """
        if not self._are_all_bound():
            return [], 0
        self._left = MOST_AT_ONCE
        try:
            done = [shape for shape in shapes if self._pass_on(shape)]
        finally:
            self._tell()
        return done, MOST_AT_ONCE - self._left

    def pass_on_series(self, family: Family, rows: Iterable[int]) -> None:
        """Let totals go over of series that are about to be removed, as far as there is room.

        Args:
            family: a family, which may be an old shape.
            rows: the rows of the series, into which nobody counts.
        """
        newest = self._families.names.of(family).newest
        if newest is family or family.definition.type == layout.TYPE_GAUGE:
            return
        self._left = MOST_AT_ONCE
        try:
            if self._are_all_bound():
                self._pass_on_part(family, newest, rows)
        except StoreFull:
            pass  # they leave with their totals: a counter reset
        finally:
            self._tell()

    def _tell(self) -> None:
        """Tell everybody who counts into series where they are now."""
        moved, self._moved = self._moved, {}
        if moved:
            self._follow(moved)

    def _pass_on(self, old: Family) -> bool:
        """Let a shape's totals go over; return whether nothing is left to go over."""
        name = self._families.names.get(old.definition.name)
        if name is None or name.newest is old or old.definition.type == layout.TYPE_GAUGE:
            return True
        try:
            parts = zip(parts_of(old), parts_of(name.newest), strict=False)
            return all(
                self._pass_on_part(part, newest, np.flatnonzero(part.index.used()).tolist())
                for part, newest in parts
            )
        except StoreFull:
            return False

    def _pass_on_part(self, old: Family, newest: Family, rows: Iterable[int]) -> bool:
        """Let the totals of series go over; return whether that is all. Raises StoreFull."""
        heirs = sorted(_heirs(old, newest, rows).items(), key=lambda pair: pair[1])
        for _, group in groupby(heirs, lambda pair: newest.chunks.of(pair[1]).first_row):
            pairs = list(group)
            while pairs:
                if self._left <= 0:
                    return False
                most = min(MOST_IN_A_WRITE, self._left)
                self._pass_on_rows(old, newest, dict(pairs[:most]))
                del pairs[:most]
        return True

    def _pass_on_rows(self, old: Family, newest: Family, heirs: dict[int, int]) -> None:
        """Pass on the totals of series to series of one chunk. Raises StoreFull."""
        beside = newest.chunks.of(next(iter(heirs.values()))).rows
        self._families.exemplars.forget(old, heirs)
        self._families.exemplars.forget(newest, beside)
        _inherit(old, newest, heirs)
        old.show_all()
        newest.show_all()  # one that was idle, and hidden, shows what the old shape has shown
        self._moved.setdefault(newest, {}).update({row: row for row in beside})
        self._left -= len(heirs)
        old.drop_vacant(heirs)


def _heirs(old: Family, newest: Family, rows: Iterable[int]) -> dict[int, int]:
    """Return the rows of the newest shape's series that are the same as an old one's in these rows.

    An empty label is no label, and the order of labels does not count.
    """
    names = newest.definition.label_names
    heirs = {}
    for row in rows:
        given = zip(old.definition.label_names, old.values(row), strict=True)
        labels = {name: value for name, value in given if value}
        values = tuple([labels.get(name, "") for name in names])
        if labels.keys() <= set(names) and not newest.folds(values):
            heirs[row] = newest.row(values)
    return heirs


def _inherit(old: Family, newest: Family, heirs: Mapping[int, int]) -> None:
    """Let series take over the totals of an old shape's series: all of them or none.

    Their whole chunk is copied to other cells. Whoever counts there has to follow before the next
    drain.

    Args:
        old: the old shape. Nobody counts into its series, and they are gone then.
        newest: the newest shape.
        heirs: the rows of the series in the newest shape, all of one chunk, by the rows in the old
            one.

    Raises:
        StoreFull: there is no room for the copy, or in the log.
    """
    store, index = newest.store, newest.index
    chunk = newest.chunks.of(next(iter(heirs.values())))
    place, moved = newest.chunks.place(chunk.first_row, store.find(chunk.run.n), chunk.owner)
    at = np.array(list(heirs.values()), np.int64) - chunk.first_row
    cells = chunk.cells.copy()
    cells[at] = newest.joined(cells[at], old, np.stack([*map(old.cells, heirs)]))
    created = {
        row: min(index.created(row), old.index.created(there)) for there, row in heirs.items()
    }
    series = [
        Entry.series(newest.id, row, newest.values(row), created[row], index.owner(row))
        for row in heirs.values()
    ]
    entries = [
        place,
        *(Entry.removed(newest.id, row) for row in heirs.values()),
        *series,
        *(Entry.removed(old.id, row) for row in heirs),
    ]
    reserved_bytes = store.reserved_bytes
    if OVERFLOW_ROW in heirs:  # it leaves the old shape, which may need another one
        reserved_bytes += old.overflow_entry_bytes
    store.append(entries, moved.run, reserved_bytes, cells.ravel())
    newest.chunks.replace(moved)
    for row, entry in zip(heirs.values(), series, strict=True):
        values = newest.values(row)
        newest.forget_series(row)
        newest.note_series(entry, values, created[row])
    old.free_rows(heirs)
