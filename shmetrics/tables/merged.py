# SPDX-License-Identifier: Apache-2.0
"""The tables of several shapes of one name as one table.

Label sets that Prometheus takes for one are one row: it does not see the order of labels, nor the
difference between an empty label and one that is not there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shmetrics.store.family import Family
from shmetrics.store.histograms import HistogramFamily, native_of
from shmetrics.tables.table import EXEMPLAR, Series, Table


def union(names: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the label names of several shapes, each once."""
    return tuple(dict.fromkeys(name for of_shape in names for name in of_shape))


class MergedSeries:
    """The series of several shapes, each once.

    Only those that have come since the last time are looked at.
    """

    def __init__(self, parts: Sequence[Series]) -> None:
        """Merge these series, those of the newest shape first."""
        self.series = Series(union(part.names for part in parts), is_sparse=True)
        self._parts = tuple(parts)
        self._places = [array("q") for _ in parts]
        self._rows: dict[tuple[str, ...], int] = {}

    def is_of(self, parts: Sequence[Series]) -> bool:
        """Return whether it has merged these series."""
        return len(parts) == len(self._parts) and all(map(lambda a, b: a is b, parts, self._parts))

    def _look(self) -> None:
        """Take in the series that have come."""
        for part, places in zip(self._parts, self._places, strict=True):
            found = [
                part.names.index(name) if name in part.names else len(part.names)
                for name in self.series.names
            ]
            for values in part.values[len(places) :]:
                filled = (*values, "")
                labels = tuple([filled[at] for at in found])
                row = self._rows.setdefault(labels, len(self._rows))
                if row == len(self.series.values):
                    self.series.append(labels)
                places.append(row)

    def table(self, tables: Sequence[Table], shapes: Sequence[Family] = ()) -> Table:
        """Return the tables of all shapes as one, the way that the newest is shown.

        Args:
            tables: a table of each of the series, in their order.
            shapes: the families that they are of; needed for histograms.
        """
        self._look()
        newest = tables[0]
        merged = replace(
            newest,
            series=self.series,
            created=self._earliest([table.created for table in tables]),
            exemplars=self._exemplars(tables, newest.bounds),
        )
        if newest.kind == "histogram":
            of_buckets = [shape for shape in shapes if isinstance(shape, HistogramFamily)]
            return self._histogram(merged, of_buckets)
        return replace(merged, values=self._sum([table.values for table in tables]))

    def _histogram(self, table: Table, shapes: Sequence[HistogramFamily]) -> Table:
        """Return the table with the buckets of all shapes.

        They are summed up before they are anything that is shown: it is the same if the newest
        shape takes over the totals of another one, see inheritance.py.
        """
        newest = shapes[0]
        counts = self._sum([shape.counts(newest) for shape in shapes])
        totals = self._sum([shape.totals() for shape in shapes])
        native = None if table.native is None else newest.exponential
        return replace(
            table,
            buckets=newest.buckets.classic(counts),
            sums=newest.shown_sums(totals),
            native=native and native_of(native, newest.buckets.exponential(counts)),
        )

    def _sum(self, columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return the sum of what each shape has in a row: (rows, ...)."""
        total = np.zeros((len(self.series.values), *columns[0].shape[1:]), columns[0].dtype)
        for places, column in zip(self._places, columns, strict=True):
            total[np.array(places, np.int64)[: len(column)]] += column  # each row once
        return total

    def _earliest(
        self, columns: Sequence[npt.NDArray[np.float64] | None]
    ) -> npt.NDArray[np.float64] | None:
        """Return the Unix time since when each row counts: (rows,); None if nobody knows."""
        found = [column for column in columns if column is not None]
        if len(found) < len(columns):
            return None
        first = np.full(len(self.series.values), np.inf)
        for places, column in zip(self._places, found, strict=True):
            np.minimum.at(first, np.array(places, np.int64)[: len(column)], column)
        return first

    def _exemplars(
        self, tables: Sequence[Table], bounds: tuple[float, ...]
    ) -> npt.NDArray[np.void]:
        """Return the exemplars of all shapes, sorted by row and bucket; of one bucket the newest.

        Args:
            tables: the tables of the shapes.
            bounds: the bounds of the buckets that are shown; empty for a counter.
        """
        moved = [np.empty(0, EXEMPLAR)]
        for places, table in zip(self._places, tables, strict=True):
            if len(table.exemplars):
                found = table.exemplars.copy()
                found["row"] = np.array(places, np.int64)[found["row"].astype(np.int64)]
                if bounds:
                    found["bucket"] = np.searchsorted(bounds, found["value"], "left")
                moved.append(found)
        every = np.concatenate(moved)
        every = every[np.lexsort((every["stamp_ns"], every["bucket"], every["row"]))]
        is_last = np.ones(len(every), np.bool_)
        is_last[:-1] = (every["row"][1:] != every["row"][:-1]) | (
            every["bucket"][1:] != every["bucket"][:-1]
        )
        return every[is_last]


class Merging:
    """The merged series of every name that has several shapes, from one scrape to the next."""

    def __init__(self) -> None:
        """Begin without any."""
        self._by_name: dict[str, MergedSeries] = {}
        self._used: dict[str, MergedSeries] = {}

    def begin(self) -> None:
        """Forget the names that were not merged since the last call."""
        self._by_name, self._used = self._used, {}

    def table(self, tables: Sequence[Table], shapes: Sequence[Family] = ()) -> Table:
        """Return the tables of all shapes of one name, the newest first, as one.

        Args:
            tables: a table of each shape.
            shapes: the families that they are of; needed for histograms.
        """
        if len(tables) == 1:
            return tables[0]
        name, parts = tables[0].name, [table.series for table in tables]
        merged = self._used.get(name) or self._by_name.get(name)
        if merged is None or not merged.is_of(parts):
            merged = MergedSeries(parts)
        self._used[name] = merged
        return merged.table(tables, shapes)
