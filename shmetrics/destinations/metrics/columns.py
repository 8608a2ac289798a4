# SPDX-License-Identifier: Apache-2.0
"""A table as samples: columns of numbers, each with the name and the `le` of its samples.

The names and the numbers are those of a scrape: buckets are cumulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shmetrics.render._text import text_number
from shmetrics.tables.table import SUFFIXES, Table


class Column(NamedTuple):
    """A number of each row of a table.

    Attributes:
        name: the name of the samples.
        le: the upper bound of a bucket as text; "" for any other column.
        is_cumulative: whether the numbers only grow while a series lives.
        values: (rows,), float64 or uint64.
    """

    name: str
    le: str
    is_cumulative: bool
    values: npt.NDArray[Any]


def names(table: Table) -> Iterator[tuple[str, str]]:
    """Yield name and `le` of each column of a table, in the order of a scrape."""
    if table.kind != "histogram":
        yield table.name + SUFFIXES[table.kind][0], ""
        return
    for bound in (*table.bounds, float("inf")):
        yield f"{table.name}_bucket", text_number(bound).decode()
    yield f"{table.name}_count", ""
    if table.has_sum:
        yield f"{table.name}_sum", ""


def columns(table: Table) -> Iterator[Column]:
    """Yield the columns of a table, in the order of a scrape, without start times."""
    if table.kind != "histogram":
        numbers = [table.values]
    else:
        cumulated = np.cumsum(table.buckets, axis=1, dtype=np.uint64)
        numbers = [*cumulated.T, cumulated[:, -1], *([table.sums] if table.has_sum else [])]
    is_cumulative = table.kind in ("counter", "histogram")
    for (name, le), values in zip(names(table), numbers, strict=True):
        yield Column(name, le, is_cumulative, values)


def finite_rows(values: npt.NDArray[Any]) -> npt.NDArray[np.uint64] | None:
    """Return the rows whose number is finite; None: all of them are."""
    is_finite = np.isfinite(values)
    return None if is_finite.all() else np.flatnonzero(is_finite).astype(np.uint64)
