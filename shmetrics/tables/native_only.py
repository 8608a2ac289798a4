# SPDX-License-Identifier: Apache-2.0
"""Histograms with native buckets only, for scrapers that take no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from shmetrics.tables.table import Table


def native_only(table: Table) -> Table:
    """Return a table with one classic bucket, +Inf, if it has native ones.

    The newest exemplar of each row is kept, in that bucket.
    """
    if table.native is None:
        return table
    return replace(
        table,
        bounds=(),
        buckets=table.buckets.sum(axis=1, dtype=np.uint64, keepdims=True),
        exemplars=_newest(table.exemplars),
    )


def _newest(exemplars: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return the newest exemplar of each row, sorted by row, in bucket 0."""
    ordered = exemplars[np.lexsort((exemplars["stamp_ns"], exemplars["row"]))]
    is_last = np.append(ordered["row"][1:] != ordered["row"][:-1], True)[: len(ordered)]
    found: npt.NDArray[np.void] = ordered[is_last]
    found["bucket"] = 0
    return found
