# SPDX-License-Identifier: Apache-2.0
"""Tables of families: array expressions, not loops, make columns of the cells of all series.

A name has one table, or a fixed number of them, however many shapes it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from shmetrics import layout
from shmetrics.sample_names import CALL_ENDS, CALL_SECONDS, CALL_STARTS
from shmetrics.store.exemplars import Exemplars
from shmetrics.store.families import Families
from shmetrics.store.family import Family
from shmetrics.store.gauges import Gauges, GaugeValue
from shmetrics.store.histograms import CallFamily, HistogramFamily
from shmetrics.store.name import Name
from shmetrics.store.observed import ObservedTotal, sum_up
from shmetrics.tables.merged import Merging
from shmetrics.tables.table import Series, Table


class FamilyTables:
    """The source of the tables of all families of the store."""

    def __init__(
        self,
        families: Families,
        gauges: Gauges,
        living: Callable[[], Iterable[GaugeValue]],
        observed: Callable[[], Iterable[ObservedTotal]],
    ) -> None:
        """Begin with what is read at each scrape.

        Args:
            families: all families of the node.
            gauges: the gauge families of the node.
            living: returns the gauges of the processes that live now.
            observed: returns their observed totals.
        """
        self._families = families
        self._gauges = gauges
        self._living = living
        self._observed = observed
        self._observed_series: dict[str, Series] = {}  # of the last scrape, by name
        self._merging = Merging()

    def tables(self, native: bool = False) -> list[Table]:
        """Return the tables of each name."""
        living: dict[Family, list[GaugeValue]] = {}
        for value in self._living():
            living.setdefault(value.family, []).append(value)
        observed: dict[Family, list[ObservedTotal]] = {}
        for total in self._observed():
            observed.setdefault(total.family, []).append(total)
        before, self._observed_series = self._observed_series, {}
        exemplars = self._families.exemplars
        exemplars.take_snapshot()
        self._merging.begin()
        found: list[Table] = []
        for name in self._families.names:
            if name.newest.definition.type == layout.TYPE_GAUGE:
                found.append(self._gauge_table(name, living))
            elif name.newest.definition.type == layout.TYPE_OBSERVED:
                found.append(self._observed_table(name, observed, before.get(name.text)))
            else:
                # What leaves first is summed up first: numbers with a point stay the same then.
                shapes = [name.newest, *reversed(name.shapes[1:])]
                parts = [list(family_tables(shape, exemplars, native)) for shape in shapes]
                found.extend(
                    self._merging.table(tables, shapes) for tables in zip(*parts, strict=True)
                )
        return found

    def _gauge_table(self, name: Name, living: Mapping[Family, list[GaugeValue]]) -> Table:
        """Return the table of a gauge."""
        if len(name.shapes) == 1:
            return gauge_table(name.newest, self._gauges, living.get(name.newest, ()))
        definition = name.newest.definition
        label_names, values = self._gauges.collect_shapes(name.shapes, living)
        return Table(
            name=definition.name,
            kind="gauge",
            help=definition.help,
            unit=definition.unit,
            series=Series(label_names, values, is_sparse=True),
            values=np.fromiter(values.values(), np.float64, len(values)),
        )

    def _observed_table(
        self,
        name: Name,
        observed: Mapping[Family, list[ObservedTotal]],
        before: Series | None,
    ) -> Table:
        """Return the table of an observed counter over all living processes.

        Args:
            name: the name of the counter.
            observed: the totals of living processes, by family.
            before: the series of the last scrape; kept if they are the same, with their text.
        """
        label_names, sums = sum_up(name.shapes, observed)
        series = before
        if series is None or series.names != label_names or series.values != list(sums):
            series = Series(label_names, sums, is_sparse=len(name.shapes) > 1)
        self._observed_series[name.text] = series
        definition = name.newest.definition
        totals = np.array(list(sums.values()), np.float64).reshape(-1, 2)
        return Table(
            name=definition.name,
            kind="counter",
            help=definition.help,
            unit=definition.unit,
            series=series,
            values=totals[:, 0],
            created=totals[:, 1],
        )


def family_tables(family: Family, exemplars: Exemplars, native: bool = False) -> Iterator[Table]:
    """Yield the tables of a family that counts events.

    Args:
        family: the family.
        exemplars: the exemplars, of which a snapshot was taken.
        native: whether histograms have their exponential buckets, too.
    """
    if isinstance(family, CallFamily):
        yield from _calls(family, exemplars, native)
    elif isinstance(family, HistogramFamily):
        yield _histogram(family, exemplars, native)
    else:
        yield _counter(family, exemplars)


def _counter(family: Family, exemplars: Exemplars) -> Table:
    """Return the table of a counter."""
    return Table(
        name=family.definition.name,
        kind="counter",
        help=family.definition.help,
        unit=family.definition.unit,
        series=family.series,
        values=family.rows().view(np.float64)[:, 0],
        created=family.created(),
        exemplars=exemplars.of_family(family),
    )


def _histogram(family: HistogramFamily, exemplars: Exemplars, native: bool) -> Table:
    """Return the table of a histogram."""
    return Table(
        name=family.definition.name,
        kind="histogram",
        help=family.definition.help,
        unit=family.definition.unit,
        series=family.series,
        bounds=family.definition.bounds,
        buckets=family.classic(),
        sums=family.shown_sums(family.totals()),
        created=family.created(),
        exemplars=exemplars.of_family(family),
        native=family.native() if native else None,
    )


def _calls(family: CallFamily, exemplars: Exemplars, native: bool) -> Iterator[Table]:
    """Yield the tables of starts, ends and durations.

    The exceptions of calls are a family of their own.
    """
    totals = family.totals()
    created = family.created()
    name, help = family.definition.name, family.definition.help
    for suffix, cell, event in (
        (CALL_STARTS, layout.CELL_STARTS, "begun"),
        (CALL_ENDS, layout.CELL_ENDS, "ended"),
    ):
        yield Table(
            name=name + suffix,
            kind="counter",
            help=f"{help}: {event}",
            series=family.series,
            values=totals[:, cell],
            created=created,
        )
    yield Table(
        name=name + CALL_SECONDS,
        kind="histogram",
        help=f"{help}: duration",
        unit="seconds",
        series=family.series,
        bounds=family.definition.bounds,
        buckets=family.classic(),
        sums=family.shown_sums(totals),
        created=created,
        exemplars=exemplars.of_family(family),
        native=family.native() if native else None,
    )


def gauge_table(family: Family, gauges: Gauges, living: Iterable[GaugeValue]) -> Table:
    """Return the table of a gauge family over all processes, living and dead.

    Args:
        family: the gauge family.
        gauges: the gauge families, which know what dead processes have left.
        living: the gauges of living processes in this family.
    """
    values = gauges.collect(family, living)
    return Table(
        name=family.definition.name,
        kind="gauge",
        help=family.definition.help,
        unit=family.definition.unit,
        series=Series(family.definition.label_names, values),
        values=np.fromiter(values.values(), np.float64, len(values)),
    )
