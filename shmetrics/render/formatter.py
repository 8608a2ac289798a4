# SPDX-License-Identifier: Apache-2.0
"""The formatter of both text formats, Prometheus's and OpenMetrics.

Both have the same lines for samples, in the same order. A Dialect has the differences.

The text is made in pieces, so that it is never all in memory. A piece of a few hundred KiB is still
in the processor's cache when it is sent, and making it takes less time than copying it would.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shmetrics.escaping import is_classic_metric
from shmetrics.render._text import TextWriter, text_escape
from shmetrics.render.label_cache import Constants
from shmetrics.render.labels import LabelText, label_text, le_text
from shmetrics.render.row_slice import check, row_slice
from shmetrics.tables.table import SUFFIXES, Table

PIECE_BYTES = 256 * 1024
# Rows per piece at most: the labels of new series are made first, which takes more time than all
# the rest of a line.
MOST_ROWS = 1000
_LINE_BYTES = 40  # about the length of a line, without name and labels
_ROOM_BYTES = PIECE_BYTES + PIECE_BYTES // 4


@dataclass(frozen=True)
class Dialect:
    """The differences between the text formats.

    Attributes:
        head: returns the lines before the samples of a family.
        created: write samples with the suffix _created.
        exemplars: write exemplars.
        end: the text after the last family.
    """

    head: Callable[[Table], str]
    created: bool
    exemplars: bool
    end: bytes


def escape_help(text: str) -> str:
    """Return help text on one line, escaped as both formats require."""
    return text.replace("\\", r"\\").replace("\n", r"\n")


def pieces(
    dialect: Dialect, tables: Iterable[Table], constant_labels: Mapping[str, str]
) -> Iterator[bytes]:
    """Return the exposition of tables as UTF-8, in pieces of PIECE_BYTES or a little more.

    Args:
        dialect: the format.
        tables: the tables, in the order of the text.
        constant_labels: labels added to every series that has no label of that name.

    Raises:
        ValueError: before the first piece, if the arrays of a table do not fit each other or its
            series.
    """
    tables = list(tables)
    for table in tables:
        check(table)
    return _pieces(dialect, tables, tuple(constant_labels.items()))


def _pieces(dialect: Dialect, tables: Sequence[Table], constants: Constants) -> Iterator[bytes]:
    writer, room_bytes = TextWriter(_ROOM_BYTES), PIECE_BYTES
    for table in tables:
        head = _utf8(dialect.head(table))
        writer.raw(head)
        room_bytes -= len(head)
        first = 0
        while first < len(table):
            labels = label_text(table.series, constants, first + MOST_ROWS)
            end, taken_bytes = _reach(dialect, table, labels, first, room_bytes)
            _write(writer, dialect, row_slice(table, first, end), labels, first)
            room_bytes -= taken_bytes
            if room_bytes <= 0 or end < len(table):
                yield writer.finish()
                writer, room_bytes = TextWriter(_ROOM_BYTES), PIECE_BYTES
            first = end
    writer.raw(dialect.end)
    last = writer.finish()
    if last:
        yield last


def _reach(
    dialect: Dialect, table: Table, labels: LabelText, first: int, room_bytes: int
) -> tuple[int, int]:
    """Choose the rows of the next piece.

    Args:
        dialect: the format.
        table: the table.
        labels: its label text.
        first: the first row.
        room_bytes: the bytes that are left in the piece.

    Returns:
        The end of the rows that fit, at least first + 1, and about how many bytes they take.
    """
    n_lines = len(table.bounds) + 3 if table.kind == "histogram" else 1
    n_lines += dialect.created and table.has_created
    line_bytes = len(table.name) + _LINE_BYTES

    def size_bytes(end: int) -> int:
        label_bytes = labels.parts[2 * end] - labels.parts[2 * first]
        return n_lines * (label_bytes + (end - first) * line_bytes)

    most = min(first + MOST_ROWS, len(table))
    fits = bisect_right(range(first + 1, most + 1), room_bytes, key=size_bytes)
    end = first + max(fits, 1)
    return end, size_bytes(end)


def _write(
    writer: TextWriter, dialect: Dialect, table: Table, labels: LabelText, first: int
) -> None:
    """Write the samples of a slice of a table, whose row 0 is row *first* of the labels."""
    quoted = not is_classic_metric(table.name)
    name = text_escape(table.name) if quoted else table.name.encode()
    parts = labels.parts[2 * first : 2 * (first + len(table)) + 1]
    created = table.created if dialect.created and table.has_created else None
    exemplars = table.exemplars.view(np.uint8) if dialect.exemplars else None
    if table.kind == "histogram":
        les, offsets = le_text(table.bounds)
        sums = table.sums if table.has_sum else None
        writer.histograms(
            *(name, labels.text, parts, les, offsets),
            *(table.buckets, sums, created, exemplars, quoted),
        )
    else:
        suffix = _utf8(SUFFIXES[table.kind][0])
        values = table.values
        writer.scalars(name, suffix, labels.text, parts, values, created, exemplars, quoted)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # half a surrogate pair must not cost the whole scrape
