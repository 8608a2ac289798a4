# SPDX-License-Identifier: Apache-2.0
"""Slices of tables by rows, to render a long table in pieces, and checks of a table's arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from shmetrics.tables.table import EXEMPLAR, Native, Table


def row_slice(table: Table, first: int, end: int) -> Table:
    """Return some rows of a table, as views of its arrays (exemplars are copied).

    The series are not sliced: row 0 of the result is row *first* of the series.

    Args:
        table: the table.
        first: its first row in the slice.
        end: the row after the last one.
    """
    rows = slice(first, end)
    return replace(
        table,
        values=table.values[rows],
        buckets=table.buckets[rows],
        sums=table.sums[rows],
        created=None if table.created is None else table.created[rows],
        native=None if table.native is None else _native(table.native, rows),
        exemplars=_exemplars(table.exemplars, first, end),
    )


def _exemplars(exemplars: npt.NDArray[np.void], first: int, end: int) -> npt.NDArray[np.void]:
    if len(exemplars) == 0:  # mostly
        return exemplars
    ends = np.searchsorted(exemplars["row"], np.array((first, end), np.uint64))
    found: npt.NDArray[np.void] = exemplars[slice(*ends)].copy()
    found["row"] -= np.uint64(first)
    return found


def _native(native: Native, rows: slice) -> Native:
    return replace(native, zeros=native.zeros[rows], counts=native.counts[rows])


def numbers_bytes(table: Table) -> int:
    """Return the bytes of memory of a table's numbers."""
    arrays = [table.values, table.buckets, table.sums, table.exemplars]
    if table.created is not None:
        arrays.append(table.created)
    if table.native is not None:
        arrays += [table.native.zeros, table.native.counts]
    return sum(array.nbytes for array in arrays)


def check(table: Table) -> None:
    """Raise ValueError if the arrays of a table do not fit each other or its series."""
    n = len(table)
    if n > len(table.series.values):
        raise ValueError(f"{table.name}: {n} rows for {len(table.series.values)} series")
    if table.kind == "histogram":
        _fits(table, "buckets", table.buckets, (n, len(table.bounds) + 1), "u8")
        if table.has_sum:
            _fits(table, "sums", table.sums, (n,), "f8")
        if table.native is not None:
            columns = table.native.counts.shape[-1]
            _fits(table, "native.zeros", table.native.zeros, (n,), "u8")
            _fits(table, "native.counts", table.native.counts, (n, columns), "u8")
    else:
        _fits(table, "values", table.values, (n,), "f8", "u8")
    if table.created is not None and table.has_created:
        _fits(table, "created", table.created, (n,), "f8")
    if table.exemplars.dtype != EXEMPLAR:
        raise ValueError(f"{table.name}: exemplars cannot be of type {table.exemplars.dtype}")


def _fits(table: Table, what: str, array: np.ndarray, shape: tuple[int, ...], *types: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{table.name}: {what} is {array.shape} where {shape} are shown")
    if array.dtype.str[1:] not in types or not array.dtype.isnative:
        raise ValueError(f"{table.name}: {what} cannot be of type {array.dtype}")
