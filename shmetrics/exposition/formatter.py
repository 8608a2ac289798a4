# SPDX-License-Identifier: Apache-2.0
"""The one formatter. The text format and OpenMetrics agree on the lines of samples and on their
order; what sets them apart is a Dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from shmetrics._text import TextWriter
from shmetrics.exposition.labels import label_text, le_text
from shmetrics.exposition.table import SUFFIXES, Table


@dataclass(frozen=True)
class Dialect:
    """head: the lines before a family's samples. created: whether _created is shown, exemplars:
    whether these are. end: what follows the last family."""

    head: Callable[[Table], str]
    created: bool
    exemplars: bool
    end: bytes


def escape_help(text: str) -> str:
    """Help text on one line, as both formats want it."""
    return text.replace("\\", r"\\").replace("\n", r"\n")


def render(dialect: Dialect, tables: Iterable[Table], constant_labels: Mapping[str, str]) -> bytes:
    """The exposition of tables, in their order, as UTF-8.

    constant_labels: added to every series that has no label of that name.
    Raises ValueError for a table whose arrays do not fit each other or its series.
    """
    constants = tuple(constant_labels.items())
    writer = TextWriter()
    for table in tables:
        writer.raw(_utf8(dialect.head(table)))
        if len(table) == 0:
            continue
        name = _utf8(table.name)
        labels = label_text(table.series, constants)
        created = table.created if dialect.created and table.has_created else None
        exemplars = table.exemplars.view(np.uint8) if dialect.exemplars else None
        if table.kind == "histogram":
            les, offsets = le_text(table.bounds)
            sums = table.sums if table.has_sum else None
            writer.histograms(
                *(name, labels.text, labels.parts, les, offsets),
                *(table.buckets, sums, created, exemplars),
            )
        else:
            suffix = _utf8(SUFFIXES[table.kind][0])
            writer.scalars(
                name, suffix, labels.text, labels.parts, table.values, created, exemplars
            )
    writer.raw(dialect.end)
    return writer.finish()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # half a surrogate pair must not cost the whole scrape
