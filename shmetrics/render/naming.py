# SPDX-License-Identifier: Apache-2.0
"""The names of tables as a reader of some escaping scheme gets them.

Two names can become one in a scheme. No reader takes an answer in which two families have one name,
or two labels of a series. So of these families only one is in the answer: the one whose name is the
same in every scheme, or else the one that comes first. The others are left out, each with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

from shmetrics.escaping import (
    Escaping,
    are_classic_labels,
    is_classic_metric,
    label_name,
    metric_name,
)
from shmetrics.tables.table import Series, Table


class Names(NamedTuple):
    """The tables of one answer, in their order, and what is left out of it.

    Attributes:
        tables: the tables with the names of a scheme.
        originals: the same tables with the names that emitters gave them.
        left_out: for the name of each family that is not shown, the reason in one line.
    """

    tables: list[Table]
    originals: list[Table]
    left_out: dict[str, str]


def named(tables: Iterable[Table], escaping: Escaping) -> Names:
    """Return tables with the names of a scheme."""
    tables = list(tables)
    if escaping is Escaping.ALLOW_UTF_8 or all(map(_is_classic, tables)):  # mostly
        return Names(tables, tables, {})
    pairs = [(table, _shown(table, escaping)) for table in tables]
    taken = {
        sample: original.name
        for original, shown in pairs
        if original.name == shown.name
        for sample in _sample_names(shown)
    }
    names = Names([], [], {})
    for original, shown in pairs:
        reason = _obstacle(original, shown, taken)
        if reason:
            names.left_out[original.name] = reason
            continue
        names.tables.append(shown)
        names.originals.append(original)
        taken.update(dict.fromkeys(_sample_names(shown), original.name))
    return names


def select(names: Names, wanted: Iterable[str]) -> list[Table]:
    """Return the tables with one of the wanted names, of themselves or of their samples.

    Both the names that emitters gave them and those of the scheme count. If none is wanted, all
    tables are returned.
    """
    wanted = set(wanted)
    if not wanted:
        return names.tables
    return [
        shown
        for shown, original in zip(names.tables, names.originals, strict=True)
        if wanted & _sample_names(original) or wanted & _sample_names(shown)
    ]


def _sample_names(table: Table) -> set[str]:
    return {table.name, *table.sample_names()}


def _obstacle(original: Table, shown: Table, taken: dict[str, str]) -> str:
    """Return the reason why a table cannot be shown beside those that have taken names, or ""."""
    names = shown.series.names
    for place, name in enumerate(names):
        if names.index(name) < place:
            both = original.series.names[names.index(name)], original.series.names[place]
            return f"its labels {both[0]!r} and {both[1]!r} are both {name}"
        if name.startswith("__") and name != original.series.names[place]:
            return f"its label {original.series.names[place]!r} is {name}, which is Prometheus's"
    if original.name != shown.name:
        for sample in sorted(_sample_names(shown)):
            if sample in taken:
                return f"its name is {sample}, as one of {taken[sample]!r} is"
    return ""


# ---- one table ----------------------------------------------------------------------------------


def _is_classic(table: Table) -> bool:
    """Return whether a table has the same names in every scheme."""
    return is_classic_metric(table.name) and are_classic_labels(table.series.names)


def _shown(table: Table, escaping: Escaping) -> Table:
    """Return a table with the names of a scheme: the same one if these are its own."""
    if _is_classic(table):
        return table
    series = _series(table.series, escaping)
    # The name with its suffix is escaped, so that a reader can turn it back.
    full_name = metric_name(table.full_name, escaping)
    name = full_name.removesuffix(table.full_name.removeprefix(table.name))
    unit = table.unit if name.endswith(f"_{table.unit}") else ""
    return replace(table, name=name, series=series, unit=unit)


_renamed: WeakKeyDictionary[Series, dict[Escaping, Series]] = WeakKeyDictionary()


def _series(series: Series, escaping: Escaping) -> Series:
    """Return a series with the label names of a scheme; the same one each time."""
    names = tuple(label_name(name, escaping) for name in series.names)
    if names == series.names:
        return series
    by_escaping = _renamed.setdefault(series, {})
    if escaping not in by_escaping:
        by_escaping[escaping] = series.renamed(names)
    return by_escaping[escaping]
