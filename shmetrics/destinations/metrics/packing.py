# SPDX-License-Identifier: Apache-2.0
"""Text of a snapshot: a line per sample, put together into parts of a limited size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from shmetrics.destinations.metrics.columns import Column, columns, finite_rows
from shmetrics.destinations.metrics.row_text import RowTexts
from shmetrics.destinations.metrics.snapshot import Snapshot
from shmetrics.render import _lines

#: About how large the parts of a snapshot are, unless a format says otherwise.
PART_BYTES: Final = 512 * 1024


class Pack(NamedTuple):
    """The pieces of one part, and the number of their series."""

    pieces: list[bytes]
    n: int


def packed(pieces: Iterable[tuple[bytes, int]], most_bytes: int = PART_BYTES) -> Iterator[Pack]:
    """Put pieces together.

    Args:
        pieces: the pieces, and how many series each is; those of none are with the next.
        most_bytes: the size of a pack. Only a larger piece makes a larger one.
    """
    pack, n_bytes = Pack([], 0), 0
    for piece, n in pieces:
        if pack.n and n_bytes + len(piece) > most_bytes:
            yield pack
            pack, n_bytes = Pack([], 0), 0
        pack.pieces.append(piece)
        pack = pack._replace(n=pack.n + n)
        n_bytes += len(piece)
    if pack.n:
        yield pack


class Text:
    """A snapshot as lines.

    Attributes:
        n_unfit: how many numbers were left out so far, because they are none or have no end.
    """

    def __init__(
        self, snapshot: Snapshot, labels: RowTexts, line: Callable[[Column], _lines.Line]
    ) -> None:
        """Choose the lines.

        Args:
            snapshot: the snapshot.
            labels: the labels of its tables.
            line: returns the form of a column's lines.
        """
        self._snapshot = snapshot
        self._labels = labels
        self._line = line
        self.n_unfit = 0

    def pieces(self, most_bytes: int = PART_BYTES) -> Iterator[tuple[bytes, int]]:
        """Yield lines, of at most so many bytes, and how many they are."""
        for table in self._snapshot.tables:
            labels = self._labels.of(table)
            for column in columns(table):
                line = self._line(column)
                rows = finite_rows(column.values)
                n = len(column.values) if rows is None else len(rows)
                self.n_unfit += len(column.values) - n
                at = 0
                while at < n:
                    text, end = _lines.write(
                        line, labels.text, labels.ends, column.values, rows, at, most_bytes
                    )
                    yield text, end - at
                    at = end
