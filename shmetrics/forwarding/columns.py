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


def columns(table: Table) -> Iterator[Column]:
    """Yield the columns of a table, in the order of a scrape, without start times."""
    if table.kind != "histogram":
        name = table.name + SUFFIXES[table.kind][0]
        yield Column(name, "", table.kind == "counter", table.values)
        return
    cumulated = np.cumsum(table.buckets, axis=1, dtype=np.uint64)
    for number, bound in enumerate((*table.bounds, float("inf"))):
        le = text_number(bound).decode()
        yield Column(f"{table.name}_bucket", le, True, cumulated[:, number])
    yield Column(f"{table.name}_count", "", True, cumulated[:, -1])
    if table.has_sum:
        yield Column(f"{table.name}_sum", "", True, table.sums)


def finite_rows(values: npt.NDArray[Any]) -> npt.NDArray[np.uint64] | None:
    """Return the rows whose number is finite; None: all of them are."""
    is_finite = np.isfinite(values)
    return None if is_finite.all() else np.flatnonzero(is_finite).astype(np.uint64)
