# SPDX-License-Identifier: Apache-2.0
"""A snapshot: all tables at one moment, and the selection of them that a destination gets."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shmetrics.escaping import Escaping
from shmetrics.render.label_cache import Constants
from shmetrics.render.naming import named
from shmetrics.render.row_slice import check
from shmetrics.tables.table import Table


@dataclass(frozen=True)
class Snapshot:
    """The tables of one moment, with names that every reader knows.

    Attributes:
        time_ns: the moment, in nanoseconds since 1970.
        taken_at: the same, as time.monotonic().
        tables: what a scrape at this moment shows.
    """

    time_ns: int
    taken_at: float
    tables: Sequence[Table]

    @classmethod
    def of(cls, tables: Iterable[Table], time_ns: int, taken_at: float) -> Snapshot:
        """Return a snapshot of tables. Raises ValueError if the arrays of one do not fit."""
        shown = named(tables, Escaping.UNDERSCORES).tables
        for table in shown:
            check(table)
        return cls(time_ns, taken_at, shown)

    def only(self, selection: Selection) -> Snapshot:
        """Return a snapshot with these families only."""
        chosen = [table for table in self.tables if selection.takes(table) and len(table)]
        return Snapshot(self.time_ns, self.taken_at, chosen)


class Selection:
    """The families that a destination is sent."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Select the families that match a pattern by their name, or by the name of a sample."""
        self._pattern = re.compile("|".join(map(fnmatch.translate, patterns)))
        self._known: dict[str, bool] = {}

    def takes(self, table: Table) -> bool:
        """Return whether a table is sent."""
        known = self._known.get(table.name)
        if known is None:
            if len(self._known) > 10_000:  # names come and go
                self._known.clear()
            names = (table.name, *table.sample_names())
            known = self._known[table.name] = any(map(self._pattern.match, names))
        return known


class Additions(NamedTuple):
    """The additions of a destination to names and series.

    Attributes:
        prefix: what every name begins with.
        labels: labels of every series that has no label of that name.
    """

    prefix: str = ""
    labels: Constants = ()

    @classmethod
    def of(cls, prefix: str, *labels: Mapping[str, str]) -> Additions:
        """Return additions; later labels override earlier ones."""
        merged = {name: value for some in labels for name, value in some.items()}
        return cls(prefix, tuple(merged.items()))
